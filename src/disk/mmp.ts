/**
 * The block of multiple mount protection (kernel documentation: filesystems/ext4/mmp.rst), by which
 * hosts that share a disk tell one another that they have it mounted. It is the first 1024 bytes of
 * block s_mmp_block.
 */

import { bytes, struct, u16, u32, u64 } from "./struct.ts";

/** "MMP" */
export const EXT4_MMP_MAGIC = 0x004d4d50;
/** mmp_seq when nobody has the file system mounted. */
export const EXT4_MMP_SEQ_CLEAN = 0xff4d4d50;
/** mmp_seq while it is being checked or changed by a program. */
export const EXT4_MMP_SEQ_FSCK = 0xe24d4d50;
/** The highest mmp_seq of a mount, which counts on from 1 afterwards. */
export const EXT4_MMP_SEQ_MAX = 0xe24d4d4f;

/** Seconds between two updates of the block by whoever has it mounted, when s_mmp_interval is 0. */
export const EXT4_MMP_UPDATE_INTERVAL = 5;
/** The longest that s_mmp_interval and mmp_check_interval may ask for. */
export const EXT4_MMP_MAX_UPDATE_INTERVAL = 300;
/** The least seconds to wait before believing that nobody updates the block. */
export const EXT4_MMP_MIN_CHECK_INTERVAL = 5;

export const MmpStruct = struct("mmp_struct", 1024, {
  mmp_magic: u32,
  mmp_seq: u32,
  /** Seconds since 1970; for people. */
  mmp_time: u64,
  /** Host and device that wrote last; for people. Ended by NUL where they are shorter. */
  mmp_nodename: bytes(64),
  mmp_bdevname: bytes(32),
  /** In seconds. */
  mmp_check_interval: u16,
  mmp_pad1: u16,
  mmp_pad2: bytes(226 * 4),
  /** With metadata_csum: crc32c of what is before it, by the file system's checksum seed. */
  mmp_checksum: u32,
});
