/**
 * Block group descriptors: where each group has its inode table and bitmaps, and how much of it is
 * free. Descriptors are read when they are asked for, so that a mount of a large file system
 * starts at once.
 *
 * A descriptor holds the checksums of the group's bitmaps and its own. While operations change
 * them, none of the three is kept up to date: the block of descriptors is sealed at the commit,
 * once for all changes.
 */

import type { Block, BlockCache } from "../../block/block_cache.ts";
import { crc16 } from "../../disk/crc16.ts";
import { crc32c } from "../../disk/crc32c.ts";
import {
  EXT4_BG_BLOCK_UNINIT,
  EXT4_BG_INODE_UNINIT,
  Ext4GroupDesc as Desc,
} from "../../disk/group_desc.ts";
import type { Field } from "../../disk/struct.ts";
import { Ext4SuperBlock as Sb, SUPERBLOCK_OFFSET } from "../../disk/superblock.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { badChecksum, corrupt } from "../../sys/fs_error.ts";
import {
  bitmapClaim,
  type BitmapKind,
  hasBitmapChecksum,
  storeBitmapChecksum,
} from "./bitmap_checksum.ts";
import { crc32cOfU32, crc32cOfZeros } from "../checksum.ts";
import { GroupTotals } from "./group_totals.ts";
import type { Superblock } from "../superblock/superblock.ts";

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
  /** EXT4_BG_*; 0 where the file system has no checksums of descriptors, and so no such flags. */
  readonly flags: number;
  /** Inodes at the end of the table that were never used; 0 where there are no flags. */
  readonly unusedInodes: number;
}

/** What changes in a descriptor when things are allocated and freed. */
export type DescriptorChanges = Partial<
  Pick<
    GroupDescriptor,
    "freeClusters" | "freeInodes" | "usedDirectories" | "flags" | "unusedInodes"
  >
>;

export class GroupDescriptors {
  readonly #superblock: Superblock;
  readonly #cache: BlockCache;
  /** The block that holds the superblock in use: the descriptors follow it. */
  readonly #superblockBlock: number;
  readonly #perBlock: number;
  readonly #checked = new Map<number, GroupDescriptor>();
  readonly #hasChecksums: boolean;
  #totals: GroupTotals | undefined;
  /** By the number of their block: groups whose checksums are to be filled in at the commit. */
  readonly #unsealed = new Map<number, Set<number>>();
  /** Most descriptors kept decoded; 64 bytes of disk each. */
  static readonly #MAX_CHECKED = 65536;

  /** @param superblockBlock the block of a backup superblock, when that one is in use */
  constructor(superblock: Superblock, cache: BlockCache, superblockBlock?: number) {
    this.#superblock = superblock;
    this.#cache = cache;
    this.#superblockBlock = superblockBlock ?? Math.floor(SUPERBLOCK_OFFSET / superblock.blockSize);
    this.#perBlock = superblock.blockSize / superblock.groupDescSize;
    this.#hasChecksums = superblock.hasMetadataChecksums || superblock.features.has("uninit_bg");
  }

