/**
 * Sums over the group descriptors: of the whole file system, and of each flexible group
 * (s_log_groups_per_flex neighbouring groups, whose bitmaps and inode tables lie together in the
 * first of them). GroupDescriptors.update keeps them exact.
 */

import { Ext4SuperBlock as Sb } from "../../disk/superblock.ts";
import type { GroupDescriptor, GroupDescriptors } from "./groups.ts";
import type { Superblock } from "../superblock/superblock.ts";

const MAX_LOG_GROUPS_PER_FLEX = 31;

/** What there is in a flexible group, or in all of them. */
export interface GroupSums {
  readonly freeClusters: number;
  readonly freeInodes: number;
  readonly usedDirectories: number;
}

/** Groups in a flexible group, 1 without flex_bg. */
function groupsPerFlex(superblock: Superblock): number {
  if (!superblock.features.has("flex_bg")) return 1;
  const log = Sb.s_log_groups_per_flex.get(superblock.view, 0);
  return log >= 1 && log <= MAX_LOG_GROUPS_PER_FLEX ? 2 ** log : 1;
}

type Sums = { -readonly [Name in keyof GroupSums]: number };

export class GroupTotals {
  readonly all: GroupSums = { freeClusters: 0, freeInodes: 0, usedDirectories: 0 };
  readonly perFlex: number;
  /** One for each flexible group. */
  readonly flex: readonly GroupSums[];

  /** Reads all descriptors. Throws EUCLEAN or EBADMSG when one is damaged. */
  constructor(superblock: Superblock, groups: GroupDescriptors) {
    this.perFlex = groupsPerFlex(superblock);
    const flex: GroupSums[] = [];
    this.flex = flex;
    for (let group = 0; group < superblock.groupCount; group++) {
      const descriptor = groups.get(group);
      if (group % this.perFlex === 0) {
        flex.push({ freeClusters: 0, freeInodes: 0, usedDirectories: 0 });
      }
      this.#add(group, descriptor, 1);
    }
  }

  /** A descriptor was replaced by another one. */
  replace(before: GroupDescriptor, after: GroupDescriptor): void {
    this.#add(before.group, before, -1);
    this.#add(after.group, after, 1);
  }

  #add(group: number, sums: GroupSums, sign: number): void {
    for (const to of [this.all, this.flex[Math.floor(group / this.perFlex)]] as Sums[]) {
      to.freeClusters += sign * sums.freeClusters;
      to.freeInodes += sign * sums.freeInodes;
      to.usedDirectories += sign * sums.usedDirectories;
    }
  }
}
