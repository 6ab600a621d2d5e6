/**
 * Quotas: how much space and how many inodes each user, group and project has, counted in the quota
 * files, and the limits to both.
 *
 * Use is counted in the operation that changes it, in the block of the entry itself: whatever
 * becomes of the operation, the file system and its quota files agree. All types are asked before
 * any of them is charged, as a refused charge need not fail the operation.
 *
 * As for the kernel, use is always counted where the quota feature is on, and limits count only
 * when a mount asks for it (usrquota, grpquota, prjquota).
 */

import type { Block } from "../../block/block_cache.ts";
import { V2r1DiskDqblk as Entry } from "../../disk/quota.ts";
import { Ext4SuperBlock as Sb } from "../../disk/superblock.ts";
import type { Field } from "../../disk/struct.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { fail, type FsError } from "../../sys/fs_error.ts";
import type { FileSystem } from "../filesystem.ts";
import { QuotaFile, type QuotaType } from "./quota_file.ts";
import { QuotaTree } from "./quota_tree.ts";

/** Ids by type; undefined for a type that is not concerned. */
export type QuotaIds = { readonly [Type in QuotaType]?: number };

export interface QuotaUse {
  /** Bytes. */
  readonly space: number;
  readonly inodes: number;
}

/** Of space in bytes. */
export interface QuotaLimit {
  readonly use: number;
  /** The lower one of soft and hard limit; undefined: there is none. */
  readonly lowest: number | undefined;
}

export interface ChargeOptions {
  /** Seconds since 1970. */
  readonly now: number;
  /** Nothing is refused, as for root. */
  readonly isExempt: boolean;
}

const TYPES = [
  ["user", Sb.s_usr_quota_inum],
  ["group", Sb.s_grp_quota_inum],
  ["project", Sb.s_prj_quota_inum],
] as const;

/** Limits of space are in units of 1 KiB. */
const LIMIT_UNIT = 1024;

/** The fields of one of the two things that are counted. */
interface Counter {
  readonly what: keyof QuotaUse;
  readonly use: Field<number>;
  readonly hard: Field<number>;
  readonly soft: Field<number>;
  /** When an exceeded soft limit becomes a hard one. */
  readonly deadline: Field<number>;
  /** What a limit of 1 stands for. */
  readonly unit: number;
}

const COUNTERS: readonly Counter[] = [
  {
    what: "space",
    use: Entry.dqb_curspace,
    hard: Entry.dqb_bhardlimit,
    soft: Entry.dqb_bsoftlimit,
    deadline: Entry.dqb_btime,
    unit: LIMIT_UNIT,
  },
  {
    what: "inodes",
    use: Entry.dqb_curinodes,
    hard: Entry.dqb_ihardlimit,
    soft: Entry.dqb_isoftlimit,
    deadline: Entry.dqb_itime,
    unit: 1,
  },
];

export class Quotas {
  readonly #trees: readonly QuotaTree[];
  readonly #limited: ReadonlySet<QuotaType>;

  /**
   * Opens the quota files of a file system with the quota feature, and checks them. Throws EUCLEAN
   * where one cannot be used.
   * @param limited types whose limits count
   */
  constructor(fs: FileSystem, limited: ReadonlySet<QuotaType>) {
    this.#limited = limited;
    const trees: QuotaTree[] = [];
    for (const [type, field] of TYPES) {
      const ino = field.get(fs.superblock.view, 0);
      if (ino !== 0) trees.push(new QuotaTree(fs, new QuotaFile(fs, type, ino)));
    }
    this.#trees = trees;
  }

  /** True for the quota files, which are nobody's. */
  isQuotaFile(ino: number): boolean {
    return this.#trees.some(({ file }) => file.ino === ino);
  }

  /** Types that are counted. */
  get types(): QuotaType[] {
    return this.#trees.map(({ file }) => file.type);
  }

  /**
   * Makes the entries that are still missing. To be called before blocks are looked for that are
   * to be charged: an entry may need a block itself.
   */
  prepare(handle: Handle, ids: QuotaIds): void {
    for (const tree of this.#trees) {
      const id = ids[tree.file.type];
      if (id !== undefined && tree.find(id) === undefined) tree.insert(handle, id);
    }
  }

  /** Counts more. Throws EDQUOT, and has changed nothing then. */
  charge(handle: Handle, ids: QuotaIds, use: QuotaUse, options: ChargeOptions): void {
    if (!options.isExempt) this.#requireWithinLimits(ids, use, options.now);
    for (const tree of this.#trees) {
      const id = ids[tree.file.type];
      if (id === undefined) continue;
      const place = tree.find(id) ?? tree.insert(handle, id);
      const block = tree.blockOf(place);
      handle.modify(block);
      if (id === 0) clearMark(block, place.at);
      const isLimited = this.#limited.has(tree.file.type);
      for (const counter of COUNTERS) {
        const amount = use[counter.what];
        if (amount === 0) continue;
        this.#add(tree, counter, block, place.at, amount);
        if (isLimited) startGrace(tree.file, counter, block, place.at, options.now);
      }
    }
  }

