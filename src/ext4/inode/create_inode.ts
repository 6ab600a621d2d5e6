/** Makes the inode of a new file, which does not have a name yet. */

import {
  EXT4_EXT_MAGIC,
  Ext4ExtentHeader as Header,
  EXTENT_ENTRY_SIZE,
} from "../../disk/extent.ts";
import {
  EXT4_CASEFOLD_FL,
  EXT4_DIRSYNC_FL,
  EXT4_EXTENTS_FL,
  EXT4_GOOD_OLD_INODE_SIZE,
  EXT4_INHERITED_FLAGS,
  EXT4_INLINE_DATA_FL,
  EXT4_NOATIME_FL,
  EXT4_NODUMP_FL,
  EXT4_PROJINHERIT_FL,
  EXT4_TOPDIR_FL,
  Ext4Inode,
  I_BLOCK_SIZE,
} from "../../disk/inode.ts";
import { EXT4_DEFM_BSDGROUPS, Ext4SuperBlock as Sb } from "../../disk/superblock.ts";
import {
  EXT4_XATTR_INDEX_SYSTEM,
  EXT4_XATTR_MAGIC,
  EXT4_XATTR_ROUND,
  Ext4XattrEntry,
  Ext4XattrIbodyHeader,
} from "../../disk/xattr.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { fail } from "../../sys/fs_error.ts";
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_ISGID } from "../../sys/stat.ts";
import { chargeInode } from "../quota/accounting.ts";
import type { FileSystem } from "../filesystem.ts";
import { INLINE_DATA, type Inode } from "./inode.ts";
import type { Superblock } from "../superblock/superblock.ts";

/** What the caller of open(2), mknod(2) and their like gives a file. */
export interface NewInode {
  /** Type and permissions; the umask and default ACLs are somebody else's concern. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Number of a device node. */
  readonly rdev?: { readonly major: number; readonly minor: number };
}

/** Fields that every record with room for them has: up to i_projid. */
const FIELDS_SIZE = Ext4Inode.byteLength - EXT4_GOOD_OLD_INODE_SIZE;

/**
 * Takes a number and makes the record: empty, with one link, and with what it inherits from the
 * directory it is going to be in. Throws ENOSPC, EDQUOT, and ENOKEY in an encrypted directory.
 */
export function createInode(
  fs: FileSystem,
  handle: Handle,
  parent: Inode,
  file: NewInode,
): Inode {
  if (parent.isEncrypted) {
    throw fail("ENOKEY", "Cannot create an encrypted file without its key", { ino: parent.ino });
  }
  const { writing } = fs;
  const ino = writing.inodes.allocate(handle, parent, file.mode);
  const inode = fs.createInode(handle, ino, writing.options.random());
  setExtraSize(fs.superblock, inode);
  setOwner(fs.superblock, parent, inode, file);
  inode.linksCount = 1;
  const now = writing.now();
  inode.atime = now;
  inode.mtime = now;
  inode.ctime = now;
  inode.crtime = now;
  Ext4Inode.l_i_version.set(inode.view, 0, 1);
  inode.flags = inheritedFlags(parent, inode);
  inheritProject(fs.superblock, parent, inode);
  setContent(fs.superblock, inode);
  if (inode.isDeviceNode) storeDevice(inode, file.rdev ?? { major: 0, minor: 0 });
  chargeInode(fs, handle, inode);
  return inode;
}

/** As many bytes of newer fields as there are, or as the superblock asks for, if they fit. */
export function setExtraSize(superblock: Superblock, inode: Inode): void {
  const room = superblock.inodeSize - EXT4_GOOD_OLD_INODE_SIZE;
  if (room === 0) return;
  const { view, features } = superblock;
  const asked = features.has("extra_isize")
    ? Math.max(Sb.s_want_extra_isize.get(view, 0), Sb.s_min_extra_isize.get(view, 0))
    : 0;
  const wanted = Math.max(FIELDS_SIZE, asked);
  const size = wanted <= room && wanted % EXT4_XATTR_ROUND === 0 ? wanted : FIELDS_SIZE;
  Ext4Inode.i_extra_isize.set(inode.view, 0, size);
}

