import type { Handle } from "../jbd2/handle.ts";
import type { FileSystem } from "./filesystem.ts";
import type { Inode } from "./inode.ts";

// First cut by the allocators: i_blocks alone. Quotas follow.

export function chargeBlocks(fs: FileSystem, handle: Handle, inode: Inode, blocks: number): void {
  fs.modifyInode(handle, inode);
  inode.setBlocks512(inode.blocks512(fs.blockSize) + blocks * (fs.blockSize / 512), fs.blockSize);
}

export function refundBlocks(fs: FileSystem, handle: Handle, inode: Inode, blocks: number): void {
  fs.modifyInode(handle, inode);
  inode.setBlocks512(inode.blocks512(fs.blockSize) - blocks * (fs.blockSize / 512), fs.blockSize);
}

export function chargeInode(_fs: FileSystem, _handle: Handle, _inode: Inode): void {}

export function refundInode(_fs: FileSystem, _handle: Handle, _inode: Inode): void {}

export interface Owners {
  readonly uid: number;
  readonly gid: number;
  readonly projectId: number;
}

/** Gives the inode, and what it has charged so far, to others. Throws EDQUOT. */
export function changeOwners(
  _fs: FileSystem,
  _handle: Handle,
  _inode: Inode,
  _owners: Owners,
): void {
  throw new Error("not built yet");
}
