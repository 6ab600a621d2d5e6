/** What all changes to the content of a file have in common: who may, the times, and the size. */

import { EXT4_APPEND_FL, EXT4_IMMUTABLE_FL, EXT4_VERITY_FL } from "../../disk/inode.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { fail } from "../../sys/fs_error.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { setFeature } from "../superblock/superblock_write.ts";

/** Larger files are marked by the feature large_file. */
const MAX_SMALL_FILE = 2 ** 31 - 1;

/**
 * Throws where the content must not be changed: EISDIR, EINVAL for what is no file, EPERM for
 * immutable and fs-verity files, ENOKEY for encrypted ones.
 */
export function requireChangeable(inode: Inode): void {
  const { ino } = inode;
  if (inode.isDirectory) throw fail("EISDIR", "Cannot change the content of a folder", { ino });
  if (!inode.isRegular) throw fail("EINVAL", "Not a regular file", { ino });
  if (inode.hasFlag(EXT4_IMMUTABLE_FL | EXT4_VERITY_FL)) {
    throw fail("EPERM", "The file is immutable", { ino });
  }
  if (inode.isEncrypted) throw fail("ENOKEY", "The file is encrypted", { ino });
}

/** The same for what does more than add to the end: EPERM for append-only files, too. */
export function requireRewritable(inode: Inode): void {
  requireChangeable(inode);
  if (inode.hasFlag(EXT4_APPEND_FL)) {
    throw fail("EPERM", "The file is append-only", { ino: inode.ino });
  }
}

/** Announces a change of the inode, and notes that the content changed now. */
export function touchContent(fs: FileSystem, handle: Handle, inode: Inode): void {
  fs.modifyInode(handle, inode);
  const now = fs.writing.now();
  inode.mtime = now;
  inode.ctime = now;
}

/** Sets i_size of an inode that was announced. */
export function changeSize(fs: FileSystem, handle: Handle, inode: Inode, size: number): void {
  inode.size = size;
  if (size <= MAX_SMALL_FILE) return;
  setFeature(fs, handle, "large_file", true);
}
