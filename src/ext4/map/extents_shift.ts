/**
 * Moves a part of a file to other file blocks, for fallocate(2) with FALLOC_FL_COLLAPSE_RANGE and
 * FALLOC_FL_INSERT_RANGE: extents get new numbers, a leaf at a time, and their blocks stay where
 * they are. What is between the place where the file is cut and the part that has moved is a hole,
 * at every moment: no two extents ever overlap.
 */

import type { Handle } from "../../jbd2/handle.ts";
import { ExtentCursor, flatten } from "./extent_cursor.ts";
import { entryCount, extentAt, keyAt, lastEntryUpTo } from "./extent_node.ts";
import { joinExtents } from "./extents_write.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { MAX_FILE_BLOCKS } from "./block_map.ts";

/** Leaves that one operation changes. */
const MOST_LEAVES = 32;

/**
 * Moves the extents from file block `from` on towards the start by `distance` blocks, which are a
 * hole. Returns from where on extents are left to be moved; undefined when none are.
 */
export function shiftToStart(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  from: number,
  distance: number,
): number | undefined {
  fs.mapObserver?.changing(inode, from - distance, MAX_FILE_BLOCKS);
  let at = from;
  for (let leaves = 0; leaves < MOST_LEAVES; leaves++) {
    const cursor = new ExtentCursor(fs, inode, at);
    const { leaf } = cursor;
    const entry = lastEntryUpTo(leaf, at - 1) + 1;
    if (entry < entryCount(leaf)) {
      const first = keyAt(leaf, entry);
      cursor.shift(handle, entry, -distance);
      joinExtents(fs, handle, inode, first - distance);
    }
    at = leaf.end;
    if (at >= MAX_FILE_BLOCKS) {
      flatten(fs, handle, inode);
      return undefined;
    }
  }
  return at;
}

/**
 * Moves the extents in the file blocks [start, end) towards the end by `distance` blocks, the last
 * ones first. One of them begins at `start`, or none reaches over it. Returns up to where extents are
 * left to be moved; undefined when none are.
 */
export function shiftToEnd(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  { start, end, distance }: {
    readonly start: number;
    readonly end: number;
    readonly distance: number;
  },
): number | undefined {
  fs.mapObserver?.changing(inode, start, MAX_FILE_BLOCKS);
  let stop = end;
  for (let leaves = 0; leaves < MOST_LEAVES; leaves++) {
    const cursor = new ExtentCursor(fs, inode, stop - 1);
    const { leaf } = cursor;
    const entry = lastEntryUpTo(leaf, start - 1) + 1;
    if (entry < entryCount(leaf)) cursor.shift(handle, entry, distance);
    stop = leaf.start;
    if (entry > 0 || stop <= start) return undefined;
  }
  return stop;
}

/** The file block behind the last extent. */
export function endOfExtents(fs: FileSystem, inode: Inode): number {
  const { leaf } = new ExtentCursor(fs, inode, MAX_FILE_BLOCKS - 1);
  const count = entryCount(leaf);
  if (count === 0) return 0;
  const { fileBlock, count: length } = extentAt(leaf, count - 1);
  return fileBlock + length;
}
