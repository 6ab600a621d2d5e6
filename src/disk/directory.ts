/**
 * Directory blocks and the hash tree over them (kernel documentation:
 * filesystems/ext4/directory.rst).
 *
 * A leaf is a chain of entries that fills the block, with a tail when metadata_csum is on. The
 * root of a tree hides its index behind `.` and `..`, an inner node behind one empty entry, so that
 * whoever does not know the tree sees an ordinary directory:
 *
 *     root:  entry `.` (12) | entry `..` (12) | dx_root_info (8) | countlimit + dx_entry ... | tail
 *     node:  empty entry (8)                                     | countlimit + dx_entry ... | tail
 */

import { struct, u16, u32, u8 } from "./struct.ts";

/** Fields in front of the name; the name fills up to rec_len. */
export const Ext4DirEntry2 = struct("ext4_dir_entry_2", 8, {
  inode: u32,
  rec_len: u16,
  name_len: u8,
  file_type: u8,
});
/** The old form without the filetype feature: a name length of 16 bits. */
export const Ext4DirEntry = struct("ext4_dir_entry", 8, {
  inode: u32,
  rec_len: u16,
  name_len: u16,
});

export const EXT4_NAME_LEN = 255;

/** file_type */
export const EXT4_FT_UNKNOWN = 0;
export const EXT4_FT_REG_FILE = 1;
export const EXT4_FT_DIR = 2;
export const EXT4_FT_CHRDEV = 3;
export const EXT4_FT_BLKDEV = 4;
export const EXT4_FT_FIFO = 5;
export const EXT4_FT_SOCK = 6;
export const EXT4_FT_SYMLINK = 7;
/** Marks the tail of a leaf. */
export const EXT4_FT_DIR_CSUM = 0xde;

/** Disguised as an unused entry at the end of a leaf. */
export const Ext4DirEntryTail = struct("ext4_dir_entry_tail", 12, {
  det_reserved_zero1: u32,
  det_rec_len: u16,
  det_reserved_zero2: u8,
  det_reserved_ft: u8,
  det_checksum: u32,
});

/** Behind the name of an entry in a directory that is both encrypted and casefolded. */
export const Ext4DirEntryHash = struct("ext4_dir_entry_hash", 8, {
  hash: u32,
  minor_hash: u32,
});

export const DxRootInfo = struct("dx_root_info", 8, {
  reserved_zero: u32,
  hash_version: u8,
  info_length: u8,
  indirect_levels: u8,
  unused_flags: u8,
});
/** Where dx_root_info stands in the root block, and the countlimit in an inner node. */
export const DX_ROOT_INFO_OFFSET = 24;
export const DX_NODE_COUNTLIMIT_OFFSET = 8;

/** Lies over the hash of the first dx_entry, whose hash is taken as 0. */
export const DxCountLimit = struct("dx_countlimit", 4, {
  limit: u16,
  count: u16,
});

export const DxEntry = struct("dx_entry", 8, {
  hash: u32,
  block: u32,
});

export const DxTail = struct("dx_tail", 8, {
  dt_reserved: u32,
  dt_checksum: u32,
});
