/**
 * Extended attributes (kernel documentation: filesystems/ext4/attributes.rst).
 *
 *     in an inode:  magic (4) | entries ... | 0 (4) ...  values, filled from the end
 *     in a block:   header (32) | entries ... | 0 (4) ...  values, filled from the end
 *
 * e_value_offs counts from the first entry in an inode, from the start of the block in a block.
 */

import { bytes, struct, u16, u32, u8 } from "./struct.ts";

export const EXT4_XATTR_MAGIC = 0xea020000;
/** Entries and values start at multiples of this. */
export const EXT4_XATTR_ROUND = 4;
/** Most files that share a block. */
export const EXT4_XATTR_REFCOUNT_MAX = 1024;

/** e_name_index stands for the beginning of the name. */
export const EXT4_XATTR_INDEX_USER = 1;
export const EXT4_XATTR_INDEX_POSIX_ACL_ACCESS = 2;
export const EXT4_XATTR_INDEX_POSIX_ACL_DEFAULT = 3;
export const EXT4_XATTR_INDEX_TRUSTED = 4;
export const EXT4_XATTR_INDEX_SECURITY = 6;
export const EXT4_XATTR_INDEX_SYSTEM = 7;
export const EXT4_XATTR_INDEX_ENCRYPTION = 9;

export const Ext4XattrIbodyHeader = struct("ext4_xattr_ibody_header", 4, {
  h_magic: u32,
});

export const Ext4XattrHeader = struct("ext4_xattr_header", 32, {
  h_magic: u32,
  h_refcount: u32,
  h_blocks: u32,
  h_hash: u32,
  h_checksum: u32,
  h_reserved: bytes(12),
});

/** Fields in front of the name. */
export const Ext4XattrEntry = struct("ext4_xattr_entry", 16, {
  e_name_len: u8,
  e_name_index: u8,
  e_value_offs: u16,
  e_value_inum: u32,
  e_value_size: u32,
  e_hash: u32,
});
