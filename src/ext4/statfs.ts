/** Space and inodes in use, as statfs(2) of the kernel's ext4 tells them. */

import { Ext4SuperBlock as Sb } from "../disk/superblock.ts";
import type { FileSystem } from "./filesystem.ts";
import type { Superblock } from "./superblock.ts";

/** Counts of blocks, and of inodes. */
export interface Usage {
  readonly blocks: number;
  readonly freeBlocks: number;
  /** Free blocks that are not reserved for root. */
  readonly availableBlocks: number;
  readonly inodes: number;
  readonly freeInodes: number;
}

/** Space that the kernel holds back for the growth of extent trees: 2 %, at most 4096 clusters. */
const HELD_BACK_SHARE = 50;
const HELD_BACK_MOST = 4096;

/**
 * @param minixdf count the blocks of the file system's own structures among `blocks`; without it
 * (bsddf) they are left out
 */
export function usage(fs: FileSystem, minixdf: boolean): Usage {
  const { superblock } = fs;
  let freeClusters = 0;
  let freeInodes = 0;
  for (let group = 0; group < superblock.groupCount; group++) {
    const descriptor = fs.groups.get(group);
    freeClusters += descriptor.freeClusters;
    freeInodes += descriptor.freeInodes;
  }
  const freeBlocks = Math.min(freeClusters * superblock.clusterRatio, superblock.blocksCount);
  const reserved = superblock.reservedBlocksCount + heldBackBlocks(superblock);
  return {
    blocks: superblock.blocksCount - (minixdf ? 0 : overheadBlocks(fs)),
    freeBlocks,
    availableBlocks: Math.max(0, freeBlocks - reserved),
    inodes: superblock.inodesCount,
    freeInodes: Math.min(freeInodes, superblock.inodesCount),
  };
}

function heldBackBlocks(superblock: Superblock): number {
  if (!superblock.features.has("extent")) return 0;
  const clusters = Math.floor(superblock.blocksCount / superblock.clusterRatio);
  const held = Math.min(Math.floor(clusters / HELD_BACK_SHARE), HELD_BACK_MOST);
  return held * superblock.clusterRatio;
}

/** Blocks of superblocks, descriptors, bitmaps, inode tables and the journal. */
function overheadBlocks(fs: FileSystem): number {
  const { superblock } = fs;
  const stored = Sb.s_overhead_clusters.get(superblock.view, 0) * superblock.clusterRatio;
  if (stored > 0 && stored < superblock.blocksCount) return stored;
  const tableBlocks = Math.ceil(
    superblock.inodesPerGroup * superblock.inodeSize / superblock.blockSize,
  );
  let total = superblock.firstDataBlock + journalBlocks(fs);
  for (let group = 0; group < superblock.groupCount; group++) {
    total += 2 + tableBlocks + baseBlocks(superblock, group);
  }
  return Math.min(total, superblock.blocksCount);
}

/** Blocks at the start of a group: a superblock and descriptors, or one block of meta_bg's. */
function baseBlocks(superblock: Superblock, group: number): number {
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

function journalBlocks(fs: FileSystem): number {
  const { superblock } = fs;
  const ino = Sb.s_journal_inum.get(superblock.view, 0);
  if (!superblock.features.has("has_journal") || ino === 0) return 0;
  return Math.ceil(fs.ownInode(ino, "journal").size / superblock.blockSize);
}
