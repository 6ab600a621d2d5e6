/**
 * Partition tables: the MBR of PCs (which has no standard; names as in Linux's partition code) and
 * the GPT of UEFI (UEFI specification, chapter "GUID Partition Table Disk Layout").
 *
 *     MBR:  sector 0: boot code (446) | 4 entries | 0x55 0xaa
 *     GPT:  sector 0: an MBR that protects the disk | 1: header | 2: entries ... partitions ...
 *           entries again | last sector: header again
 */

import { bytes, struct, u16, u32, u64, u8 } from "./struct.ts";

/** The sector that MBRs take up; they count in it as well. */
export const MBR_SECTOR_SIZE = 512;
export const MBR_ENTRIES_OFFSET = 446;
export const MBR_ENTRIES = 4;
export const MBR_MAGIC_OFFSET = 510;
export const MBR_MAGIC = 0xaa55;

/** Types of partitions that hold a chain of logical ones: by DOS, by Windows, by Linux. */
export const MBR_TYPES_EXTENDED: readonly number[] = [0x05, 0x0f, 0x85];
/** The type of the one partition in front of a GPT. */
export const MBR_TYPE_PROTECTIVE = 0xee;

export const MsdosPartition = struct("msdos_partition", 16, {
  /** 0x80: boot from here. */
  boot_ind: u8,
  head: u8,
  sector: u8,
  cyl: u8,
  sys_ind: u8,
  end_head: u8,
  end_sector: u8,
  end_cyl: u8,
  start_sect: u32,
  nr_sects: u32,
});

/** "EFI PART" */
export const GPT_SIGNATURE_LOW = 0x20494645;
export const GPT_SIGNATURE_HIGH = 0x54524150;

export const GptHeader = struct("gpt_header", 92, {
  signature_low: u32,
  signature_high: u32,
  revision: u32,
  header_size: u32,
  /** CRC32 of the header, itself taken as zero. */
  header_crc32: u32,
  reserved1: u32,
  my_lba: u64,
  alternate_lba: u64,
  first_usable_lba: u64,
  last_usable_lba: u64,
  disk_guid: bytes(16),
  partition_entry_lba: u64,
  num_partition_entries: u32,
  sizeof_partition_entry: u32,
  partition_entry_array_crc32: u32,
});

export const GptEntry = struct("gpt_entry", 128, {
  /** All zeros: not in use. */
  partition_type_guid: bytes(16),
  unique_partition_guid: bytes(16),
  starting_lba: u64,
  /** The last sector, not the one behind it. */
  ending_lba: u64,
  attributes: u64,
  /** UTF-16, ended by a zero if it is shorter. */
  partition_name: bytes(72),
});

/** The first three parts of a GUID are numbers, in the order of little-endian machines. */
export const Guid = struct("guid", 16, {
  time_low: u32,
  time_mid: u16,
  time_hi: u16,
  rest: bytes(8),
});
