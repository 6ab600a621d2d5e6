/**
 * Gives blocks to files and takes them back.
 *
 * A request names a goal, such as the block behind the file's last one. It gets, in this order:
 * what is free at the goal; the first run of the goal's group that is long enough; one of the
 * groups that follow; and the longest that was seen on the way, where none is. Files that grow have
 * room reserved (reservation.ts), freed blocks wait for the commit (free_space.ts).
 *
 * With bigalloc everything is in clusters: a bit of the bitmap, and the least that a file can get.
 */

import type { Handle } from "../../jbd2/handle.ts";
import type { Transactions } from "../../jbd2/transactions.ts";
import { Errno } from "../../sys/errno.ts";
import { corrupt, fail, FsError } from "../../sys/fs_error.ts";
import { chargeBlocks, prepareCharge, refundBlocks } from "../quota/accounting.ts";
import { Bitmaps } from "./bitmaps.ts";
import type { FileSystem } from "../filesystem.ts";
import { type ClusterRun, FreeSpace } from "./free_space.ts";
import { inodeGoal } from "./group_choice.ts";
import type { Inode } from "../inode/inode.ts";
import { MetadataZones } from "./metadata_zones.ts";
import { Reservations } from "./reservation.ts";
import {
  heldBackClusters,
  mayUseReserve,
  reservedClusters,
  type SpaceUser,
} from "./space_limits.ts";

/** What is asked for. Numbers are in blocks. */
export interface BlockRequest {
  /** The file that gets the blocks, and whose owners' quota pays for them. */
  readonly inode: Inode;
  /** Where they had best begin; {@linkcode inodeGoal} for the first ones of a file. */
  readonly goal: number;
  /** At least 1. */
  readonly count: number;
  /** A block of metadata is allocated alone and never from what is reserved for growing files. */
  readonly purpose: "data" | "metadata";
  /** Whether root's reserve may be used; without it, BlockAllocator.user decides. */
  readonly mayUseReserve?: boolean;
  /** The operation gives space back, or must not fail for want of it: nothing is held back. */
  readonly mayUseAll?: boolean;
}

/** Blocks that lie together. */
export interface BlockRun {
  readonly block: number;
  readonly count: number;
}

/** Groups that are searched for a long run before a shorter one is taken. */
const MAX_SEARCHED = 32;

/**
 * Clusters that had best be free behind what is given where the goal is taken. What follows in the
 * file then fits there as well, and does not take the goals of others in its turn.
 */
const AHEAD_OF_DISPLACED = 16;

interface SearchHints {
  /** Clusters behind the ones that are asked for that had best be free too. */
  readonly ahead: number;
  /** The goal goes on from something: there, any length is welcome. */
  readonly continues: boolean;
}

/** What is only needed once something is allocated: every descriptor is read for it. */
interface Parts {
  readonly zones: MetadataZones;
  readonly bitmaps: Bitmaps;
  readonly space: FreeSpace;
  readonly reservations: Reservations;
}

export class BlockAllocator {
  readonly #fs: FileSystem;
  readonly #transactions: Transactions;
  #loaded: Parts | undefined;
  /** Who asks for space, for the blocks that are not for everybody; undefined: fuse4fs itself. */
  user: SpaceUser | undefined;

