/**
 * Takes blocks away from a file with an extent tree, from the end on, a leaf at a time: extents
 * leave the tree, then the blocks that they had are freed.
 *
 * With bigalloc a cluster is freed with the last of its blocks that the file has mapped, be it in
 * the part that is cut out or, in another extent, beside it.
 */

import type { Handle } from "../../jbd2/handle.ts";
import { ExtentCursor, flatten } from "./extent_cursor.ts";
import { requireAligned } from "./extents_allocate.ts";
import { extentAt, type ExtentNode, type ExtentRun, lastEntryUpTo } from "./extent_node.ts";
import { mapExtents } from "./extents.ts";
import { part } from "./extents_write.ts";
import type { FileSystem } from "../filesystem.ts";
import type { FreedBlocks } from "./freed_blocks.ts";
import type { Inode } from "../inode/inode.ts";
import { MAX_FILE_BLOCKS } from "./block_map.ts";

/** File blocks [start, end), and what the operation has freed. */
export interface Unmapping {
  readonly start: number;
  readonly end: number;
  readonly freed: FreedBlocks;
}

/** Extents that leave the tree in one go. */
const MOST_AT_ONCE = 1024;

/** unmapBlocks for an inode with an extent tree. */
export function unmapExtents(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  { start, end, freed }: Unmapping,
): number {
  let stop = Math.min(end, MAX_FILE_BLOCKS);
  while (stop > start) {
    if (freed.isEnough) return stop;
    freed.countNode();
    const cursor = new ExtentCursor(fs, inode, stop - 1, true);
    const cut = lastExtents(cursor.leaf, start, stop);
    if (cut === undefined) {
      // What comes before this leaf may have something to cut.
      stop = Math.max(start, cursor.leaf.start);
      continue;
    }
    cursor.replace(handle, cut.at, cut.removed.length, cut.kept);
    freeRuns(fs, inode, cut.parts, freed);
    [{ fileBlock: stop }] = cut.parts;
  }
  flatten(fs, handle, inode);
  return start;
}

/** A change to a leaf. */
interface Cut {
  /** The first entry that is replaced. */
  readonly at: number;
  readonly removed: readonly ExtentRun[];
  /** What stays of them. */
  readonly kept: readonly ExtentRun[];
  /** What goes, in order. */
  readonly parts: readonly ExtentRun[];
}

/** The extents of a leaf, but not too many, that reach into [start, stop); undefined: none does. */
function lastExtents(leaf: ExtentNode, start: number, stop: number): Cut | undefined {
  const removed: ExtentRun[] = [];
  let at = lastEntryUpTo(leaf, stop - 1);
  for (; at >= 0 && removed.length < MOST_AT_ONCE; at--) {
    const run = extentAt(leaf, at);
    if (run.fileBlock + run.count <= start) break;
    removed.push(run);
  }
  if (removed.length === 0) return undefined;
  removed.reverse();
  const parts = removed.map((run) =>
    part(run, Math.max(start, run.fileBlock), Math.min(stop, run.fileBlock + run.count))
  );
  const last = removed[removed.length - 1];
  const kept = [
    part(removed[0], removed[0].fileBlock, start),
    part(last, stop, last.fileBlock + last.count),
  ].filter(({ count }) => count > 0);
  return { at: at + 1, removed, kept, parts };
}

/** Frees runs of content that have left the tree; they are in order and of one leaf. */
function freeRuns(
  fs: FileSystem,
  inode: Inode,
  runs: readonly ExtentRun[],
  freed: FreedBlocks,
): void {
  const { clusterRatio } = fs.superblock;
  if (clusterRatio === 1) {
    for (const { physicalBlock, count } of runs) freed.free(physicalBlock, count);
    return;
  }
  /** The first cluster, counted through the file, that is not dealt with yet. */
  let next = 0;
  for (const run of runs) {
    requireAligned(fs, inode, run);
    const end = run.fileBlock + run.count;
    let first = Math.max(next, Math.floor(run.fileBlock / clusterRatio));
    let last = Math.ceil(end / clusterRatio);
    next = last;
    if (first < last && isClusterMapped(fs, inode, first)) first++;
    if (first < last && isClusterMapped(fs, inode, last - 1)) last--;
    if (first >= last) continue;
    const from = Math.max(run.fileBlock, first * clusterRatio);
    const to = Math.min(end, last * clusterRatio);
    freed.free(run.physicalBlock + from - run.fileBlock, to - from);
  }
}

/** True when the file still has a block mapped in one of its clusters. */
function isClusterMapped(fs: FileSystem, inode: Inode, cluster: number): boolean {
  const { clusterRatio } = fs.superblock;
  const end = (cluster + 1) * clusterRatio;
  for (let at = cluster * clusterRatio; at < end;) {
    const { kind, count } = mapExtents(fs, inode, at, end - at);
    if (kind !== "hole") return true;
    at += count;
  }
  return false;
}
