/**
 * Which group a new file's inode goes to, and near which block its data.
 *
 * Files lie in the group of their directory, so that a directory's inodes and data are near each
 * other. Directories are spread by Orlov's rules (M. Johnson, G. Orlov, 2000; kernel
 * documentation: filesystems/ext4, "Orlov block allocator"): those in the root are taken for
 * unrelated and put far apart; deeper ones stay near their parent as long as its group is not much
 * fuller than the others. With flex_bg all of this goes by flexible groups, whose inode tables lie
 * together at the start.
 */

import { EXT4_ROOT_INO, EXT4_TOPDIR_FL } from "../../disk/inode.ts";
import type { FileSystem } from "../filesystem.ts";
import type { GroupTotals } from "./group_totals.ts";
import type { Inode } from "../inode/inode.ts";

/** In flexible groups of at least so many groups, the data of files begin in the second one. */
const FLEX_WITH_METADATA_GROUP = 4;
/** A group is no longer near enough when it has fewer than the average less a quarter of a group. */
const DEBT_SHARE = 4;
/** ... or more directories than the average and a sixteenth of its inodes. */
const DIRECTORY_SHARE = 16;

export function groupOfInode(fs: FileSystem, ino: number): number {
  return Math.floor((ino - 1) / fs.superblock.inodesPerGroup);
}

/**
 * The block near which the first blocks of a file had best be: the start of its inode's group. The
 * first group of a large flexible group is left to directories and metadata.
 */
export function inodeGoal(fs: FileSystem, inode: Inode): number {
  const { superblock } = fs;
  const { perFlex } = fs.groups.totals;
  let group = groupOfInode(fs, inode.ino);
  if (perFlex >= FLEX_WITH_METADATA_GROUP) {
    group -= group % perFlex;
    if (inode.isRegular && group + 1 < superblock.groupCount) group++;
  }
  return superblock.groupStart(group);
}

/**
 * The block near which the map of a regular file had best be: in the group that is left to metadata.
 * Undefined where there is none.
 */
export function metadataGoal(fs: FileSystem, inode: Inode): number | undefined {
  const { perFlex } = fs.groups.totals;
  if (perFlex < FLEX_WITH_METADATA_GROUP || !inode.isRegular) return undefined;
  const group = groupOfInode(fs, inode.ino);
  return fs.superblock.groupStart(group - group % perFlex);
}

/**
 * The group for a new directory in `parent`; undefined when no group has a free inode.
 * @param last the group that the last new inode in `parent` went to
 */
export function chooseForDirectory(
  fs: FileSystem,
  parent: Inode,
  last: number | undefined,
): number | undefined {
  const flex = parent.ino === EXT4_ROOT_INO || parent.hasFlag(EXT4_TOPDIR_FL)
    ? emptiestFlex(fs.groups.totals, fs.writing.options.random())
    : nearFlex(fs, last ?? groupOfInode(fs, parent.ino));
  const group = flex === undefined ? undefined : firstWithInode(fs, flex);
  return group ?? fallback(fs, parent);
}

/** The same for whatever is no directory. */
export function chooseForFile(
  fs: FileSystem,
  parent: Inode,
  last: number | undefined,
): number | undefined {
  const { perFlex } = fs.groups.totals;
  const home = groupOfInode(fs, parent.ino);
  if (perFlex === 1) return nearParent(fs, home, parent.ino) ?? anyWithInode(fs, home);
  const flex = Math.floor(home / perFlex);
  const group = firstWithInode(fs, flex) ??
    (last === undefined ? undefined : firstWithInode(fs, Math.floor(last / perFlex)));
  if (group !== undefined) return group;
  const next = nearFlex(fs, ((flex + 1) * perFlex) % fs.superblock.groupCount);
  return (next === undefined ? undefined : firstWithInode(fs, next)) ?? fallback(fs, parent);
}

