/**
 * The end of an inode: nobody has a name or an open descriptor of it any more. Its blocks are freed
 * in as many operations as it takes, during which it is an orphan (orphans_write.ts); the last
 * operation frees what its attributes hold, and the inode.
 */

import { refundInode } from "./accounting.ts";
import type { FileSystem } from "./filesystem.ts";
import type { Inode } from "./inode.ts";
import { dropUnlinked } from "./orphans_write.ts";
import { isFastSymlink } from "./symlink.ts";
import { freeBlocksBehindSize } from "./truncate.ts";
import { dropXattrs } from "./xattr_write.ts";

/**
 * Frees an inode that keepUnlinked keeps. Throws FsError when that fails half-way: then the inode
 * is still an orphan, of which less is left.
 */
export function evict(fs: FileSystem, inode: Inode): void {
  if (inode.linksCount > 0 || !fs.unlinkedInodes.has(inode.ino)) {
    throw new Error(`inode ${inode.ino} is not one to be evicted`);
  }
  if (hasContent(fs, inode)) freeContent(fs, inode);
  fs.change((handle) => {
    fs.modifyInode(handle, inode);
    if (inode.fileAcl !== 0 || inode.xattrEntries().length > 0) dropXattrs(fs, handle, inode);
    refundInode(fs, handle, inode);
    dropUnlinked(fs, handle, inode);
    inode.dtime = Math.floor(fs.writing.now().sec) % 2 ** 32;
    fs.writing.inodes.free(handle, inode.ino, inode.isDirectory);
  });
}

/** True for an inode whose i_block leads to blocks. */
function hasContent(fs: FileSystem, inode: Inode): boolean {
  if (inode.blocks512(fs.blockSize) === 0 || inode.hasInlineData) return false;
  if (inode.isSymlink) return !isFastSymlink(fs, inode);
  return inode.isRegular || inode.isDirectory;
}

function freeContent(fs: FileSystem, inode: Inode): void {
  fs.change((handle) => {
    fs.modifyInode(handle, inode);
    inode.size = 0;
  });
  freeBlocksBehindSize(fs, inode);
}