  /** Counts less. What the files say was wrong before stays so: use never falls below nothing. */
  refund(handle: Handle, ids: QuotaIds, use: QuotaUse): void {
    for (const tree of this.#trees) {
      const id = ids[tree.file.type];
      const place = id === undefined ? undefined : tree.find(id);
      if (place === undefined) continue;
      const block = tree.blockOf(place);
      handle.modify(block);
      for (const counter of COUNTERS) {
        const amount = use[counter.what];
        if (amount === 0) continue;
        const left = Math.max(0, this.#useOf(tree, counter, block, place.at) - amount);
        counter.use.set(block.view, place.at, left);
        const soft = counter.soft.get(block.view, place.at) * counter.unit;
        if (left <= soft) counter.deadline.set(block.view, place.at, 0);
      }
      if (id === 0) setMark(block, place.at);
    }
  }

  /** Undefined where the limits of that type do not count, or the id has no entry. */
  limitsOf(type: QuotaType, id: number): { space: QuotaLimit; inodes: QuotaLimit } | undefined {
    const tree = this.#trees.find(({ file }) => file.type === type);
    const place = this.#limited.has(type) ? tree?.find(id) : undefined;
    if (tree === undefined || place === undefined) return undefined;
    const block = tree.blockOf(place);
    const [space, inodes] = COUNTERS.map((counter) => {
      const read = (field: Field<number>) => field.get(block.view, place.at) * counter.unit;
      const limits = [read(counter.soft), read(counter.hard)].filter((limit) => limit > 0);
      const lowest = limits.length === 0 ? undefined : Math.min(...limits);
      return { use: this.#useOf(tree, counter, block, place.at), lowest };
    });
    return { space, inodes };
  }

  #requireWithinLimits(ids: QuotaIds, use: QuotaUse, now: number): void {
    for (const tree of this.#trees) {
      const { type } = tree.file;
      const id = ids[type];
      const place = id === undefined || !this.#limited.has(type) ? undefined : tree.find(id);
      if (place === undefined) continue;
      const block = tree.blockOf(place);
      for (const counter of COUNTERS) {
        if (use[counter.what] === 0) continue;
        const wanted = this.#useOf(tree, counter, block, place.at) + use[counter.what];
        if (isOver(counter, block, place.at, wanted, now)) throw exceeded(type, id, counter);
      }
    }
  }

  #add(tree: QuotaTree, counter: Counter, block: Block, at: number, amount: number): void {
    counter.use.set(block.view, at, this.#useOf(tree, counter, block, at) + amount);
  }

  #useOf(tree: QuotaTree, counter: Counter, block: Block, at: number): number {
    const use = counter.use.get(block.view, at);
    if (use > Number.MAX_SAFE_INTEGER / 2) throw tree.file.damage(`a use of ${use}`);
    return use;
  }
}

/** A soft limit may be exceeded until its deadline. */
function isOver(
  counter: Counter,
  { view }: Block,
  at: number,
  wanted: number,
  now: number,
): boolean {
  const hard = counter.hard.get(view, at) * counter.unit;
  if (hard !== 0 && wanted > hard) return true;
  const soft = counter.soft.get(view, at) * counter.unit;
  const deadline = counter.deadline.get(view, at);
  return soft !== 0 && wanted > soft && deadline !== 0 && now >= deadline;
}

/** The time of grace begins when the soft limit is first exceeded. */
function startGrace(
  file: QuotaFile,
  counter: Counter,
  { view }: Block,
  at: number,
  now: number,
): void {
  const soft = counter.soft.get(view, at) * counter.unit;
  if (soft === 0 || counter.use.get(view, at) <= soft) return;
  if (counter.deadline.get(view, at) !== 0) return;
  const grace = counter.what === "space" ? file.spaceGrace : file.inodeGrace;
  counter.deadline.set(view, at, now + grace);
}

/** Id 0 without anything else would be a free place: it has a mark. */
function setMark({ bytes, view }: Block, at: number): void {
  for (let byte = at; byte < at + Entry.byteLength; byte++) {
    if (bytes[byte] !== 0) return;
  }
  Entry.dqb_itime.set(view, at, 1);
}

/** The mark is no deadline. Without a use, there is nothing else in that field. */
function clearMark({ view }: Block, at: number): void {
  if (Entry.dqb_curinodes.get(view, at) === 0 && Entry.dqb_itime.get(view, at) === 1) {
    Entry.dqb_itime.set(view, at, 0);
  }
}

function exceeded(type: QuotaType, id: number | undefined, { what }: Counter): FsError {
  return fail("EDQUOT", `The quota of ${what} of ${type} ${id} is exhausted`);
}
