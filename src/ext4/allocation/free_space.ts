/**
 * Which clusters can be handed out, and where the long runs of them are.
 *
 * A cluster can be handed out when its group's bitmap says that it is free and it is not withheld:
 * - freed since the last commit: until the commit, a crash brings its old owner back, who must find
 *   in it what was there;
 * - reserved for a file that is growing (src/ext4/allocation/reservation.ts).
 *
 * Clusters are numbered within their group. A group with a damaged bitmap is left alone: nothing is
 * taken from it and nothing given back to it until e2fsck has seen it.
 */

import type { Block } from "../../block/block_cache.ts";
import { EXT4_BG_BLOCK_UNINIT } from "../../disk/group_desc.ts";
import type { Handle } from "../../jbd2/handle.ts";
import type { Transactions } from "../../jbd2/transactions.ts";
import { corrupt, FsError } from "../../sys/fs_error.ts";
import { Bitmaps, groupClusters } from "./bitmaps.ts";
import {
  areAllSet,
  type BitRun,
  clearBits,
  findRun,
  nextSet,
  nextZero,
  NOTHING_WITHHELD,
  setBits,
  wordsOf,
} from "./bits.ts";
import type { FileSystem } from "../filesystem.ts";

/** Clusters [start, start + length) of a group. */
export interface ClusterRun extends BitRun {
  readonly group: number;
}

/** More than any run is long. */
const UNKNOWN = 2 ** 31 - 1;

export class FreeSpace {
  readonly #fs: FileSystem;
  readonly #bitmaps: Bitmaps;
  /** Free clusters of each group that are not withheld. */
  readonly #available: Int32Array;
  /** No run of such clusters is longer than this, in each group. */
  readonly #longest: Int32Array;
  /** By group: a bit is set for each cluster that is withheld. */
  readonly #withheld = new Map<number, Uint32Array>();
  /** Freed since the last commit. */
  #freed: ClusterRun[] = [];
  readonly #damaged = new Set<number>();
  /** By group: the shortest runs that were discarded since anything was freed in it. */
  readonly #discarded = new Map<number, number>();

