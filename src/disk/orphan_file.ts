/**
 * The orphan file (kernel documentation: filesystems/ext4/orphan.rst): each block is a table of
 * inode numbers, 0 for a free place, and this tail.
 */

import { struct, u32 } from "./struct.ts";

export const EXT4_ORPHAN_BLOCK_MAGIC = 0x0b10ca04;

/** The last bytes of a block. */
export const Ext4OrphanBlockTail = struct("ext4_orphan_block_tail", 8, {
  ob_magic: u32,
  /**
   * With metadata_csum: crc32c, by the checksum seed of the file's inode, of the block's number in
   * the file system (__le64) and of the inode numbers in the block.
   */
  ob_checksum: u32,
});
