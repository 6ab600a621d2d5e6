/**
 * The fields behind an inode's first 128 bytes: records that older tools made have fewer of them
 * than this one knows, and attributes begin where they end (disk/xattr.ts).
 */

import { EXT4_GOOD_OLD_INODE_SIZE, Ext4Inode } from "../../disk/inode.ts";
import { EXT4_XATTR_MAGIC, Ext4XattrIbodyHeader } from "../../disk/xattr.ts";
import type { Handle } from "../../jbd2/handle.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "./inode.ts";
import { formatXattrTable, xattrTableSize } from "../xattr/xattr_table.ts";

/** Bytes of all fields, up to i_projid. */
const FIELDS_SIZE = Ext4Inode.byteLength - EXT4_GOOD_OLD_INODE_SIZE;

/**
 * Makes room for all fields, where there is not yet; new ones are zeros. Attributes in the inode
 * move up. False where the record has no room for it.
 */
export function growExtraSize(fs: FileSystem, handle: Handle, inode: Inode): boolean {
  if (inode.extraSize >= FIELDS_SIZE) return true;
  const header = EXT4_GOOD_OLD_INODE_SIZE + FIELDS_SIZE;
  const first = header + Ext4XattrIbodyHeader.byteLength;
  const room = inode.bytes.length - first;
  if (header > inode.bytes.length) return false;
  const entries = inode.xattrEntries();
  if (entries.length > 0 && xattrTableSize(entries) > room) return false;
  const table = entries.length > 0 ? formatXattrTable(entries, room, 0) : undefined;
  fs.modifyInode(handle, inode);
  inode.bytes.fill(0, EXT4_GOOD_OLD_INODE_SIZE + inode.extraSize);
  Ext4Inode.i_extra_isize.set(inode.view, 0, FIELDS_SIZE);
  if (table !== undefined) {
    Ext4XattrIbodyHeader.h_magic.set(inode.view, header, EXT4_XATTR_MAGIC);
    inode.bytes.set(table, first);
  }
  inode.recordChanged();
  return true;
}