/** In a directory with the set-group-id bit, files get its group, and directories the bit too. */
function setOwner(superblock: Superblock, parent: Inode, inode: Inode, file: NewInode): void {
  const ofParent = (parent.mode & S_ISGID) !== 0;
  const alwaysOfParent = (Sb.s_default_mount_opts.get(superblock.view, 0) & EXT4_DEFM_BSDGROUPS) !==
    0;
  const isDirectory = (file.mode & S_IFMT) === S_IFDIR;
  inode.mode = file.mode | (ofParent && isDirectory && !alwaysOfParent ? S_ISGID : 0);
  inode.uid = file.uid;
  inode.gid = ofParent || alwaysOfParent ? parent.gid : file.gid;
}

function inheritedFlags(parent: Inode, inode: Inode): number {
  const flags = parent.flags & EXT4_INHERITED_FLAGS;
  if (inode.isDirectory) return flags;
  if (!inode.isRegular) return flags & (EXT4_NODUMP_FL | EXT4_NOATIME_FL);
  const ofDirectories = EXT4_DIRSYNC_FL | EXT4_TOPDIR_FL | EXT4_CASEFOLD_FL | EXT4_PROJINHERIT_FL;
  return flags & ~ofDirectories;
}

function inheritProject(superblock: Superblock, parent: Inode, inode: Inode): void {
  if (!superblock.features.has("project") || !parent.hasFlag(EXT4_PROJINHERIT_FL)) return;
  if (inode.extraSize < FIELDS_SIZE) return;
  Ext4Inode.i_projid.set(inode.view, 0, parent.projectId);
}

/** An empty file is one that has room for data in the inode, or an empty map of blocks. */
function setContent({ features }: Superblock, inode: Inode): void {
  const type = inode.fileType;
  if (type === S_IFREG || type === S_IFDIR) {
    if (features.has("inline_data") && makeInlineRoom(inode)) return;
  } else if (type !== S_IFLNK) return;
  if (features.has("extent")) makeExtentRoot(inode);
}

/** An empty tree of extents, in an i_block of zeros. */
export function makeExtentRoot(inode: Inode): void {
  inode.setFlag(EXT4_EXTENTS_FL, true);
  const at = Ext4Inode.i_block.offset;
  Header.eh_magic.set(inode.view, at, EXT4_EXT_MAGIC);
  Header.eh_max.set(inode.view, at, I_BLOCK_SIZE / EXTENT_ENTRY_SIZE - 1);
}

/**
 * Inline data begin in i_block and go on in the attribute system.data, which is there even when it
 * is empty. False when the inode has no room for attributes.
 */
function makeInlineRoom(inode: Inode): boolean {
  const header = EXT4_GOOD_OLD_INODE_SIZE + inode.extraSize;
  const entry = header + Ext4XattrIbodyHeader.byteLength;
  const name = entry + Ext4XattrEntry.byteLength;
  const end = name + INLINE_DATA.length + EXT4_XATTR_ROUND;
  if (inode.extraSize === 0 || end > inode.bytes.length) return false;
  inode.setFlag(EXT4_INLINE_DATA_FL, true);
  Ext4XattrIbodyHeader.h_magic.set(inode.view, header, EXT4_XATTR_MAGIC);
  Ext4XattrEntry.e_name_len.set(inode.view, entry, INLINE_DATA.length);
  Ext4XattrEntry.e_name_index.set(inode.view, entry, EXT4_XATTR_INDEX_SYSTEM);
  inode.bytes.set(INLINE_DATA, name);
  inode.recordChanged();
  return true;
}

/** The old, 16-bit form where the number fits into it, else the newer one. See Inode.rdev. */
function storeDevice(inode: Inode, rdev: { major: number; minor: number }): void {
  const at = Ext4Inode.i_block.offset;
  const { major, minor } = rdev;
  if (major < 256 && minor < 256) inode.view.setUint32(at, major * 256 + minor, true);
  else {
    const number = (minor & 0xff) + (major & 0xfff) * 256 + (minor >>> 8) * 2 ** 20;
    inode.view.setUint32(at + 4, number, true);
  }
}
