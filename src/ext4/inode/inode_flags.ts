/**
 * What chattr(1) changes in an inode: its flags, its project and its generation. Who may do it is
 * the caller's concern: for flags the kernel has seen to it, before a request arrives.
 */

import { EXT4_EXT_MAGIC, Ext4ExtentHeader, EXTENT_ENTRY_SIZE } from "../../disk/extent.ts";
import {
  EXT4_CASEFOLD_FL,
  EXT4_DAX_FL,
  EXT4_DIRSYNC_FL,
  EXT4_ENCRYPT_FL,
  EXT4_EXTENTS_FL,
  EXT4_IMMUTABLE_FL,
  EXT4_INLINE_DATA_FL,
  EXT4_JOURNAL_DATA_FL,
  EXT4_MODIFIABLE_FLAGS,
  EXT4_PROJINHERIT_FL,
  EXT4_TOPDIR_FL,
  EXT4_VERITY_FL,
  EXT4_VISIBLE_FLAGS,
  Ext4Inode,
  I_BLOCK_SIZE,
} from "../../disk/inode.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { fail } from "../../sys/fs_error.ts";
import { changeOwners } from "../quota/accounting.ts";
import { requireEmpty } from "../directory/empty_directory.ts";
import { growExtraSize } from "./extra_size.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "./inode.ts";

/** What stays undefined is left as it is. */
export interface FileAttributes {
  /** All flags that user space may see; those that it may not change are left as they are. */
  readonly flags?: number;
  readonly projectId?: number;
}

const OF_DIRECTORIES = EXT4_DIRSYNC_FL | EXT4_TOPDIR_FL | EXT4_CASEFOLD_FL | EXT4_PROJINHERIT_FL;
/** Direct access to the device is not for content that is not in it as it is read. */
const NOT_WITH_DAX = EXT4_VERITY_FL | EXT4_ENCRYPT_FL | EXT4_JOURNAL_DATA_FL | EXT4_INLINE_DATA_FL;

/**
 * Changes flags and project, as FS_IOC_SETFLAGS and FS_IOC_FSSETXATTR do. Throws EOPNOTSUPP for
 * what the file system, or fuse4fs, has not, EPERM for an immutable inode that stays one, EDQUOT,
 * and ENOTEMPTY for names that would have to be found otherwise.
 */
export function changeFileAttributes(
  fs: FileSystem,
  inode: Inode,
  { flags = inode.flags & EXT4_VISIBLE_FLAGS, projectId = inode.projectId }: FileAttributes,
): void {
  const { ino } = inode;
  if ((flags & ~EXT4_VISIBLE_FLAGS) !== 0) throw unsupported(inode, "unknown flags");
  if (!inode.isDirectory && (flags & ~inode.flags & OF_DIRECTORIES) !== 0) {
    throw unsupported(inode, "flags of directories");
  }
  const after = (flags & EXT4_MODIFIABLE_FLAGS) | (inode.flags & ~EXT4_MODIFIABLE_FLAGS);
  const changed = after ^ inode.flags;
  const staysImmutable = (after & inode.flags & EXT4_IMMUTABLE_FL) !== 0;
  if (staysImmutable && (changed !== 0 || projectId !== inode.projectId)) {
    throw fail("EPERM", "Cannot change attributes of an immutable file", { ino });
  }
  requirePossible(fs, inode, after);
  fs.change((handle) => {
    fs.modifyInode(handle, inode);
    if ((changed & EXT4_EXTENTS_FL) !== 0) changeMap(inode);
    inode.flags = after;
    inode.ctime = fs.writing.now();
    if (projectId !== inode.projectId) changeProject(fs, handle, inode, projectId);
  });
}

/**
 * Changes i_generation, as FS_IOC_SETVERSION does. Throws ENOTTY where checksums depend on it, as
 * the kernel does.
 */
export function setVersion(fs: FileSystem, inode: Inode, generation: number): void {
  if (fs.superblock.hasMetadataChecksums) {
    throw fail("ENOTTY", "The generation is part of checksums", { ino: inode.ino });
  }
  fs.change((handle) => {
    fs.modifyInode(handle, inode);
    Ext4Inode.i_generation.set(inode.view, 0, generation);
    inode.ctime = fs.writing.now();
  });
}

function unsupported(inode: Inode, what: string) {
  return fail("EOPNOTSUPP", `Cannot change the attributes: ${what}`, { ino: inode.ino });
}

function requirePossible(fs: FileSystem, inode: Inode, after: number): void {
  const { features } = fs.superblock;
  const changed = after ^ inode.flags;
  if ((changed & EXT4_JOURNAL_DATA_FL) !== 0) {
    throw unsupported(inode, "file data are not journaled");
  }
  requireDaxPossible(inode, after);
  if ((changed & EXT4_EXTENTS_FL) !== 0) requireMapPossible(fs, inode);
  if ((changed & EXT4_CASEFOLD_FL) === 0) return;
  if (!features.has("casefold")) throw unsupported(inode, "the feature casefold is off");
  if (!inode.isDirectory) throw fail("ENOTDIR", "Not a directory", { ino: inode.ino });
  if (inode.isEncrypted) throw unsupported(inode, "names are encrypted");
  requireEmpty(fs, inode);
}

function requireDaxPossible(inode: Inode, after: number): void {
  const exclusive = inode.isDirectory ? NOT_WITH_DAX & ~EXT4_INLINE_DATA_FL : NOT_WITH_DAX;
  const isWanted = (after & EXT4_DAX_FL) !== 0 && inode.hasFlag(exclusive);
  const isLost = (after & exclusive) !== 0 && inode.hasFlag(EXT4_DAX_FL);
  if (isWanted || isLost) throw unsupported(inode, "DAX does not go with them");
}

/** The kind of map can change while there is nothing in it; then nothing has to be converted. */
function requireMapPossible({ blockSize, superblock }: FileSystem, inode: Inode): void {
  const { features } = superblock;
  if (!features.has("extent") || inode.hasInlineData) {
    throw fail("EINVAL", "The file cannot have a tree of extents, or has none", { ino: inode.ino });
  }
  if (features.has("bigalloc") || inode.blocks512(blockSize) > 0) {
    throw unsupported(inode, "blocks are not converted to another kind of map");
  }
}

function changeMap(inode: Inode): void {
  const hadExtents = inode.usesExtents;
  inode.iBlock.fill(0);
  if (hadExtents) return;
  const at = Ext4Inode.i_block.offset;
  Ext4ExtentHeader.eh_magic.set(inode.view, at, EXT4_EXT_MAGIC);
  Ext4ExtentHeader.eh_max.set(inode.view, at, I_BLOCK_SIZE / EXTENT_ENTRY_SIZE - 1);
}

function changeProject(fs: FileSystem, handle: Handle, inode: Inode, projectId: number): void {
  if (!fs.superblock.features.has("project")) throw unsupported(inode, "no feature project");
  if (inode.bytes.length < Ext4Inode.byteLength) {
    throw unsupported(inode, "inodes have no room for a project");
  }
  if (!growExtraSize(fs, handle, inode)) {
    throw fail("ENOSPC", "Attributes leave no room for a project", { ino: inode.ino });
  }
  changeOwners(fs, handle, inode, { uid: inode.uid, gid: inode.gid, projectId });
}
