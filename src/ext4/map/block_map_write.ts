/**
 * Changes to the map of a file's blocks, whichever kind of map it has: blocks for a hole, and a hole
 * for blocks. All of it is one part of an operation of the caller's; data and i_size are the
 * caller's as well.
 */

import type { Handle } from "../../jbd2/handle.ts";
import { mapNewExtent } from "./extents_allocate.ts";
import { unmapExtents } from "./extents_unmap.ts";
import type { FileSystem } from "../filesystem.ts";
import { FreedBlocks } from "./freed_blocks.ts";
import { mapNewIndirect } from "./indirect_allocate.ts";
import { unmapIndirect } from "./indirect_unmap.ts";
import type { Inode } from "../inode/inode.ts";
import type { Mapping } from "./block_map.ts";

export interface NewBlocks {
  readonly fileBlock: number;
  /** At least 1. */
  readonly count: number;
  /** The blocks read as zeros until they are written. Only extents can say so. */
  readonly unwritten?: boolean;
  /** What is in the blocks: `data` goes past the journal, `metadata` through it. */
  readonly purpose: "data" | "metadata";
}

/**
 * Gives blocks to file blocks that are a hole, from the first one on; maybe fewer than asked. The
 * inode must not hold its data inline. Throws ENOSPC, EDQUOT and EFBIG.
 */
export function mapNewBlocks(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  wanted: NewBlocks,
): Mapping {
  const { fileBlock } = wanted;
  fs.mapObserver?.changing(inode, fileBlock, fileBlock + wanted.count);
  return inode.usesExtents
    ? mapNewExtent(fs, handle, inode, wanted)
    : mapNewIndirect(fs, handle, inode, wanted);
}

/**
 * Frees the file blocks [start, end), from the end on, as many as one operation should; returns the
 * end of what is left to do, which is `start` when nothing is.
 */
export function unmapBlocks(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  start: number,
  end: number,
): number {
  fs.mapObserver?.changing(inode, start, end);
  const freed = new FreedBlocks(fs, handle, inode);
  return inode.usesExtents
    ? unmapExtents(fs, handle, inode, { start, end, freed })
    : unmapIndirect(fs, handle, inode, { start, end, freed });
}