  /** Sums over all groups; read when first asked for. Throws EUCLEAN or EBADMSG for damage. */
  get totals(): GroupTotals {
    return this.#totals ??= new GroupTotals(this.#superblock, this);
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

  /**
   * Changes a descriptor. Whoever changed a bitmap calls this too, as the new checksum of the
   * bitmap goes into the descriptor. Throws EUCLEAN for a number that cannot be: then the counts on
   * the disk were wrong.
   */
  update(handle: Handle, group: number, changes: DescriptorChanges): void {
    const { totals } = this;
    const before = this.get(group);
    const after = { ...before, ...changes };
    this.#checkCounts(after);
    const block = this.#cache.read(this.descriptorBlock(group));
    handle.modify(block, this.#hasChecksums ? this.#seal : undefined);
    if (this.#hasChecksums) this.#noteUnsealed(handle, block, group);
    this.#store(block, after);
    this.#checked.set(group, after);
    totals.replace(before, after);
    handle.onUndo(() => {
      this.#checked.set(group, before);
      totals.replace(after, before);
    });
  }

  /**
   * True when the checksum that a descriptor has for a bitmap fits, and where there are no such
   * checksums. Not to be asked for a bitmap that was changed since the last commit.
   */
  bitmapFits(kind: BitmapKind, group: number, bitmap: Block): boolean {
    if (!this.#superblock.hasMetadataChecksums) return true;
    const { view } = this.#cache.read(this.descriptorBlock(group));
    const at = (group % this.#perBlock) * this.#superblock.groupDescSize;
    return hasBitmapChecksum(this.#superblock, kind, bitmap.bytes, view, at);
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
    if (!this.#unsealed.get(block.number)?.has(group)) this.#verifyChecksum(block, at, group);

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
      flags: this.#hasChecksums ? Desc.bg_flags.get(view, at) : 0,
      unusedInodes: this.#hasChecksums
        ? split(Desc.bg_itable_unused_lo, Desc.bg_itable_unused_hi)
        : 0,
    };
    const tableBlocks = Math.ceil(this.#superblock.inodesPerGroup * inodeSize / block.bytes.length);
    const table = descriptor.inodeTable;
    if (table <= this.#superblock.firstDataBlock || table + tableBlocks > blocksCount) {
      throw corrupt(`group descriptor: inode table at block ${table}`, { group });
    }
    return descriptor;
  }

  #checkCounts(descriptor: GroupDescriptor): void {
    const { clustersPerGroup, inodesPerGroup } = this.#superblock;
    const { group, freeClusters, freeInodes, usedDirectories, unusedInodes } = descriptor;
    const check = (what: string, count: number, most: number) => {
      if (count >= 0 && count <= most) return;
      throw corrupt(`group descriptor: ${count} ${what} of ${most}`, { group });
    };
    check("free clusters", freeClusters, clustersPerGroup);
    check("free inodes", freeInodes, inodesPerGroup);
    check("directories", usedDirectories, inodesPerGroup);
    check("unused inodes", unusedInodes, inodesPerGroup);
  }

  #store(block: Block, descriptor: GroupDescriptor): void {
    const at = (descriptor.group % this.#perBlock) * this.#superblock.groupDescSize;
    const wide = this.#superblock.features.has("64bit");
    const split = (low: Field<number>, high: Field<number>, value: number): void => {
      low.set(block.view, at, value & 0xffff);
      if (wide) high.set(block.view, at, value >>> 16);
    };
    split(Desc.bg_free_blocks_count_lo, Desc.bg_free_blocks_count_hi, descriptor.freeClusters);
    split(Desc.bg_free_inodes_count_lo, Desc.bg_free_inodes_count_hi, descriptor.freeInodes);
    split(Desc.bg_used_dirs_count_lo, Desc.bg_used_dirs_count_hi, descriptor.usedDirectories);
    if (!this.#hasChecksums) return;
    Desc.bg_flags.set(block.view, at, descriptor.flags);
    split(Desc.bg_itable_unused_lo, Desc.bg_itable_unused_hi, descriptor.unusedInodes);
  }

  #noteUnsealed(handle: Handle, block: Block, group: number): void {
    const groups = this.#unsealed.get(block.number) ?? new Set();
    if (groups.has(group)) return;
    this.#unsealed.set(block.number, groups.add(group));
    handle.onUndo(() => groups.delete(group));
  }

  /** Fills in the checksums of the descriptors that were changed, and of their bitmaps. */
  readonly #seal = (block: Block): void => {
    for (const group of this.#unsealed.get(block.number) ?? []) {
      const at = (group % this.#perBlock) * this.#superblock.groupDescSize;
      const { flags } = this.get(group);
      if (this.#superblock.hasMetadataChecksums) {
        if ((flags & EXT4_BG_BLOCK_UNINIT) === 0) this.#sealBitmap("block", group, block);
        if ((flags & EXT4_BG_INODE_UNINIT) === 0) this.#sealBitmap("inode", group, block);
      }
      const checksum = groupChecksum(this.#superblock, block.bytes, at, group);
      if (checksum !== undefined) Desc.bg_checksum.set(block.view, at, checksum);
    }
    this.#unsealed.delete(block.number);
  };

  /** A bitmap that was changed is in the cache: it is part of the transaction. */
  #sealBitmap(kind: BitmapKind, group: number, descriptors: Block): void {
    const descriptor = this.get(group);
    const number = kind === "block" ? descriptor.blockBitmap : descriptor.inodeBitmap;
    const bitmap = this.#cache.peek(number);
    if (bitmap === undefined || bitmap.verifiedAs !== bitmapClaim(kind, group)) return;
    const at = (group % this.#perBlock) * this.#superblock.groupDescSize;
    storeBitmapChecksum(this.#superblock, kind, bitmap.bytes, descriptors.view, at);
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
