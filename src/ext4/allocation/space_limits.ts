/**
 * Free space that is not for everybody: the blocks reserved for root (mke2fs -m), and a small share
 * that is held back so that giving space back works on a full file system, although it may need a
 * block for the tree of extents first.
 */

import { Ext4SuperBlock as Sb } from "../../disk/superblock.ts";
import type { Superblock } from "../superblock/superblock.ts";

/** Held back: 2 % and at most 4096 clusters, as by the kernel. */
const HELD_BACK_SHARE = 50;
const HELD_BACK_MOST = 4096;

/** Whose request it is. */
export interface SpaceUser {
  readonly uid: number;
  readonly gid: number;
}

/** True for those whom s_def_resuid and s_def_resgid let into the reserved blocks, and for root. */
export function mayUseReserve(superblock: Superblock, user: SpaceUser): boolean {
  const { view } = superblock;
  if (user.uid === 0 || user.uid === Sb.s_def_resuid.get(view, 0)) return true;
  const group = Sb.s_def_resgid.get(view, 0);
  return group !== 0 && user.gid === group;
}

/** In clusters. */
export function reservedClusters(superblock: Superblock): number {
  return Math.floor(superblock.reservedBlocksCount / superblock.clusterRatio);
}

/** In clusters. */
export function heldBackClusters(superblock: Superblock): number {
  if (!superblock.features.has("extent")) return 0;
  const clusters = Math.floor(superblock.blocksCount / superblock.clusterRatio);
  return Math.min(Math.floor(clusters / HELD_BACK_SHARE), HELD_BACK_MOST);
}
