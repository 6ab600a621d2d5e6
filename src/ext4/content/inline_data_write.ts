/**
 * Writing inline data (layout: inline_data.ts). All of it is part of the inode's record, and
 * becomes durable with it.
 */

import { EXT4_EXTENTS_FL, EXT4_INLINE_DATA_FL, I_BLOCK_SIZE } from "../../disk/inode.ts";
import { EXT4_XATTR_INDEX_SYSTEM } from "../../disk/xattr.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { sameBytes } from "../../sys/bytes.ts";
import { fail } from "../../sys/fs_error.ts";
import { makeExtentRoot } from "../inode/create_inode.ts";
import type { FileSystem } from "../filesystem.ts";
import { readInlineRoom } from "./inline_data.ts";
import { INLINE_DATA, type Inode } from "../inode/inode.ts";
import { bodyTableSize, storeBodyEntries } from "../xattr/xattr_body.ts";
import { roundUp, type XattrEntry, xattrEntrySize, xattrTableSize } from "../xattr/xattr_table.ts";

/**
 * Most bytes that the inode can hold inline, given the attributes that it has now; 0 where it
 * cannot hold any.
 */
export function inlineCapacity(fs: FileSystem, inode: Inode): number {
  if (!fs.superblock.features.has("inline_data")) return 0;
  const others = xattrTableSize(inode.xattrEntries().filter((entry) => !isInlineData(entry)));
  const room = bodyTableSize(inode) - others - xattrEntrySize(INLINE_DATA.length, 0);
  return room < 0 ? 0 : I_BLOCK_SIZE + roundUp(room - 3);
}

/**
 * Replaces all inline data: their length becomes that of `bytes`. An inode without any becomes one
 * with inline data; it has no blocks then. i_size is the caller's. Throws ENOSPC for more than
 * inlineCapacity.
 */
export function storeInlineData(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  bytes: Uint8Array,
): void {
  if (bytes.length > inlineCapacity(fs, inode)) {
    throw fail("ENOSPC", `No room for ${bytes.length} bytes in the inode`, { ino: inode.ino });
  }
  const value = bytes.slice(I_BLOCK_SIZE);
  const entry: XattrEntry = {
    nameIndex: EXT4_XATTR_INDEX_SYSTEM,
    name: INLINE_DATA,
    value,
    valueSize: value.length,
    valueIno: 0,
    hash: 0,
  };
  fs.modifyInode(handle, inode);
  const entries = inode.xattrEntries();
  const index = entries.findIndex(isInlineData);
  if (index < 0) entries.push(entry);
  else entries[index] = entry;
  storeBodyEntries(fs, handle, inode, entries);
  inode.iBlock.fill(0);
  inode.iBlock.set(bytes.subarray(0, I_BLOCK_SIZE));
  inode.flags = (inode.flags | EXT4_INLINE_DATA_FL) & ~EXT4_EXTENTS_FL;
  inode.recordChanged();
}

/** The inode becomes one with an empty map of blocks; returns what was inline, as far as i_size. */
export function leaveInline(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
): Uint8Array<ArrayBuffer> {
  const content = readInlineRoom(inode).subarray(0, inode.size);
  fs.modifyInode(handle, inode);
  const entries = inode.xattrEntries().filter((entry) => !isInlineData(entry));
  storeBodyEntries(fs, handle, inode, entries);
  inode.iBlock.fill(0);
  inode.setFlag(EXT4_INLINE_DATA_FL, false);
  if (fs.superblock.features.has("extent")) makeExtentRoot(inode);
  inode.recordChanged();
  return content;
}

function isInlineData({ nameIndex, name }: XattrEntry): boolean {
  return nameIndex === EXT4_XATTR_INDEX_SYSTEM && sameBytes(name, INLINE_DATA);
}
