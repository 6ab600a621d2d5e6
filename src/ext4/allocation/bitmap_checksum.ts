/**
 * Checksums of the bitmaps of a group. They stand in the group's descriptor: 16 bits, and 16 more
 * where descriptors have 64 bytes (kernel documentation: filesystems/ext4/checksums.rst).
 */

import { crc32c } from "../../disk/crc32c.ts";
import { EXT4_MIN_DESC_SIZE_64BIT, Ext4GroupDesc as Desc } from "../../disk/group_desc.ts";
import type { Superblock } from "../superblock/superblock.ts";
import { claim, Kind } from "../verified.ts";

export type BitmapKind = "block" | "inode";

const FIELDS = {
  block: { low: Desc.bg_block_bitmap_csum_lo, high: Desc.bg_block_bitmap_csum_hi },
  inode: { low: Desc.bg_inode_bitmap_csum_lo, high: Desc.bg_inode_bitmap_csum_hi },
} as const;

/** What a block of the cache that is a checked bitmap is verified as. */
export function bitmapClaim(kind: BitmapKind, group: number): number {
  return claim(Kind.BITMAP, group, kind === "block" ? 0 : 1);
}

/** True when the checksum in the descriptor, at a byte of `descriptors`, is that of the bitmap. */
export function hasBitmapChecksum(
  superblock: Superblock,
  kind: BitmapKind,
  bitmap: Uint8Array,
  descriptors: DataView,
  at: number,
): boolean {
  const computed = bitmapChecksum(superblock, kind, bitmap);
  const { low, high } = FIELDS[kind];
  if (low.get(descriptors, at) !== (computed & 0xffff)) return false;
  return !hasHighHalf(superblock) || high.get(descriptors, at) === computed >>> 16;
}

/** Fills the checksum into the descriptor. */
export function storeBitmapChecksum(
  superblock: Superblock,
  kind: BitmapKind,
  bitmap: Uint8Array,
  descriptors: DataView,
  at: number,
): void {
  const computed = bitmapChecksum(superblock, kind, bitmap);
  const { low, high } = FIELDS[kind];
  low.set(descriptors, at, computed & 0xffff);
  if (hasHighHalf(superblock)) high.set(descriptors, at, computed >>> 16);
}

/** Only the bytes that stand for clusters or inodes count. */
function bitmapChecksum(superblock: Superblock, kind: BitmapKind, bitmap: Uint8Array): number {
  const bits = kind === "block" ? superblock.clustersPerGroup : superblock.inodesPerGroup;
  return crc32c(superblock.checksumSeed, bitmap, 0, Math.floor(bits / 8));
}

function hasHighHalf(superblock: Superblock): boolean {
  return superblock.groupDescSize >= EXT4_MIN_DESC_SIZE_64BIT;
}
