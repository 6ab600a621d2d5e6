/**
 * Cutting and extending files.
 *
 * The order of writes: what the last block has behind the new end becomes zeros on the device. One
 * operation then changes the size and frees blocks from the end on; where these are too many for
 * one, it makes the inode an orphan as well, and the last of the operations that follow ends that.
 * After a crash in between, the next mount frees what is left.
 */

import type { Handle } from "../../jbd2/handle.ts";
import { unmapBlocks } from "../map/block_map_write.ts";
import { changeSize, requireRewritable, touchContent } from "./content_change.ts";
import type { FileSystem } from "../filesystem.ts";
import { readInlineRoom } from "./inline_data.ts";
import { inlineCapacity, storeInlineData } from "./inline_data_write.ts";
import type { Inode } from "../inode/inode.ts";
import { MAX_FILE_BLOCKS } from "../map/block_map.ts";
import { addOrphan, removeOrphan } from "../orphans/orphans_write.ts";
import { zeroMapped } from "./padded_write.ts";
import { requireSize } from "../map/size_limits.ts";
import { moveInlineToBlocks, zeroTail } from "./write.ts";

/**
 * truncate(2): cuts or extends a regular file, in as many operations as it takes. Blocks behind the
 * end, which fallocate(2) may have left there, go as well. Throws EFBIG, EPERM, ENOKEY, ENOSPC.
 */
export function setSize(fs: FileSystem, inode: Inode, size: number): void {
  requireRewritable(inode);
  requireSize(fs, inode, size);
  let left = fs.change((handle) => cut(fs, handle, inode, size));
  const start = Math.ceil(size / fs.blockSize);
  while (left > start) {
    left = fs.change((handle) => {
      const now = unmapBlocks(fs, handle, inode, start, left);
      if (now === start) removeOrphan(fs, handle, inode);
      return now;
    });
  }
}

/**
 * Frees every block from the end of the size on, in as many operations as it takes. The inode is
 * an orphan already, and stays one.
 */
export function freeBlocksBehindSize(fs: FileSystem, inode: Inode): void {
  if (inode.hasInlineData) return;
  fs.writing.blocks.dropReservation(inode.ino);
  const start = Math.ceil(inode.size / fs.blockSize);
  for (let left = MAX_FILE_BLOCKS; left > start;) {
    left = fs.change((handle) => unmapBlocks(fs, handle, inode, start, left));
  }
}

/** The first operation. Returns up to which file block there may be something left to free. */
function cut(fs: FileSystem, handle: Handle, inode: Inode, size: number): number {
  fs.modifyInode(handle, inode);
  const before = inode.size;
  if (size !== before) touchContent(fs, handle, inode);
  if (inode.hasInlineData) {
    if (size <= inlineCapacity(fs, inode)) {
      storeInlineData(fs, handle, inode, resized(readInlineRoom(inode), before, size));
      inode.size = size;
      return 0;
    }
    moveInlineToBlocks(fs, handle, inode);
  }
  const { blockSize } = fs;
  const start = Math.ceil(size / blockSize);
  if (size < before) zeroMapped(fs, inode, size, Math.min(before, start * blockSize));
  else if (size > before) zeroTail(fs, inode, size);
  changeSize(fs, handle, inode, size);
  fs.writing.blocks.dropReservation(inode.ino, handle);
  // What is set aside behind the end stays when the file grows.
  if (size > before || inode.blocks512(blockSize) === 0) return start;
  const left = unmapBlocks(fs, handle, inode, start, MAX_FILE_BLOCKS);
  if (left > start) addOrphan(fs, handle, inode);
  return left;
}

/** The first `before` bytes, cut, or extended with zeros, to `size`. */
function resized(room: Uint8Array, before: number, size: number): Uint8Array {
  const result = new Uint8Array(size);
  result.set(room.subarray(0, Math.min(before, size)));
  return result;
}
