/**
 * Inodes that hold the value of one attribute (feature ea_inode; kernel documentation:
 * filesystems/ext4/attributes.rst). Several attributes can share one, which counts them. Fields of
 * it that a value has no use for hold something else:
 *
 *     i_atime                   crc32c of the value
 *     i_ctime and l_i_version   upper and lower half of the count of attributes that refer to it
 *
 * One of an older kind belongs to one file, which it names in place of its mtime, together with the
 * same generation; it has neither checksum nor count.
 */

import { crc32c } from "../../disk/crc32c.ts";
import { EXT4_EA_INODE_FL, Ext4Inode } from "../../disk/inode.ts";
import { join32 } from "../../disk/struct.ts";
import { badChecksum, corrupt } from "../../sys/fs_error.ts";
import { readRaw } from "../content/read.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import type { XattrEntry } from "./xattr_table.ts";

/** Largest value that the VFS lets through. */
export const XATTR_SIZE_MAX = 65536;

/** The value that an entry of the owner's attributes refers to. Throws EUCLEAN and EBADMSG. */
export function readValueInode(
  fs: FileSystem,
  owner: Inode,
  entry: XattrEntry,
): Uint8Array<ArrayBuffer> {
  const holder = valueInode(fs, owner, entry);
  const value = readRaw(fs, holder, 0, entry.valueSize);
  if (belongsToOne(owner, holder)) return value;
  if (valueHash(fs, value) !== Ext4Inode.i_atime.get(holder.view, 0)) {
    throw badChecksum("the attribute value", { ino: holder.ino });
  }
  return value;
}

/** The inode that an entry of the owner's attributes refers to, checked to be one for it. */
export function valueInode(fs: FileSystem, owner: Inode, entry: XattrEntry): Inode {
  const place = { ino: entry.valueIno };
  const holder = fs.ownInode(entry.valueIno, "attribute value");
  if (!holder.hasFlag(EXT4_EA_INODE_FL) || !holder.isRegular) {
    throw corrupt(`attribute value: not a value inode, named by inode ${owner.ino}`, place);
  }
  if (entry.valueSize > XATTR_SIZE_MAX || holder.size !== entry.valueSize) {
    throw corrupt(`attribute value: ${holder.size} bytes instead of ${entry.valueSize}`, place);
  }
  return holder;
}

/** True for one of the older kind. */
export function belongsToOne(owner: Inode, holder: Inode): boolean {
  return Ext4Inode.i_mtime.get(holder.view, 0) === owner.ino &&
    holder.generation === owner.generation;
}

export function valueHash(fs: FileSystem, value: Uint8Array): number {
  return crc32c(fs.superblock.checksumSeed, value);
}

/** How many attributes refer to the value. */
export function valueReferences(holder: Inode): number {
  return join32(
    Ext4Inode.l_i_version.get(holder.view, 0),
    Ext4Inode.i_ctime.get(holder.view, 0),
  );
}
