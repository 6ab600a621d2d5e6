/**
 * Block and inode bitmaps (kernel documentation: filesystems/ext4/bitmaps.rst). A bitmap is checked
 * when it comes into memory, before anything is allocated by it: one that calls the inode table
 * free would have files written over it.
 *
 * A group of which nothing is in use may have no bitmap on the disk yet (BLOCK_UNINIT,
 * INODE_UNINIT). Then it is made up here, and written with its first change.
 */

import type { Block } from "../../block/block_cache.ts";
import { EXT4_BG_BLOCK_UNINIT, EXT4_BG_INODE_UNINIT } from "../../disk/group_desc.ts";
import { badChecksum, corrupt } from "../../sys/fs_error.ts";
import { bitmapClaim, type BitmapKind } from "./bitmap_checksum.ts";
import { areAllClear, areAllSet, type BitRun, countZeros, setBits, wordsOf } from "./bits.ts";
import type { FileSystem } from "../filesystem.ts";
import type { MetadataZones } from "./metadata_zones.ts";
import type { Superblock } from "../superblock/superblock.ts";

/** A bitmap says nothing about bits behind the last cluster or inode; on the disk they are set. */
type Words = Uint32Array;

export class Bitmaps {
  readonly #fs: FileSystem;
  readonly #zones: MetadataZones;

  constructor(fs: FileSystem, zones: MetadataZones) {
    this.#fs = fs;
    this.#zones = zones;
  }

  /**
   * The bitmap of a group's clusters, checked. To change it, announce it to the handle and clear
   * BLOCK_UNINIT in the descriptor. Throws EUCLEAN or EBADMSG when it is damaged.
   */
  ofBlocks(group: number): Block {
    const { blockBitmap, flags } = this.#fs.groups.get(group);
    if ((flags & EXT4_BG_BLOCK_UNINIT) !== 0) {
      return this.#madeUp("block", group, blockBitmap, (words) => {
        this.#markBlocksInUse(group, words);
        this.#checkFreeClusters(group, words);
      });
    }
    return this.#read("block", group, blockBitmap, (words) => this.#checkBlocks(group, words));
  }

  /** The same for a group's inodes, and INODE_UNINIT. */
  ofInodes(group: number): Block {
    const { inodeBitmap, flags } = this.#fs.groups.get(group);
    if ((flags & EXT4_BG_INODE_UNINIT) !== 0) {
      return this.#madeUp("inode", group, inodeBitmap, (words) => {
        setBits(words, this.#fs.superblock.inodesPerGroup, words.length * 32);
        this.#checkInodes(group, words);
      });
    }
    return this.#read("inode", group, inodeBitmap, (words) => this.#checkInodes(group, words));
  }

  /** A bitmap of the disk. */
  #read(kind: BitmapKind, group: number, number: number, check: (words: Words) => void): Block {
    const block = this.#fs.cache.read(number);
    const claimed = bitmapClaim(kind, group);
    if (block.verifiedAs === claimed) return block;
    if (!this.#fs.groups.bitmapFits(kind, group, block)) {
      throw badChecksum(`the ${kind} bitmap`, { group, block: number });
    }
    check(wordsOf(block.bytes));
    block.verifiedAs = claimed;
    return block;
  }

  /** A bitmap that the disk does not have. */
  #madeUp(kind: BitmapKind, group: number, number: number, fill: (words: Words) => void): Block {
    const { cache } = this.#fs;
    const claimed = bitmapClaim(kind, group);
    const known = cache.peek(number);
    if (known?.verifiedAs === claimed) return cache.read(number);
    if (known !== undefined && known.holds > 0) {
      throw corrupt(`${kind} bitmap: its block is in use`, { group, block: number });
    }
    const block = cache.create(number);
    fill(wordsOf(block.bytes));
    block.verifiedAs = claimed;
    return block;
  }

  #markBlocksInUse(group: number, words: Words): void {
    for (const { start, length } of this.#metadataClusters(group)) {
      setBits(words, start, start + length);
    }
    setBits(words, groupClusters(this.#fs.superblock, group), words.length * 32);
  }

  #checkBlocks(group: number, words: Words): void {
    const { superblock } = this.#fs;
    const clusters = groupClusters(superblock, group);
    if (!areAllSet(words, clusters, superblock.clustersPerGroup)) {
      throw corrupt("block bitmap: blocks behind the end are free", { group });
    }
    for (const { start, length } of this.#metadataClusters(group)) {
      if (!areAllSet(words, start, start + length)) {
        throw corrupt("block bitmap: the file system's own blocks are free", { group });
      }
    }
    this.#checkFreeClusters(group, words);
  }

  #checkFreeClusters(group: number, words: Words): void {
    const free = countZeros(words, 0, groupClusters(this.#fs.superblock, group));
    const { freeClusters } = this.#fs.groups.get(group);
    if (free !== freeClusters) {
      throw corrupt(`block bitmap: ${free} free, by the descriptor ${freeClusters}`, { group });
    }
  }

  #checkInodes(group: number, words: Words): void {
    const { inodesPerGroup } = this.#fs.superblock;
    const { freeInodes, unusedInodes } = this.#fs.groups.get(group);
    if (unusedInodes > inodesPerGroup) {
      throw corrupt(`group descriptor: ${unusedInodes} unused inodes of ${inodesPerGroup}`, {
        group,
      });
    }
    const free = countZeros(words, 0, inodesPerGroup);
    if (free !== freeInodes) {
      throw corrupt(`inode bitmap: ${free} free, by the descriptor ${freeInodes}`, { group });
    }
    if (!areAllClear(words, inodesPerGroup - unusedInodes, inodesPerGroup)) {
      throw corrupt("inode bitmap: inodes that were never used are in use", { group });
    }
  }

  /** Clusters of the group that hold blocks of the file system's own. */
  #metadataClusters(group: number): BitRun[] {
    const { superblock } = this.#fs;
    const { clusterRatio } = superblock;
    const start = superblock.groupStart(group);
    return this.#zones.within(start, start + superblock.groupBlocks(group)).map((zone) => {
      const first = Math.floor((zone.start - start) / clusterRatio);
      const end = Math.ceil((zone.end - start) / clusterRatio);
      return { start: first, length: end - first };
    });
  }
}

/** Clusters of a group, fewer in the last one. */
export function groupClusters(superblock: Superblock, group: number): number {
  return Math.ceil(superblock.groupBlocks(group) / superblock.clusterRatio);
}
