/** How large a file can become: what its map and its i_blocks have room for. */

import { EXT4_NDIR_BLOCKS } from "../../disk/inode.ts";
import { fail } from "../../sys/fs_error.ts";
import type { FileSystem } from "../filesystem.ts";
import { POINTER_SIZE } from "./indirect.ts";
import type { Inode } from "../inode/inode.ts";

/** File blocks that can be mapped: numbers have 32 bits, and the last one is never used. */
export const EXT_MAX_BLOCKS = 2 ** 32 - 1;

/** Throws EFBIG where a file of this kind cannot have so many bytes. */
export function requireSize(fs: FileSystem, inode: Inode, size: number): void {
  if (size <= maxFileSize(fs, inode)) return;
  throw fail("EFBIG", `A size of ${size} bytes is too large`, { ino: inode.ino });
}

/**
 * Bytes that the file can have at most, as for the kernel. A file with inline data gets an extent
 * tree when it grows, where the file system has these.
 */
export function maxFileSize(fs: FileSystem, inode: Inode): number {
  const { blockSize, superblock: { features } } = fs;
  const hasExtents = inode.usesExtents || (inode.hasInlineData && features.has("extent"));
  const sectors = blockSize / 512;
  if (features.has("huge_file")) {
    return Math.min(EXT_MAX_BLOCKS, hasExtents ? Infinity : indirectBlocks(blockSize)) * blockSize;
  }
  const counted = Math.floor((2 ** 32 - 1) / sectors);
  return (hasExtents ? counted : indirectBlocksWithin(counted, blockSize)) * blockSize;
}

/** File blocks that a map of pointers has room for. */
export function indirectBlocks(blockSize: number): number {
  const perBlock = blockSize / POINTER_SIZE;
  return EXT4_NDIR_BLOCKS + perBlock + perBlock ** 2 + perBlock ** 3;
}

/** File blocks of a file without holes that has `total` blocks, those of pointers among them. */
function indirectBlocksWithin(total: number, blockSize: number): number {
  const perBlock = blockSize / POINTER_SIZE;
  const all = indirectBlocks(blockSize);
  const allTables = 3 + 2 * perBlock + perBlock ** 2;
  if (all + allTables <= total) return all;
  // Each level counts as though the pointers of the last one were content too, as in the kernel.
  const behindSingle = total - EXT4_NDIR_BLOCKS - perBlock;
  if (behindSingle < perBlock ** 2) return total - 2 - Math.ceil(behindSingle / perBlock);
  const behindDouble = behindSingle - perBlock ** 2;
  return total - 3 - perBlock - Math.ceil(behindDouble / perBlock) -
    Math.ceil(behindDouble / perBlock ** 2);
}
