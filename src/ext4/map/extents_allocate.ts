/**
 * Gives blocks to a hole of a file with an extent tree.
 *
 * With bigalloc, space is in clusters of several blocks, and a block's place in its cluster is the
 * same in the file as on the disk. A file gets a cluster as soon as one block of it is mapped; the
 * other blocks of it lie there from then on, whichever extents they come to belong to:
 *
 *     file blocks   | 0 1 2 3 | 4 5 6 7 |       mapped: 0 and 1; hole: 2 to 7
 *     clusters      |  at 80  |         |       2 lies at 82, 4 wants a new cluster
 */

import type { Handle } from "../../jbd2/handle.ts";
import { corrupt, fail } from "../../sys/fs_error.ts";
import type { NewBlocks } from "./block_map_write.ts";
import type { BlockRun } from "../allocation/block_allocator.ts";
import { ExtentCursor } from "./extent_cursor.ts";
import { entryCount, extentAt, type ExtentRun, keyAt, lastEntryUpTo } from "./extent_node.ts";
import { mapExtents } from "./extents.ts";
import { maxExtentLength, replaceExtents } from "./extents_write.ts";
import type { FileSystem } from "../filesystem.ts";
import { inodeGoal } from "../allocation/group_choice.ts";
import type { Inode } from "../inode/inode.ts";
import type { Mapping } from "./block_map.ts";
import { EXT_MAX_BLOCKS } from "./size_limits.ts";

/** mapNewBlocks for an inode with an extent tree. */
export function mapNewExtent(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  wanted: NewBlocks,
): Mapping {
  const { fileBlock, unwritten = false } = wanted;
  const cursor = new ExtentCursor(fs, inode, fileBlock);
  const { leaf } = cursor;
  const at = lastEntryUpTo(leaf, fileBlock);
  const before = at < 0 ? undefined : extentAt(leaf, at);
  if (before !== undefined && endOf(before) > fileBlock) {
    throw new Error(`inode ${inode.ino}: file block ${fileBlock} is no hole`);
  }
  const next = at + 1 < entryCount(leaf) ? keyAt(leaf, at + 1) : leaf.end;
  const end = Math.min(
    fileBlock + Math.min(wanted.count, maxExtentLength(unwritten)),
    next,
    EXT_MAX_BLOCKS,
  );
  if (end <= fileBlock) throw fail("EFBIG", "File too large", { ino: inode.ino });
  const hole = { fileBlock, end, next };
  const { block: physicalBlock, count } = blocksOfOwnCluster(fs, inode, hole, before) ??
    allocate(fs, handle, inode, hole, goalOf(fs, inode, cursor, fileBlock), wanted.purpose);
  const run = { fileBlock, count, physicalBlock, unwritten };
  replaceExtents(cursor, handle, at + 1, 0, [run]);
  return { kind: unwritten ? "unwritten" : "mapped", fileBlock, physicalBlock, count };
}

/** What is to be mapped, and the first file block from there on that is. */
interface Hole {
  readonly fileBlock: number;
  readonly end: number;
  readonly next: number;
}

/** The blocks at the start of a hole that lie in a cluster which the file has already. */
function blocksOfOwnCluster(
  fs: FileSystem,
  inode: Inode,
  { fileBlock, end, next }: Hole,
  before: ExtentRun | undefined,
): BlockRun | undefined {
  const { clusterRatio, blocksCount } = fs.superblock;
  if (clusterRatio === 1) return undefined;
  const cluster = fileBlock - fileBlock % clusterRatio;
  const nextCluster = cluster + clusterRatio;
  let near: { readonly fileBlock: number; readonly physicalBlock: number } | undefined;
  if (before !== undefined && endOf(before) > cluster) near = before;
  else if (next < nextCluster) {
    const behind = mapExtents(fs, inode, next, 1);
    if (behind.kind !== "hole") near = behind;
  }
  if (near === undefined) return undefined;
  requireAligned(fs, inode, near);
  const block = near.physicalBlock + fileBlock - near.fileBlock;
  const count = Math.min(end, nextCluster) - fileBlock;
  // The last cluster of a file system may be cut short.
  if (block + count > blocksCount) throw fail("ENOSPC", "No space left on the file system");
  return { block, count };
}

/** Throws EUCLEAN for blocks whose place in their cluster differs from that in the file. */
export function requireAligned(
  { superblock: { clusterRatio, firstDataBlock } }: FileSystem,
  { ino }: Inode,
  { fileBlock, physicalBlock }: { readonly fileBlock: number; readonly physicalBlock: number },
): void {
  if ((physicalBlock - firstDataBlock - fileBlock) % clusterRatio === 0) return;
  throw corrupt("extent: its blocks are out of place in their cluster", {
    ino,
    block: physicalBlock,
  });
}

function allocate(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  { fileBlock, end, next }: Hole,
  goal: number,
  purpose: NewBlocks["purpose"],
): BlockRun {
  const { clusterRatio } = fs.superblock;
  const into = fileBlock % clusterRatio;
  // The cluster of the next extent is the file's own, and must not be allocated again.
  const limit = Math.min(end, next - next % clusterRatio);
  const run = fs.writing.blocks.allocate(handle, {
    inode,
    goal: goal - into,
    count: limit - fileBlock + into,
    purpose,
  });
  if (run.count <= into) throw fail("ENOSPC", "No space left on the file system");
  return { block: run.block + into, count: Math.min(limit - fileBlock, run.count - into) };
}

/**
 * Where the blocks for a hole had best be: as far from the nearest extent as in the file, so that a
 * file that is written out of order ends in order.
 */
function goalOf(fs: FileSystem, inode: Inode, { leaf }: ExtentCursor, fileBlock: number): number {
  const { firstDataBlock, blocksCount } = fs.superblock;
  if (entryCount(leaf) > 0) {
    const near = extentAt(leaf, Math.max(0, lastEntryUpTo(leaf, fileBlock)));
    const goal = near.physicalBlock + fileBlock - near.fileBlock;
    if (goal > firstDataBlock && goal < blocksCount) return goal;
    return near.physicalBlock;
  }
  return leaf.block?.number ?? inodeGoal(fs, inode);
}

function endOf(run: ExtentRun): number {
  return run.fileBlock + run.count;
}
