/**
 * Extent trees (kernel documentation: filesystems/ext4/ifork.rst). Each node is a header and
 * entries of the same 12 bytes, in i_block or in a block of its own:
 *
 *     header | entry 0 | entry 1 | ... up to eh_max | tail (checksum; blocks only)
 *
 * Entries are extents in leaves (eh_depth 0) and indexes above.
 */

import { struct, u16, u32 } from "./struct.ts";

export const EXT4_EXT_MAGIC = 0xf30a;
/** Deepest tree that the kernel accepts. */
export const EXT4_MAX_EXTENT_DEPTH = 5;
/** ee_len up to here counts written blocks; above it, the excess counts unwritten ones. */
export const EXT_INIT_MAX_LEN = 32768;
/** Size of the header and of each entry. */
export const EXTENT_ENTRY_SIZE = 12;

export const Ext4ExtentHeader = struct("ext4_extent_header", EXTENT_ENTRY_SIZE, {
  eh_magic: u16,
  eh_entries: u16,
  eh_max: u16,
  eh_depth: u16,
  eh_generation: u32,
});

export const Ext4Extent = struct("ext4_extent", EXTENT_ENTRY_SIZE, {
  ee_block: u32,
  ee_len: u16,
  ee_start_hi: u16,
  ee_start_lo: u32,
});

export const Ext4ExtentIdx = struct("ext4_extent_idx", EXTENT_ENTRY_SIZE, {
  ei_block: u32,
  ei_leaf_lo: u32,
  ei_leaf_hi: u16,
  ei_unused: u16,
});

export const Ext4ExtentTail = struct("ext4_extent_tail", 4, {
  et_checksum: u32,
});
