/**
 * Quota files of the quota feature: the format that Linux calls vfsv1 (kernel documentation:
 * filesystems/ext4/special_inodes.rst names the inodes; field names are those of the kernel's
 * fs/quota). A file consists of blocks of 1 KiB, whatever the block size of the file system:
 *
 *     block 0    v2_disk_dqheader, v2_disk_dqinfo
 *     block 1    root of a tree: 256 block numbers (__le32), by the highest byte of the id
 *     others     nodes of the tree, for the lower bytes, to a depth of four; then leaves:
 *                qt_disk_dqdbheader and 14 entries v2r1_disk_dqblk, in no order
 *
 * Blocks that are not in use are chained through dqdh_next_free from dqi_free_blk on; leaves with
 * room for an entry in both directions from dqi_free_entry on.
 */

import { struct, u16, u32, u64 } from "./struct.ts";

export const QUOTA_BLOCK_SIZE = 1024;
/** The block with the root of the tree. */
export const QT_TREEOFF = 1;
/** Levels of nodes above the leaves: one for each byte of an id. */
export const QUOTA_TREE_DEPTH = 4;

/** dqh_magic of the files about users, groups and projects. */
export const QUOTA_MAGIC = { user: 0xd9c01f11, group: 0xd9c01927, project: 0xd9c03f14 } as const;
/** dqh_version: numbers of 64 bits */
export const QUOTA_VERSION_1 = 1;

export const V2DiskDqheader = struct("v2_disk_dqheader", 8, {
  dqh_magic: u32,
  dqh_version: u32,
});

/** Behind the header. Times of grace are in seconds. */
export const V2DiskDqinfo = struct("v2_disk_dqinfo", 24, {
  dqi_bgrace: u32,
  dqi_igrace: u32,
  dqi_flags: u32,
  dqi_blocks: u32,
  dqi_free_blk: u32,
  dqi_free_entry: u32,
});

export const QtDiskDqdbheader = struct("qt_disk_dqdbheader", 16, {
  dqdh_next_free: u32,
  dqdh_prev_free: u32,
  dqdh_entries: u16,
  dqdh_pad1: u16,
  dqdh_pad2: u32,
});

/**
 * An entry. Limits of space are in units of 1 KiB, its use in bytes; 0 is no limit. The times are
 * those at which an exceeded soft limit becomes a hard one, 0 while it is not exceeded. All zeros
 * are a free place; id 0 without anything is told from it by a dqb_itime of 1.
 */
export const V2r1DiskDqblk = struct("v2r1_disk_dqblk", 72, {
  dqb_id: u32,
  dqb_pad: u32,
  dqb_ihardlimit: u64,
  dqb_isoftlimit: u64,
  dqb_curinodes: u64,
  dqb_bhardlimit: u64,
  dqb_bsoftlimit: u64,
  dqb_curspace: u64,
  dqb_btime: u64,
  dqb_itime: u64,
});

/** 14 */
export const QUOTA_ENTRIES_PER_LEAF = Math.floor(
  (QUOTA_BLOCK_SIZE - QtDiskDqdbheader.byteLength) / V2r1DiskDqblk.byteLength,
);
