/**
 * The table of attributes that lies in the inode's own record, behind its fields:
 *
 *     fields (128 + i_extra_isize) | magic (4) | entries ... | 0 (4) ... values
 *
 * It becomes durable with the inode.
 */

import { EXT4_GOOD_OLD_INODE_SIZE } from "../../disk/inode.ts";
import { EXT4_XATTR_MAGIC, EXT4_XATTR_ROUND, Ext4XattrIbodyHeader } from "../../disk/xattr.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { corrupt } from "../../sys/fs_error.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { formatXattrTable, type XattrEntry, xattrTableSize } from "./xattr_table.ts";

/** Bytes that the table has, with the four that end it; 0 where the inode can have none. */
export function bodyTableSize(inode: Inode): number {
  if (inode.extraSize === 0) return 0;
  const size = inode.bytes.length - tableStart(inode);
  return size < EXT4_XATTR_ROUND ? 0 : size;
}

/** Replaces the table. Throws EUCLEAN when the entries do not fit: they lay over each other then. */
export function storeBodyEntries(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  entries: readonly XattrEntry[],
): void {
  if (xattrTableSize(entries) > bodyTableSize(inode)) {
    throw corrupt("attributes: values lie over each other", { ino: inode.ino });
  }
  fs.modifyInode(handle, inode);
  // The entries may lie in what is being overwritten.
  const table = formatXattrTable(entries, bodyTableSize(inode), 0);
  const first = tableStart(inode);
  const magic = entries.length > 0 ? EXT4_XATTR_MAGIC : 0;
  Ext4XattrIbodyHeader.h_magic.set(inode.view, first - Ext4XattrIbodyHeader.byteLength, magic);
  inode.bytes.set(table, first);
  inode.recordChanged();
}

function tableStart(inode: Inode): number {
  return EXT4_GOOD_OLD_INODE_SIZE + inode.extraSize + Ext4XattrIbodyHeader.byteLength;
}
