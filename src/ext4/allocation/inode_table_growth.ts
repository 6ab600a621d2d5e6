/**
 * Inode tables come into use from the front: bg_itable_unused counts the inodes at the end that
 * never were. mke2fs leaves that part of the disk as it was, for the kernel to fill with zeros some
 * day (INODE_ZEROED tells that it did), and e2fsck does not look at it. So what is there when
 * inodes come into use may be anything, and must not be taken for inodes later.
 */

import type { Handle } from "../../jbd2/handle.ts";
import type { FileSystem } from "../filesystem.ts";

/**
 * The first `used` inodes of a group's table are in use from now on, the last of them being about
 * to be written. Those that come into use with it become zeros, and so does the rest of a block
 * that nothing of was in use.
 */
export function useTableUpTo(fs: FileSystem, handle: Handle, group: number, used: number): void {
  const { inodesPerGroup, inodeSize, blockSize } = fs.superblock;
  const { unusedInodes, inodeTable } = fs.groups.get(group);
  const usedBefore = inodesPerGroup - unusedInodes;
  if (used <= usedBefore) return;
  const perBlock = blockSize / inodeSize;
  const firstNew = Math.ceil(usedBefore / perBlock);
  const end = Math.ceil(used / perBlock);
  for (let block = firstNew; block < end; block++) handle.create(inodeTable + block);
  // In the block that was in use already: inodes between the last one before and the new one.
  const passedOver = Math.min(used - 1, firstNew * perBlock);
  if (passedOver > usedBefore) {
    const block = fs.cache.read(inodeTable + firstNew - 1);
    handle.modify(block);
    const start = (usedBefore % perBlock) * inodeSize;
    block.bytes.fill(0, start, start + (passedOver - usedBefore) * inodeSize);
  }
  fs.groups.update(handle, group, { unusedInodes: inodesPerGroup - used });
}
