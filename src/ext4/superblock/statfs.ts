/** Space and inodes in use, as statfs(2) of the kernel's ext4 tells them. */

import { EXT4_PROJINHERIT_FL } from "../../disk/inode.ts";
import { Ext4SuperBlock as Sb } from "../../disk/superblock.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { baseBlocks, inodeTableBlocks } from "../allocation/metadata_zones.ts";
import type { QuotaLimit } from "../quota/quotas.ts";
import { heldBackClusters } from "../allocation/space_limits.ts";

/** Counts of blocks, and of inodes. */
export interface Usage {
  readonly blocks: number;
  readonly freeBlocks: number;
  /** Free blocks that are not reserved for root. */
  readonly availableBlocks: number;
  readonly inodes: number;
  readonly freeInodes: number;
}

/**
 * @param minixdf count the blocks of the file system's own structures among `blocks`; without it
 * (bsddf) they are left out
 */
export function usage(fs: FileSystem, minixdf: boolean): Usage {
  const { superblock } = fs;
  const { freeClusters, freeInodes } = fs.groups.totals.all;
  const freeBlocks = Math.min(freeClusters * superblock.clusterRatio, superblock.blocksCount);
  const heldBack = heldBackClusters(superblock) * superblock.clusterRatio;
  const reserved = superblock.reservedBlocksCount + heldBack;
  return {
    blocks: superblock.blocksCount - (minixdf ? 0 : overheadBlocks(fs)),
    freeBlocks,
    availableBlocks: Math.max(0, freeBlocks - reserved),
    inodes: superblock.inodesCount,
    freeInodes: Math.min(freeInodes, superblock.inodesCount),
  };
}

/**
 * The same for somebody in a directory: where it hands its project on, and the project has limits,
 * these are the size of the file system.
 * @param dir is only asked for where there are quotas
 */
export function usageIn(fs: FileSystem, dir: () => Inode, minixdf: boolean): Usage {
  const all = usage(fs, minixdf);
  const quotas = fs.isReadOnly ? undefined : fs.writing.parts.quotas;
  if (quotas === undefined || !dir().hasFlag(EXT4_PROJINHERIT_FL)) return all;
  const limits = quotas.limitsOf("project", dir().projectId);
  if (limits === undefined) return all;
  const blocks = room(limits.space, fs.blockSize, all.blocks, all.freeBlocks);
  const inodes = room(limits.inodes, 1, all.inodes, all.freeInodes);
  return {
    blocks: blocks.total,
    freeBlocks: blocks.free,
    availableBlocks: blocks.isLimited ? blocks.free : all.availableBlocks,
    inodes: inodes.total,
    freeInodes: inodes.free,
  };
}

/** What there is by a limit, where it is lower than what there is by the file system. */
function room({ use, lowest }: QuotaLimit, unit: number, total: number, free: number) {
  const limit = lowest === undefined ? 0 : Math.floor(lowest / unit);
  if (limit === 0 || total <= limit) return { total, free, isLimited: false };
  return { total: limit, free: Math.max(0, limit - Math.floor(use / unit)), isLimited: true };
}

/** Blocks of superblocks, descriptors, bitmaps, inode tables and the journal. */
function overheadBlocks(fs: FileSystem): number {
  const { superblock } = fs;
  const stored = Sb.s_overhead_clusters.get(superblock.view, 0) * superblock.clusterRatio;
  if (stored > 0 && stored < superblock.blocksCount) return stored;
  const tableBlocks = inodeTableBlocks(superblock);
  let total = superblock.firstDataBlock + journalBlocks(fs);
  for (let group = 0; group < superblock.groupCount; group++) {
    total += 2 + tableBlocks + baseBlocks(superblock, group);
  }
  return Math.min(total, superblock.blocksCount);
}

function journalBlocks(fs: FileSystem): number {
  const { superblock } = fs;
  const ino = Sb.s_journal_inum.get(superblock.view, 0);
  if (!superblock.features.has("has_journal") || ino === 0) return 0;
  return Math.ceil(fs.ownInode(ino, "journal").size / superblock.blockSize);
}
