/**
 * Fast commits (kernel documentation: filesystems/ext4/journal.rst, "Fast commits"): records of
 * what changed since the last full commit, in an area of their own at the end of the journal.
 * Little-endian, as ext4 and unlike the rest of the journal. Each record is a tag, the length of
 * its value, and the value:
 *
 *     HEAD | INODE | CREAT | ... | TAIL | padding to the block's end | INODE | ADD_RANGE | ... | TAIL
 *
 * No record crosses the end of a block.
 */

import { bytes, struct, u16, u32 } from "./struct.ts";

/** fc_tag */
export const EXT4_FC_TAG_ADD_RANGE = 0x0001;
export const EXT4_FC_TAG_DEL_RANGE = 0x0002;
export const EXT4_FC_TAG_CREAT = 0x0003;
export const EXT4_FC_TAG_LINK = 0x0004;
export const EXT4_FC_TAG_UNLINK = 0x0005;
export const EXT4_FC_TAG_INODE = 0x0006;
export const EXT4_FC_TAG_PAD = 0x0007;
export const EXT4_FC_TAG_TAIL = 0x0008;
export const EXT4_FC_TAG_HEAD = 0x0009;

/** fc_features that a reader may meet: none is defined so far. */
export const EXT4_FC_SUPPORTED_FEATURES = 0x0;

/** In front of each record; fc_len counts the bytes behind it. */
export const Ext4FcTl = struct("ext4_fc_tl", 4, {
  fc_tag: u16,
  fc_len: u16,
});

/** First record of the area: the transaction that the fast commits go beyond. */
export const Ext4FcHead = struct("ext4_fc_head", 8, {
  fc_features: u32,
  fc_tid: u32,
});

export const Ext4FcAddRange = struct("ext4_fc_add_range", 16, {
  fc_ino: u32,
  /** A struct ext4_extent. */
  fc_ex: bytes(12),
});

export const Ext4FcDelRange = struct("ext4_fc_del_range", 12, {
  fc_ino: u32,
  fc_lblk: u32,
  fc_len: u32,
});

/** Value of CREAT, LINK and UNLINK; the name follows. */
export const Ext4FcDentryInfo = struct("ext4_fc_dentry_info", 8, {
  fc_parent_ino: u32,
  fc_ino: u32,
});

/** The inode's record follows, up to its i_extra_isize. */
export const Ext4FcInode = struct("ext4_fc_inode", 4, {
  fc_ino: u32,
});

/** Ends one fast commit; its fc_len takes in the rest of the block. */
export const Ext4FcTail = struct("ext4_fc_tail", 8, {
  fc_tid: u32,
  /** crc32c, from seed 0, of all records since the tail before, up to this field. */
  fc_crc: u32,
});
