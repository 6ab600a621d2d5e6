/**
 * Inodes (kernel documentation: filesystems/ext4/inodes.rst). An inode fills s_inode_size bytes of
 * the table: 128 bytes of old fields, i_extra_isize bytes of newer ones, then extended attributes.
 */

import { bytes, struct, u16, u32 } from "./struct.ts";

/** Size of the part that every inode has. */
export const EXT4_GOOD_OLD_INODE_SIZE = 128;

/** Reserved inode numbers */
export const EXT4_BAD_INO = 1;
export const EXT4_ROOT_INO = 2;
export const EXT4_JOURNAL_INO = 8;
export const EXT4_GOOD_OLD_FIRST_INO = 11;

/** i_flags */
export const EXT4_SYNC_FL = 0x00000008;
export const EXT4_IMMUTABLE_FL = 0x00000010;
export const EXT4_APPEND_FL = 0x00000020;
export const EXT4_NODUMP_FL = 0x00000040;
export const EXT4_NOATIME_FL = 0x00000080;
export const EXT4_ENCRYPT_FL = 0x00000800;
export const EXT4_INDEX_FL = 0x00001000;
export const EXT4_JOURNAL_DATA_FL = 0x00004000;
export const EXT4_DIRSYNC_FL = 0x00010000;
export const EXT4_TOPDIR_FL = 0x00020000;
export const EXT4_HUGE_FILE_FL = 0x00040000;
export const EXT4_EXTENTS_FL = 0x00080000;
export const EXT4_VERITY_FL = 0x00100000;
export const EXT4_EA_INODE_FL = 0x00200000;
export const EXT4_DAX_FL = 0x02000000;
export const EXT4_INLINE_DATA_FL = 0x10000000;
export const EXT4_PROJINHERIT_FL = 0x20000000;
export const EXT4_CASEFOLD_FL = 0x40000000;

/** What user space may see (EXT4_FL_USER_VISIBLE), and change (EXT4_FL_USER_MODIFIABLE). */
export const EXT4_VISIBLE_FLAGS = 0x725bdfff;
export const EXT4_MODIFIABLE_FLAGS = 0x624bc0ff;

/**
 * The flags that a new file takes over from its directory: SECRM, UNRM, COMPR, SYNC, NODUMP,
 * NOATIME, NOCOMPR, JOURNAL_DATA, NOTAIL, DIRSYNC, PROJINHERIT, CASEFOLD, DAX.
 */
export const EXT4_INHERITED_FLAGS = 0x6201c4cf;

/** Block pointers in i_block: twelve direct ones, then single, double and triple indirect. */
export const EXT4_NDIR_BLOCKS = 12;
export const EXT4_IND_BLOCK = 12;
export const EXT4_DIND_BLOCK = 13;
export const EXT4_TIND_BLOCK = 14;
/** Bytes of i_block, which also hold an extent root, a fast symbolic link or inline data. */
export const I_BLOCK_SIZE = 60;

/** All fields; those behind byte 128 exist as far as i_extra_isize says. */
export const Ext4Inode = struct("ext4_inode", 160, {
  i_mode: u16,
  i_uid: u16,
  i_size_lo: u32,
  i_atime: u32,
  i_ctime: u32,
  i_mtime: u32,
  i_dtime: u32,
  i_gid: u16,
  i_links_count: u16,
  i_blocks_lo: u32,
  i_flags: u32,
  l_i_version: u32,
  i_block: bytes(I_BLOCK_SIZE),
  i_generation: u32,
  i_file_acl_lo: u32,
  i_size_high: u32,
  i_obso_faddr: u32,
  l_i_blocks_high: u16,
  l_i_file_acl_high: u16,
  l_i_uid_high: u16,
  l_i_gid_high: u16,
  l_i_checksum_lo: u16,
  l_i_reserved: u16,
  i_extra_isize: u16,
  i_checksum_hi: u16,
  i_ctime_extra: u32,
  i_mtime_extra: u32,
  i_atime_extra: u32,
  i_crtime: u32,
  i_crtime_extra: u32,
  i_version_hi: u32,
  i_projid: u32,
});
