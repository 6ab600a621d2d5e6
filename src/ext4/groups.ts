/**
 * Block group descriptors: where each group has its inode table and bitmaps, and how much of it is
 * free. Descriptors are read when they are asked for, so that a mount of a large file system
 * starts at once.
 */

import type { Block, BlockCache } from "../block/block_cache.ts";
import { crc16 } from "../disk/crc16.ts";
import { crc32c } from "../disk/crc32c.ts";
import { Ext4GroupDesc as Desc } from "../disk/group_desc.ts";
import type { Field } from "../disk/struct.ts";
import { Ext4SuperBlock as Sb, SUPERBLOCK_OFFSET } from "../disk/superblock.ts";
import { badChecksum, corrupt } from "../sys/fs_error.ts";
import { crc32cOfU32, crc32cOfZeros } from "./checksum.ts";
import type { Superblock } from "./superblock.ts";

/** One descriptor, checked. */
export interface GroupDescriptor {
  readonly group: number;
  readonly blockBitmap: number;
  readonly inodeBitmap: number;
  /** First block of the inode table. */
  readonly inodeTable: number;
  /** Free clusters. */
  readonly freeClusters: number;
  readonly freeInodes: number;
  readonly usedDirectories: number;
  /** EXT4_BG_* */
  readonly flags: number;
  /** Inodes at the end of the table that were never used. */
  readonly unusedInodes: number;
}

export class GroupDescriptors {
  readonly #superblock: Superblock;
  readonly #cache: BlockCache;
  /** The block that holds the superblock in use: the descriptors follow it. */
  readonly #superblockBlock: number;
  readonly #perBlock: number;
  readonly #checked = new Map<number, GroupDescriptor>();
  /** Most descriptors kept decoded; 64 bytes of disk each. */
  static readonly #MAX_CHECKED = 65536;

  /** @param superblockBlock the block of a backup superblock, when that one is in use */
  constructor(superblock: Superblock, cache: BlockCache, superblockBlock?: number) {
    this.#superblock = superblock;
    this.#cache = cache;
    this.#superblockBlock = superblockBlock ?? Math.floor(SUPERBLOCK_OFFSET / superblock.blockSize);
    this.#perBlock = superblock.blockSize / superblock.groupDescSize;
  }

  /** Throws EUCLEAN or EBADMSG when the descriptor is damaged. */
  get(group: number): GroupDescriptor {
    const known = this.#checked.get(group);
    if (known !== undefined) return known;
    const descriptor = this.#read(group);
    if (this.#checked.size >= GroupDescriptors.#MAX_CHECKED) this.#checked.clear();
    this.#checked.set(group, descriptor);
    return descriptor;
  }

  /** The block that holds a group's descriptor: meta_bg spreads them over the groups. */
  descriptorBlock(group: number): number {
    const { features, firstDataBlock, blockSize } = this.#superblock;
    const index = Math.floor(group / this.#perBlock);
    const firstMeta = Sb.s_first_meta_bg.get(this.#superblock.view, 0);
    if (!features.has("meta_bg") || index < firstMeta) return this.#superblockBlock + 1 + index;
    const metaGroup = index * this.#perBlock;
    let behind = this.#superblock.groupHasSuperblock(metaGroup) ? 1 : 0;
    // Group 0 of a bigalloc file system of 1 KiB blocks starts with the boot block.
    if (index === 0 && blockSize === 1024 && firstDataBlock === 0) behind++;
    return this.#superblock.groupStart(metaGroup) + behind;
  }

  #read(group: number): GroupDescriptor {
    const { features, groupDescSize: size, blocksCount, inodeSize } = this.#superblock;
    const block = this.#cache.read(this.descriptorBlock(group));
    const at = (group % this.#perBlock) * size;
    this.#verifyChecksum(block, at, group);

    const wide = features.has("64bit");
    const { view } = block;
    /** A number whose upper half lies in the second half of the descriptor, if there is one. */
    const split = (low: Field<number>, high: Field<number>): number =>
      low.get(view, at) + (wide ? high.get(view, at) * 2 ** (8 * low.size) : 0);
    const descriptor: GroupDescriptor = {
      group,
      blockBitmap: split(Desc.bg_block_bitmap_lo, Desc.bg_block_bitmap_hi),
      inodeBitmap: split(Desc.bg_inode_bitmap_lo, Desc.bg_inode_bitmap_hi),
      inodeTable: split(Desc.bg_inode_table_lo, Desc.bg_inode_table_hi),
      freeClusters: split(Desc.bg_free_blocks_count_lo, Desc.bg_free_blocks_count_hi),
      freeInodes: split(Desc.bg_free_inodes_count_lo, Desc.bg_free_inodes_count_hi),
      usedDirectories: split(Desc.bg_used_dirs_count_lo, Desc.bg_used_dirs_count_hi),
      flags: Desc.bg_flags.get(view, at),
      unusedInodes: split(Desc.bg_itable_unused_lo, Desc.bg_itable_unused_hi),
    };
    const tableBlocks = Math.ceil(this.#superblock.inodesPerGroup * inodeSize / block.bytes.length);
    const table = descriptor.inodeTable;
    if (table <= this.#superblock.firstDataBlock || table + tableBlocks > blocksCount) {
      throw corrupt(`group descriptor: inode table at block ${table}`, { group });
    }
    return descriptor;
  }

  #verifyChecksum(block: Block, at: number, group: number): void {
    const stored = Desc.bg_checksum.get(block.view, at);
    const computed = groupChecksum(this.#superblock, block.bytes, at, group);
    if (computed !== undefined && computed !== stored) {
      throw badChecksum("the group descriptor", { group, block: block.number });
    }
  }
}

/** bg_checksum as it should be, or undefined when the file system has no such checksum. */
export function groupChecksum(
  superblock: Superblock,
  bytes: Uint8Array<ArrayBuffer>,
  at: number,
  group: number,
): number | undefined {
  const field = at + Desc.bg_checksum.offset;
  const behind = field + Desc.bg_checksum.size;
  const end = at + superblock.groupDescSize;
  if (superblock.hasMetadataChecksums) {
    let crc = crc32cOfU32(superblock.checksumSeed, group);
    crc = crc32c(crc, bytes, at, field);
    crc = crc32cOfZeros(crc, Desc.bg_checksum.size);
    return crc32c(crc, bytes, behind, end) & 0xffff;
  }
  if (!superblock.features.has("uninit_bg")) return undefined;
  const number = new Uint8Array(4);
  new DataView(number.buffer).setUint32(0, group, true);
  let crc = crc16(crc16(0xffff, superblock.uuid), number);
  crc = crc16(crc, bytes, at, field);
  return crc16(crc, bytes, behind, end);
}
