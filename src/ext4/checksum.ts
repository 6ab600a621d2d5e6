/**
 * Checksums of metadata (kernel documentation: filesystems/ext4/checksums.rst).
 *
 * With metadata_csum every structure carries a crc32c that starts from the file system's seed and
 * takes in what the structure belongs to, so that a block written to the wrong place is noticed:
 * its own number, its group, or the number and generation of its inode.
 */

import { crc32c } from "../disk/crc32c.ts";

const scratch = new DataView(new ArrayBuffer(8));
const scratch4 = new Uint8Array(scratch.buffer, 0, 4);
const scratch8 = new Uint8Array(scratch.buffer);
const ZEROS = new Uint8Array(8);

/** Goes on with a little-endian 32-bit number. */
export function crc32cOfU32(seed: number, value: number): number {
  scratch.setUint32(0, value, true);
  return crc32c(seed, scratch4);
}

/** Goes on with a little-endian 64-bit number. */
export function crc32cOfU64(seed: number, value: number): number {
  scratch.setUint32(0, value % 2 ** 32, true);
  scratch.setUint32(4, Math.floor(value / 2 ** 32), true);
  return crc32c(seed, scratch8);
}

/** Goes on with `count` (at most 8) zero bytes: a checksum field counts as zero. */
export function crc32cOfZeros(seed: number, count: number): number {
  return crc32c(seed, ZEROS, 0, count);
}

/** Where the checksums of an inode and of the blocks that belong to it start. */
export function inodeChecksumSeed(seed: number, ino: number, generation: number): number {
  return crc32cOfU32(crc32cOfU32(seed, ino), generation);
}