/** Of the flexible groups with at least average room, the one with the fewest directories. */
function emptiestFlex(totals: GroupTotals, random: number): number | undefined {
  const { flex, all } = totals;
  const averageInodes = Math.floor(all.freeInodes / flex.length);
  const averageClusters = Math.floor(all.freeClusters / flex.length);
  const start = random % flex.length;
  let best: number | undefined;
  for (let distance = 0; distance < flex.length; distance++) {
    const index = (start + distance) % flex.length;
    const { freeInodes, freeClusters, usedDirectories } = flex[index];
    if (freeInodes === 0 || freeInodes < averageInodes || freeClusters < averageClusters) continue;
    if (best === undefined || usedDirectories < flex[best].usedDirectories) best = index;
  }
  return best;
}

/** The first flexible group, beginning with that of `group`, that is not much worse than others. */
function nearFlex(fs: FileSystem, group: number): number | undefined {
  const { flex, all, perFlex } = fs.groups.totals;
  const { inodesPerGroup, clustersPerGroup } = fs.superblock;
  const inodes = inodesPerGroup * perFlex;
  const most = Math.floor(all.usedDirectories / flex.length) + Math.floor(inodes / DIRECTORY_SHARE);
  const leastInodes = Math.max(
    1,
    Math.floor(all.freeInodes / flex.length) - Math.floor(inodes / DEBT_SHARE),
  );
  const leastClusters = Math.floor(all.freeClusters / flex.length) -
    Math.floor(clustersPerGroup * perFlex / DEBT_SHARE);
  const start = Math.floor(group / perFlex);
  for (let distance = 0; distance < flex.length; distance++) {
    const index = (start + distance) % flex.length;
    const { freeInodes, freeClusters, usedDirectories } = flex[index];
    if (usedDirectories >= most) continue;
    if (freeInodes >= leastInodes && freeClusters >= leastClusters) return index;
  }
  return undefined;
}

/** Inodes are packed at the start of a flexible group, where the inode tables are. */
function firstWithInode(fs: FileSystem, flex: number): number | undefined {
  const { perFlex } = fs.groups.totals;
  const end = Math.min((flex + 1) * perFlex, fs.superblock.groupCount);
  for (let group = flex * perFlex; group < end; group++) {
    if (fs.groups.get(group).freeInodes > 0) return group;
  }
  return undefined;
}

/** Where no group is good: one with at least average room for inodes, then any at all. */
function fallback(fs: FileSystem, parent: Inode): number | undefined {
  const { groupCount } = fs.superblock;
  const home = groupOfInode(fs, parent.ino);
  const average = Math.floor(fs.groups.totals.all.freeInodes / groupCount);
  for (let distance = 0; distance < groupCount; distance++) {
    const group = (home + distance) % groupCount;
    const { freeInodes } = fs.groups.get(group);
    if (freeInodes > 0 && freeInodes >= average) return group;
  }
  return anyWithInode(fs, home);
}

/** The parent's group, or one found by leaps that double: files of a full group are spread. */
function nearParent(fs: FileSystem, home: number, parentIno: number): number | undefined {
  const { groupCount } = fs.superblock;
  const isGood = (group: number) => {
    const { freeInodes, freeClusters } = fs.groups.get(group);
    return freeInodes > 0 && freeClusters > 0;
  };
  if (isGood(home)) return home;
  // Directories that share a group begin to look at different places.
  let group = (home + parentIno) % groupCount;
  for (let leap = 1; leap < groupCount; leap *= 2) {
    group = (group + leap) % groupCount;
    if (isGood(group)) return group;
  }
  return undefined;
}

function anyWithInode(fs: FileSystem, home: number): number | undefined {
  const { groupCount } = fs.superblock;
  for (let distance = 0; distance < groupCount; distance++) {
    const group = (home + distance) % groupCount;
    if (fs.groups.get(group).freeInodes > 0) return group;
  }
  return undefined;
}