  constructor(fs: FileSystem, transactions: Transactions) {
    this.#fs = fs;
    this.#transactions = transactions;
    transactions.onOutOfSpace(() => this.#loaded?.space.isWaiting ?? false);
  }

  /** Free clusters, also those that can only be handed out after the next commit. */
  get freeClusters(): number {
    return this.#fs.groups.totals.all.freeClusters;
  }

  /** Which blocks are the file system's own. */
  get zones(): MetadataZones {
    return this.#parts.zones;
  }

  get bitmaps(): Bitmaps {
    return this.#parts.bitmaps;
  }

  get space(): FreeSpace {
    return this.#parts.space;
  }

  /**
   * Reads and checks what allocation builds on: all group descriptors, and that no two structures
   * lie in the same place. Otherwise the first allocation does it. Throws EUCLEAN and EBADMSG.
   */
  load(): void {
    this.#loaded ??= this.#load();
  }

  /**
   * Takes one run of free blocks, which may be shorter than what is asked for. With bigalloc it
   * consists of whole clusters: it begins with the first block of one and may so be longer.
   * Throws ENOSPC and EDQUOT.
   */
  allocate(handle: Handle, request: BlockRequest): BlockRun {
    const { inode, goal, purpose } = request;
    const { space, reservations } = this.#parts;
    prepareCharge(this.#fs, handle, inode);
    const mayGrow = purpose === "data" && inode.isRegular;
    const isGrowing = mayGrow && reservations.isGrowing(inode.ino, goal);
    // What is reserved for this file is what it is to get.
    if (mayGrow) reservations.drop(inode.ino, handle);
    const continues = isGrowing || goal !== inodeGoal(this.#fs, inode);
    const isDisplaced = mayGrow && continues && !isGrowing;
    const found = this.#findUnused(handle, request, {
      ahead: isGrowing ? this.#aheadOf(inode) : isDisplaced ? AHEAD_OF_DISPLACED : 0,
      continues,
    });
    const run = { ...found, length: this.#charge(handle, request, found.length) };
    space.take(handle, run);
    if (mayGrow) this.#expectMore(handle, inode, run, isGrowing);
    return this.#handOut(request, run);
  }

  /** The same at nobody's cost, as for a block that several inodes share. */
  allocateUncharged(handle: Handle, request: Omit<BlockRequest, "inode">): BlockRun {
    const run = this.#findUnused(handle, request, { ahead: 0, continues: true });
    this.#parts.space.take(handle, run);
    return this.#handOut(request, run);
  }

  /**
   * Gives blocks back; with bigalloc, all clusters that they are in. They are free for others after
   * the next commit. Throws EUCLEAN when they were free already, or are the file system's own.
   */
  free(handle: Handle, inode: Inode, block: number, count: number): void {
    const blocks = this.freeUncharged(handle, block, count);
    refundBlocks(this.#fs, handle, inode, blocks);
  }

  /** The same where nobody paid. Returns how many blocks were freed. */
  freeUncharged(handle: Handle, block: number, count: number): number {
    const { superblock } = this.#fs;
    const { firstDataBlock, blocksCount, clusterRatio, clustersPerGroup } = superblock;
    if (!(count >= 1 && block >= firstDataBlock && block + count <= blocksCount)) {
      throw corrupt(`block map: ${count} blocks to be freed are outside the file system`, {
        block,
      });
    }
    const first = Math.floor((block - firstDataBlock) / clusterRatio);
    const end = Math.ceil((block + count - firstDataBlock) / clusterRatio);
    const start = firstDataBlock + first * clusterRatio;
    if (this.zones.touches(start, (end - first) * clusterRatio)) {
      throw corrupt("block map: what is being freed is the file system's own", { block });
    }
    for (let at = first; at < end;) {
      const group = Math.floor(at / clustersPerGroup);
      const stop = Math.min(end, (group + 1) * clustersPerGroup);
      this.space.give(handle, { group, start: at % clustersPerGroup, length: stop - at });
      at = stop;
    }
    return (end - first) * clusterRatio;
  }

  /**
   * Nobody writes to the file any more: what is reserved for it is for all.
   * @param handle inside an operation
   */
  dropReservation(ino: number, handle?: Handle): void {
    this.#loaded?.reservations.drop(ino, handle);
  }

  get #parts(): Parts {
    return this.#loaded ??= this.#load();
  }

  #load(): Parts {
    const zones = MetadataZones.of(this.#fs);
    const bitmaps = new Bitmaps(this.#fs, zones);
    const space = new FreeSpace(this.#fs, bitmaps, this.#transactions);
    return { zones, bitmaps, space, reservations: new Reservations(space) };
  }

  /**
   * As #find, but for groups whose bitmap calls free what is known to be in use: a block of metadata
   * would be changed under the hands of the very operation that asks.
   */
  #findUnused(
    handle: Handle,
    request: Omit<BlockRequest, "inode">,
    hints: SearchHints,
  ): ClusterRun {
    for (;;) {
      const run = this.#find(handle, request, hints);
      const inUse = this.#firstInUse(this.#blocksOf(run));
      if (inUse === undefined) return run;
      const place = { group: run.group, block: inUse };
      this.#parts.space.giveUp(run.group, corrupt("block bitmap: a block in use is free", place));
    }
  }

  /** A block that memory knows as metadata. Those that were freed are forgotten at the commit. */
  #firstInUse({ block, count }: BlockRun): number | undefined {
    const { cache } = this.#fs;
    for (let number = block; number < block + count; number++) {
      const known = cache.peek(number);
      if (known !== undefined && (known.verifiedAs !== 0 || known.holds > 0)) return number;
    }
    return undefined;
  }

  /** Free clusters for a request, at most as many as it asks for. Throws ENOSPC. */
  #find(handle: Handle, request: Omit<BlockRequest, "inode">, hints: SearchHints): ClusterRun {
    const { clusterRatio } = this.#fs.superblock;
    const wanted = Math.min(Math.ceil(request.count / clusterRatio), this.#room(request));
    const search = () => this.#search(request.goal, wanted, hints);
    if (wanted > 0) {
      const run = search() ?? (this.#parts.reservations.dropAll(handle) ? search() : undefined);
      if (run !== undefined) return run;
    }
    throw fail("ENOSPC", "No space left on the file system");
  }

  /** How many clusters whoever asks may still get. */
  #room(request: Omit<BlockRequest, "inode">): number {
    if (request.mayUseAll) return this.freeClusters;
    const { superblock } = this.#fs;
    const mayUseAllReserved = request.mayUseReserve ??
      (this.user === undefined || mayUseReserve(superblock, this.user));
    const reserved = mayUseAllReserved ? 0 : reservedClusters(superblock);
    return this.freeClusters - reserved - heldBackClusters(superblock);
  }

  /** At most `wanted` clusters, or undefined when there are none. */
  #search(goal: number, wanted: number, { ahead, continues }: SearchHints): ClusterRun | undefined {
    const { space } = this.#parts;
    const at = this.#place(goal);
    const atGoal = space.lengthAt(at.group, at.start, wanted);
    if (atGoal === wanted || (continues && atGoal > 0)) return { ...at, length: atGoal };

    const { groupCount } = this.#fs.superblock;
    let longest: ClusterRun | undefined;
    let searched = 0;
    for (let distance = 0; distance < groupCount; distance++) {
      const group = (at.group + distance) % groupCount;
      if (space.isTooFull(group, 1 + (longest?.length ?? 0))) continue;
      const run = space.find(group, distance === 0 ? at.start : 0, wanted + ahead);
      if (run !== undefined && run.length > (longest?.length ?? 0)) longest = run;
      if (longest === undefined) continue;
      if (longest.length >= wanted || ++searched === MAX_SEARCHED) break;
    }
    return longest && { ...longest, length: Math.min(longest.length, wanted) };
  }

  /** Group and cluster of a block; a goal that makes no sense is taken for the first block. */
  #place(goal: number): { group: number; start: number } {
    const { firstDataBlock, blocksCount, clusterRatio, clustersPerGroup } = this.#fs.superblock;
    if (!(goal >= firstDataBlock && goal < blocksCount)) return { group: 0, start: 0 };
    const cluster = Math.floor((goal - firstDataBlock) / clusterRatio);
    return {
      group: Math.floor(cluster / clustersPerGroup),
      start: cluster % clustersPerGroup,
    };
  }

