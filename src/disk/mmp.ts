/**
 * The block of multiple mount protection (kernel documentation: filesystems/ext4/mmp.rst): whoever
 * has the file system mounted counts mmp_seq up every few seconds.
 */

import { bytes, struct, u16, u32, u64 } from "./struct.ts";

export const EXT4_MMP_MAGIC = 0x004d4d50;
/** mmp_seq of a file system that nobody uses. */
export const EXT4_MMP_SEQ_CLEAN = 0xff4d4d50;
/** mmp_seq while e2fsck runs. */
export const EXT4_MMP_SEQ_FSCK = 0xe24d4d50;

export const MmpStruct = struct("mmp_struct", 1024, {
  mmp_magic: u32,
  mmp_seq: u32,
  mmp_time: u64,
  mmp_nodename: bytes(64),
  mmp_bdevname: bytes(32),
  mmp_check_interval: u16,
  mmp_pad1: u16,
  mmp_pad2: bytes(226 * 4),
  mmp_checksum: u32,
});
