/**
 * The end of an inode: nobody has a name or an open descriptor of it any more. Its blocks are freed
 * in as many operations as it takes, during which it is an orphan (orphans_write.ts), empty by its
 * size. The last of them also frees what its attributes hold, and the inode.
 */

import type { Handle } from "../../jbd2/handle.ts";
import { fail, FsError } from "../../sys/fs_error.ts";
import { refundInode } from "../quota/accounting.ts";
import { unmapBlocks } from "../map/block_map_write.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "./inode.ts";
import { MAX_FILE_BLOCKS } from "../map/block_map.ts";
import { dropUnlinked } from "../orphans/orphans_write.ts";
import { isFastSymlink } from "../content/symlink.ts";
import { dropXattrs } from "../xattr/xattr_write.ts";

/**
 * Frees an inode that keepUnlinked keeps. Throws FsError when that fails half-way: then the inode
 * is still an orphan, of which less is left.
 */
export function evict(fs: FileSystem, inode: Inode): void {
  if (inode.linksCount > 0 || !fs.unlinkedInodes.has(inode.ino)) {
    throw new Error(`inode ${inode.ino} is not one to be evicted`);
  }
  let left = { end: hasContent(fs, inode) ? MAX_FILE_BLOCKS : 0, isFreed: false };
  while (!left.isFreed) left = fs.change((handle) => freeSome(fs, handle, inode, left.end));
}

/** As evict, where nobody hears of errors, not even of our own: they go into the log. */
export function evictUnheard(fs: FileSystem, ino: number): void {
  try {
    evict(fs, fs.inode(ino));
  } catch (error) {
    const failure = error instanceof FsError
      ? error
      : fail("EIO", `Freeing a file failed in fuse4fs itself: ${error}`, { ino });
    fs.report(failure);
  }
}

/** True for an inode whose i_block leads to blocks. */
function hasContent(fs: FileSystem, inode: Inode): boolean {
  if (inode.blocks512(fs.blockSize) === 0 || inode.hasInlineData) return false;
  if (inode.isSymlink) return !isFastSymlink(fs, inode);
  return inode.isRegular || inode.isDirectory;
}

/** One operation: some of the file blocks before `end`, or, when there are none, of the rest. */
function freeSome(fs: FileSystem, handle: Handle, inode: Inode, before: number) {
  fs.modifyInode(handle, inode);
  const end = before === 0 ? 0 : freeContent(fs, handle, inode, before);
  if (end > 0 || !dropXattrs(fs, handle, inode)) return { end, isFreed: false };
  freeInode(fs, handle, inode);
  return { end, isFreed: true };
}

/** Frees some of the file blocks before `end`; returns the end of what is left. */
function freeContent(fs: FileSystem, handle: Handle, inode: Inode, end: number): number {
  inode.size = 0;
  return unmapBlocks(fs, handle, inode, 0, end);
}

function freeInode(fs: FileSystem, handle: Handle, inode: Inode): void {
  refundInode(fs, handle, inode);
  dropUnlinked(fs, handle, inode);
  inode.dtime = Math.floor(fs.writing.now().sec) % 2 ** 32;
  fs.writing.inodes.free(handle, inode.ino, inode.isDirectory);
}