  /**
   * Lets the file's owners pay, and returns for how many clusters: where the quota does not allow
   * all, a part of it is better than nothing. Throws EDQUOT when it does not allow one.
   */
  #charge(handle: Handle, { inode, mayUseAll }: BlockRequest, clusters: number): number {
    const { clusterRatio } = this.#fs.superblock;
    for (let count = clusters;; count = Math.ceil(count / 2)) {
      try {
        chargeBlocks(this.#fs, handle, inode, count * clusterRatio, mayUseAll);
        return count;
      } catch (error) {
        const isQuota = error instanceof FsError && error.errno === Errno.EDQUOT;
        if (!isQuota || count === 1) throw error;
      }
    }
  }

  /** How many clusters to reserve for a file that grows. */
  #aheadOf(inode: Inode): number {
    const { blockSize, clusterRatio } = this.#fs.superblock;
    const bytes = Reservations.bytesFor(inode.blocks512(blockSize) * 512);
    return Math.ceil(bytes / (blockSize * clusterRatio));
  }

  #expectMore(handle: Handle, inode: Inode, run: ClusterRun, isGrowing: boolean): void {
    const { space, reservations } = this.#parts;
    const { group } = run;
    const start = run.start + run.length;
    const length = isGrowing ? space.lengthAt(group, start, this.#aheadOf(inode)) : 0;
    const reserved = length > 0 ? { group, start, length } : undefined;
    reservations.expect(handle, inode.ino, this.#blockOf(group, start), reserved);
  }

  #blockOf(group: number, cluster: number): number {
    return this.#fs.superblock.groupStart(group) + cluster * this.#fs.superblock.clusterRatio;
  }

  #handOut(request: Omit<BlockRequest, "inode">, run: ClusterRun): BlockRun {
    const { block, count } = this.#blocksOf(run);
    if (request.purpose === "data") this.#dropStale(block, count);
    return { block, count };
  }

  #blocksOf(run: ClusterRun): BlockRun {
    const { clusterRatio, blocksCount } = this.#fs.superblock;
    const block = this.#blockOf(run.group, run.start);
    return { block, count: Math.min(run.length * clusterRatio, blocksCount - block) };
  }

  /** What is written to these blocks now passes the cache by, which may know them from before. */
  #dropStale(block: number, count: number): void {
    const { cache } = this.#fs;
    for (let number = block; number < block + count; number++) {
      if (cache.peek(number)?.holds === 0) cache.drop(number);
    }
  }
}
