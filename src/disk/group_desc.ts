/**
 * Block group descriptors (kernel documentation: filesystems/ext4/group_descr.rst). Without the
 * 64bit feature only the first 32 bytes are on the disk.
 */

import { struct, u16, u32 } from "./struct.ts";

/** bg_flags */
export const EXT4_BG_INODE_UNINIT = 0x0001;
export const EXT4_BG_BLOCK_UNINIT = 0x0002;
export const EXT4_BG_INODE_ZEROED = 0x0004;

/** Size of a descriptor without the 64bit feature, and the least size with it. */
export const EXT4_MIN_DESC_SIZE = 32;
export const EXT4_MIN_DESC_SIZE_64BIT = 64;

export const Ext4GroupDesc = struct("ext4_group_desc", EXT4_MIN_DESC_SIZE_64BIT, {
  bg_block_bitmap_lo: u32,
  bg_inode_bitmap_lo: u32,
  bg_inode_table_lo: u32,
  bg_free_blocks_count_lo: u16,
  bg_free_inodes_count_lo: u16,
  bg_used_dirs_count_lo: u16,
  bg_flags: u16,
  bg_exclude_bitmap_lo: u32,
  bg_block_bitmap_csum_lo: u16,
  bg_inode_bitmap_csum_lo: u16,
  bg_itable_unused_lo: u16,
  bg_checksum: u16,
  // From here on only with the 64bit feature.
  bg_block_bitmap_hi: u32,
  bg_inode_bitmap_hi: u32,
  bg_inode_table_hi: u32,
  bg_free_blocks_count_hi: u16,
  bg_free_inodes_count_hi: u16,
  bg_used_dirs_count_hi: u16,
  bg_itable_unused_hi: u16,
  bg_exclude_bitmap_hi: u32,
  bg_block_bitmap_csum_hi: u16,
  bg_inode_bitmap_csum_hi: u16,
  bg_reserved: u32,
});
