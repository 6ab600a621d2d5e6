/**
 * The places that belong to the file system itself: superblocks, descriptors, bitmaps, inode
 * tables, the journal and the MMP block. Whatever a bitmap or a block map says, they are never
 * handed out and never freed.
 */

import { Ext4SuperBlock as Sb } from "../../disk/superblock.ts";
import { corrupt } from "../../sys/fs_error.ts";
import { extentRuns } from "../map/extents.ts";
import type { FileSystem } from "../filesystem.ts";
import { mapBlocks } from "../map/block_map.ts";
import type { Superblock } from "../superblock/superblock.ts";

/** Blocks [start, end). */
export interface Zone {
  readonly start: number;
  readonly end: number;
}

export class MetadataZones {
  /** In order, not touching each other. */
  readonly #zones: readonly Zone[];

  private constructor(zones: readonly Zone[]) {
    this.#zones = zones;
  }

  /** Reads all descriptors. Throws EUCLEAN where two structures claim the same block. */
  static of(fs: FileSystem): MetadataZones {
    return new MetadataZones(joined([...groupZones(fs), ...journalZones(fs), ...mmpZone(fs)]));
  }

  /** The parts of the zones that lie in [start, end). */
  within(start: number, end: number): Zone[] {
    const found: Zone[] = [];
    for (let at = this.#firstEndingBehind(start); at < this.#zones.length; at++) {
      const zone = this.#zones[at];
      if (zone.start >= end) break;
      found.push({ start: Math.max(start, zone.start), end: Math.min(end, zone.end) });
    }
    return found;
  }

  /** True when some of the blocks are the file system's own. */
  touches(block: number, count: number): boolean {
    const zone = this.#zones[this.#firstEndingBehind(block)];
    return zone !== undefined && zone.start < block + count;
  }

  #firstEndingBehind(block: number): number {
    let low = 0;
    let high = this.#zones.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#zones[middle].end > block) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** Blocks at the start of a group: a superblock and descriptors, or one block of meta_bg's. */
export function baseBlocks(superblock: Superblock, group: number): number {
  const hasSuperblock = superblock.groupHasSuperblock(group);
  const perBlock = superblock.blockSize / superblock.groupDescSize;
  const firstMeta = Sb.s_first_meta_bg.get(superblock.view, 0);
  const metaGroup = Math.floor(group / perBlock);
  if (superblock.features.has("meta_bg") && metaGroup >= firstMeta) {
    const place = group % perBlock;
    const holdsDescriptors = place === 0 || place === 1 || place === perBlock - 1;
    return (hasSuperblock ? 1 : 0) + (holdsDescriptors ? 1 : 0);
  }
  if (!hasSuperblock) return 0;
  const descriptors = superblock.features.has("meta_bg")
    ? firstMeta
    : Math.ceil(superblock.groupCount / perBlock);
  return 1 + descriptors + Sb.s_reserved_gdt_blocks.get(superblock.view, 0);
}

/** Blocks of a group's inode table. */
export function inodeTableBlocks(superblock: Superblock): number {
  return Math.ceil(superblock.inodesPerGroup * superblock.inodeSize / superblock.blockSize);
}

function* groupZones(fs: FileSystem): Generator<Zone> {
  const { superblock } = fs;
  const tableBlocks = inodeTableBlocks(superblock);
  for (let group = 0; group < superblock.groupCount; group++) {
    const start = superblock.groupStart(group);
    const base = baseBlocks(superblock, group);
    // Where group 0 begins with the boot block, everything in it lies one block further on.
    const boot = group === 0 && superblock.blockSize === 1024 && start === 0 ? 1 : 0;
    if (base + boot > 0) yield { start, end: start + base + boot };
    const { blockBitmap, inodeBitmap, inodeTable } = fs.groups.get(group);
    yield checked(superblock, group, blockBitmap, 1);
    yield checked(superblock, group, inodeBitmap, 1);
    yield checked(superblock, group, inodeTable, tableBlocks);
  }
}

/** Only with flex_bg may a group's structures lie in other groups. */
function checked(superblock: Superblock, group: number, block: number, count: number): Zone {
  const isAnywhere = superblock.features.has("flex_bg");
  const start = isAnywhere ? superblock.firstDataBlock : superblock.groupStart(group);
  const end = isAnywhere ? superblock.blocksCount : start + superblock.groupBlocks(group);
  if (block < start || block + count > end) {
    throw corrupt("group descriptor: a bitmap or the inode table is out of place", {
      group,
      block,
    });
  }
  return { start: block, end: block + count };
}

function* journalZones(fs: FileSystem): Generator<Zone> {
  const ino = Sb.s_journal_inum.get(fs.superblock.view, 0);
  if (!fs.superblock.features.has("has_journal") || ino === 0) return;
  const inode = fs.ownInode(ino, "journal");
  if (inode.usesExtents) {
    for (const { physicalBlock, count } of extentRuns(fs, inode)) {
      yield { start: physicalBlock, end: physicalBlock + count };
    }
    return;
  }
  const blocks = Math.ceil(inode.size / fs.blockSize);
  for (let at = 0; at < blocks;) {
    const run = mapBlocks(fs, inode, at, blocks - at);
    if (run.kind === "mapped") {
      yield { start: run.physicalBlock, end: run.physicalBlock + run.count };
    }
    at += run.count;
  }
}

function mmpZone(fs: FileSystem): Zone[] {
  const block = Sb.s_mmp_block.get(fs.superblock.view, 0);
  if (!fs.superblock.features.has("mmp") || block === 0) return [];
  return [{ start: block, end: block + 1 }];
}

/** Sorts zones and joins neighbours. */
function joined(zones: Zone[]): Zone[] {
  zones.sort((a, b) => a.start - b.start);
  const result: Zone[] = [];
  let last: { start: number; end: number } | undefined;
  for (const { start, end } of zones) {
    if (last === undefined || start > last.end) {
      last = { start, end };
      result.push(last);
    } else if (start === last.end) last.end = end;
    else {
      throw corrupt("layout: two structures of the file system claim the same block", {
        block: start,
      });
    }
  }
  return result;
}
