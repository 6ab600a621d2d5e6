/**
 * The superblock: 1024 bytes at byte 1024 of the file system, with copies in some block groups
 * (kernel documentation: filesystems/ext4/super.rst).
 */

import { bytes, struct, u16, u32, u64, u8 } from "./struct.ts";

/** Byte at which the primary superblock starts, whatever the block size. */
export const SUPERBLOCK_OFFSET = 1024;
export const EXT4_SUPER_MAGIC = 0xef53;

/** s_state */
export const EXT4_VALID_FS = 0x0001;
export const EXT4_ERROR_FS = 0x0002;
export const EXT4_ORPHAN_FS = 0x0004;

/** s_default_mount_opts: new files get the group of their directory */
export const EXT4_DEFM_BSDGROUPS = 0x0002;

/** s_flags: how the bytes of names are read when they are hashed */
export const EXT2_FLAGS_SIGNED_HASH = 0x0001;
export const EXT2_FLAGS_UNSIGNED_HASH = 0x0002;

/** s_encoding_flags: casefolded directories only have names in UTF-8 */
export const EXT4_ENC_STRICT_MODE_FL = 0x0001;

/** s_checksum_type */
export const EXT4_CRC32C_CHKSUM = 1;

/** s_rev_level: revision 0 has neither features nor inodes of other sizes */
export const EXT4_GOOD_OLD_REV = 0;
export const EXT4_DYNAMIC_REV = 1;

export const Ext4SuperBlock = struct("ext4_super_block", 1024, {
  s_inodes_count: u32,
  s_blocks_count_lo: u32,
  s_r_blocks_count_lo: u32,
  s_free_blocks_count_lo: u32,
  s_free_inodes_count: u32,
  s_first_data_block: u32,
  s_log_block_size: u32,
  s_log_cluster_size: u32,
  s_blocks_per_group: u32,
  s_clusters_per_group: u32,
  s_inodes_per_group: u32,
  s_mtime: u32,
  s_wtime: u32,
  s_mnt_count: u16,
  s_max_mnt_count: u16,
  s_magic: u16,
  s_state: u16,
  s_errors: u16,
  s_minor_rev_level: u16,
  s_lastcheck: u32,
  s_checkinterval: u32,
  s_creator_os: u32,
  s_rev_level: u32,
  s_def_resuid: u16,
  s_def_resgid: u16,
  // From here on only with EXT4_DYNAMIC_REV.
  s_first_ino: u32,
  s_inode_size: u16,
  s_block_group_nr: u16,
  s_feature_compat: u32,
  s_feature_incompat: u32,
  s_feature_ro_compat: u32,
  s_uuid: bytes(16),
  s_volume_name: bytes(16),
  s_last_mounted: bytes(64),
  s_algorithm_usage_bitmap: u32,
  s_prealloc_blocks: u8,
  s_prealloc_dir_blocks: u8,
  s_reserved_gdt_blocks: u16,
  s_journal_uuid: bytes(16),
  s_journal_inum: u32,
  s_journal_dev: u32,
  s_last_orphan: u32,
  s_hash_seed: bytes(16),
  s_def_hash_version: u8,
  s_jnl_backup_type: u8,
  s_desc_size: u16,
  s_default_mount_opts: u32,
  s_first_meta_bg: u32,
  s_mkfs_time: u32,
  s_jnl_blocks: bytes(17 * 4),
  s_blocks_count_hi: u32,
  s_r_blocks_count_hi: u32,
  s_free_blocks_count_hi: u32,
  s_min_extra_isize: u16,
  s_want_extra_isize: u16,
  s_flags: u32,
  s_raid_stride: u16,
  s_mmp_interval: u16,
  s_mmp_block: u64,
  s_raid_stripe_width: u32,
  s_log_groups_per_flex: u8,
  s_checksum_type: u8,
  s_encryption_level: u8,
  s_reserved_pad: u8,
  s_kbytes_written: u64,
  s_snapshot_inum: u32,
  s_snapshot_id: u32,
  s_snapshot_r_blocks_count: u64,
  s_snapshot_list: u32,
  s_error_count: u32,
  s_first_error_time: u32,
  s_first_error_ino: u32,
  s_first_error_block: u64,
  s_first_error_func: bytes(32),
  s_first_error_line: u32,
  s_last_error_time: u32,
  s_last_error_ino: u32,
  s_last_error_line: u32,
  s_last_error_block: u64,
  s_last_error_func: bytes(32),
  s_mount_opts: bytes(64),
  s_usr_quota_inum: u32,
  s_grp_quota_inum: u32,
  s_overhead_clusters: u32,
  s_backup_bgs: bytes(2 * 4),
  s_encrypt_algos: bytes(4),
  s_encrypt_pw_salt: bytes(16),
  s_lpf_ino: u32,
  s_prj_quota_inum: u32,
  s_checksum_seed: u32,
  s_wtime_hi: u8,
  s_mtime_hi: u8,
  s_mkfs_time_hi: u8,
  s_lastcheck_hi: u8,
  s_first_error_time_hi: u8,
  s_last_error_time_hi: u8,
  s_first_error_errcode: u8,
  s_last_error_errcode: u8,
  s_encoding: u16,
  s_encoding_flags: u16,
  s_orphan_file_inum: u32,
  s_reserved: bytes(94 * 4),
  s_checksum: u32,
});

/** The fields that tell of the first error since the last check, and of the last one. */
export const FIRST_ERROR = {
  time: Ext4SuperBlock.s_first_error_time,
  timeHigh: Ext4SuperBlock.s_first_error_time_hi,
  ino: Ext4SuperBlock.s_first_error_ino,
  block: Ext4SuperBlock.s_first_error_block,
  func: Ext4SuperBlock.s_first_error_func,
  line: Ext4SuperBlock.s_first_error_line,
  errcode: Ext4SuperBlock.s_first_error_errcode,
};
export const LAST_ERROR: typeof FIRST_ERROR = {
  time: Ext4SuperBlock.s_last_error_time,
  timeHigh: Ext4SuperBlock.s_last_error_time_hi,
  ino: Ext4SuperBlock.s_last_error_ino,
  block: Ext4SuperBlock.s_last_error_block,
  func: Ext4SuperBlock.s_last_error_func,
  line: Ext4SuperBlock.s_last_error_line,
  errcode: Ext4SuperBlock.s_last_error_errcode,
};