  constructor(fs: FileSystem, bitmaps: Bitmaps, transactions: Transactions) {
    this.#fs = fs;
    this.#bitmaps = bitmaps;
    const { groupCount } = fs.superblock;
    this.#available = new Int32Array(groupCount);
    this.#longest = new Int32Array(groupCount).fill(UNKNOWN);
    for (let group = 0; group < groupCount; group++) {
      this.#available[group] = fs.groups.get(group).freeClusters;
    }
    transactions.onAfterCommit(() => this.#releaseFreed());
  }

  /** True when clusters become free with the next commit. */
  get isWaiting(): boolean {
    return this.#freed.length > 0;
  }

  /** True when a group cannot have a run of this length, as far as is known without a search. */
  isTooFull(group: number, length: number): boolean {
    return this.#available[group] < length || this.#longest[group] < length ||
      this.#damaged.has(group);
  }

  /**
   * The first run from cluster `start` on of at least `wanted` clusters, cut to that length, or else
   * one from before `start`, or else the longest of the group. Undefined when nothing is free.
   */
  find(group: number, start: number, wanted: number): ClusterRun | undefined {
    const bitmap = this.#bitmap(group);
    if (bitmap === undefined) return undefined;
    const words = wordsOf(bitmap.bytes);
    const withheld = this.#withheld.get(group) ?? NOTHING_WITHHELD;
    const end = groupClusters(this.#fs.superblock, group);
    let run = findRun(words, withheld, start, end, wanted);
    if (run.length < wanted && start > 0) {
      const before = findRun(words, withheld, 0, end, wanted);
      if (before.length > run.length) run = before;
    }
    if (run.length < wanted) this.#longest[group] = run.length;
    return run.length === 0 ? undefined : { group, ...run };
  }

  /** How many clusters from `start` on can be handed out, at most `wanted`. */
  lengthAt(group: number, start: number, wanted: number): number {
    if (this.isTooFull(group, 1)) return 0;
    const bitmap = this.#bitmap(group);
    if (bitmap === undefined) return 0;
    const end = Math.min(start + wanted, groupClusters(this.#fs.superblock, group));
    const withheld = this.#withheld.get(group) ?? NOTHING_WITHHELD;
    return nextSet(wordsOf(bitmap.bytes), withheld, start, end) - start;
  }

  /** Marks clusters that can be handed out as in use. */
  take(handle: Handle, { group, start, length }: ClusterRun): void {
    const bitmap = this.#bitmaps.ofBlocks(group);
    handle.modify(bitmap);
    setBits(wordsOf(bitmap.bytes), start, start + length);
    const { freeClusters, flags } = this.#fs.groups.get(group);
    this.#fs.groups.update(handle, group, {
      freeClusters: freeClusters - length,
      flags: flags & ~EXT4_BG_BLOCK_UNINIT,
    });
    this.#makeAvailable(group, -length);
    handle.onUndo(() => this.#makeAvailable(group, length));
  }

  /** Marks clusters in use as free. Throws EUCLEAN when one of them was free already. */
  give(handle: Handle, run: ClusterRun): void {
    const { group, start, length } = run;
    const bitmap = this.#bitmap(group);
    if (bitmap === undefined) return;
    const words = wordsOf(bitmap.bytes);
    if (!areAllSet(words, start, start + length)) {
      const { superblock } = this.#fs;
      const first = nextZero(words, NOTHING_WITHHELD, start, start + length);
      const block = superblock.groupStart(group) + first * superblock.clusterRatio;
      throw corrupt("block bitmap: what is being freed is free", { group, block });
    }
    handle.modify(bitmap);
    clearBits(words, start, start + length);
    const { freeClusters, flags } = this.#fs.groups.get(group);
    this.#fs.groups.update(handle, group, {
      freeClusters: freeClusters + length,
      flags: flags & ~EXT4_BG_BLOCK_UNINIT,
    });
    const withheld = this.#withheldOf(group, words.length);
    setBits(withheld, start, start + length);
    this.#freed.push(run);
    handle.onUndo(() => {
      this.#freed.pop();
      clearBits(withheld, start, start + length);
    });
  }

  /** Withholds clusters that could be handed out; see {@linkcode release}. */
  withhold({ group, start, length }: ClusterRun): void {
    const words = this.#fs.blockSize / 4;
    setBits(this.#withheldOf(group, words), start, start + length);
    this.#makeAvailable(group, -length);
  }

  /** Ends a {@linkcode withhold}, or a part of it. */
  release({ group, start, length }: ClusterRun): void {
    clearBits(this.#withheldOf(group, this.#fs.blockSize / 4), start, start + length);
    this.#makeAvailable(group, length);
  }

  /**
   * The bitmap of a group's clusters is written with the next commit, where the disk had none. False
   * when it is damaged.
   */
  initialise(handle: Handle, group: number): boolean {
    const { flags } = this.#fs.groups.get(group);
    const bitmap = this.#bitmap(group);
    if (bitmap === undefined) return false;
    if ((flags & EXT4_BG_BLOCK_UNINIT) === 0) return true;
    handle.modify(bitmap);
    this.#fs.groups.update(handle, group, { flags: flags & ~EXT4_BG_BLOCK_UNINIT });
    return true;
  }

  /**
   * Calls `act` with the runs of at least `shortest` clusters in [start, end) whose content nobody
   * needs. What was freed since the last commit is not among them; what is reserved is.
   */
  eachFreeRun(
    group: number,
    start: number,
    end: number,
    shortest: number,
    act: (run: ClusterRun) => void,
  ): void {
    const bitmap = this.#bitmap(group);
    if (bitmap === undefined) return;
    const words = wordsOf(bitmap.bytes);
    const freed = this.#freedBits(group, words.length);
    for (let at = nextZero(words, freed, start, end); at < end;) {
      const stop = nextSet(words, freed, at, end);
      if (stop - at >= shortest) act({ group, start: at, length: stop - at });
      at = nextZero(words, freed, stop, end);
    }
  }

  /** True when all runs of this length in a group were discarded and nothing was freed since. */
  wasDiscarded(group: number, shortest: number): boolean {
    return (this.#discarded.get(group) ?? Infinity) <= shortest;
  }

  noteDiscarded(group: number, shortest: number): void {
    this.#discarded.set(group, shortest);
  }

  /** Leaves a group alone from now on, and reports why. */
  giveUp(group: number, error: FsError): void {
    this.#damaged.add(group);
    this.#fs.report(error);
  }

  /** The bitmap, or undefined where it is damaged, which is reported once. */
  #bitmap(group: number): Block | undefined {
    if (this.#damaged.has(group)) return undefined;
    try {
      return this.#bitmaps.ofBlocks(group);
    } catch (error) {
      if (!(error instanceof FsError) || !error.isCorruption) throw error;
      this.giveUp(group, error);
      return undefined;
    }
  }

  /** How long the longest run is has to be found out anew where there is more than before. */
  #makeAvailable(group: number, change: number): void {
    this.#available[group] += change;
    if (change > 0) this.#longest[group] = UNKNOWN;
  }

  #withheldOf(group: number, words: number): Uint32Array {
    let withheld = this.#withheld.get(group);
    if (withheld === undefined) {
      withheld = new Uint32Array(words);
      this.#withheld.set(group, withheld);
    }
    return withheld;
  }

  #freedBits(group: number, words: number): Uint32Array {
    const bits = new Uint32Array(words);
    for (const run of this.#freed) {
      if (run.group === group) setBits(bits, run.start, run.start + run.length);
    }
    return bits;
  }

  #releaseFreed(): void {
    const groups = new Set<number>();
    for (const run of this.#freed) {
      this.release(run);
      groups.add(run.group);
    }
    this.#freed = [];
    for (const group of groups) {
      this.#discarded.delete(group);
      const withheld = this.#withheld.get(group);
      if (withheld?.every((word) => word === 0)) this.#withheld.delete(group);
    }
  }
}
