/**
 * Which blocks are in use after a replay of fast commits. They do not say: the bitmaps follow from
 * where the inodes that they concern have their blocks.
 *
 *  1. Before the replay, all blocks that it will give to files are taken, so that what it has to
 *     allocate, for names and for extents, gets others.
 *  2. Before an inode changes, its blocks are noted.
 *  3. At the end, all that was noted or taken is free, and then all that these inodes have is in use:
 *     blocks may have gone from one to another, or come and gone.
 */

import { EXT4_BG_BLOCK_UNINIT } from "../../disk/group_desc.ts";
import type { FastCommitOperation } from "../../jbd2/fast_commit.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { corrupt } from "../../sys/fs_error.ts";
import {
  clearBits,
  countZeros,
  nextSet,
  nextZero,
  NOTHING_WITHHELD,
  setBits,
  wordsOf,
} from "../allocation/bits.ts";
import type { BlockRun } from "../allocation/block_allocator.ts";
import {
  childBlock,
  childNode,
  entryCount,
  extentAt,
  type ExtentNode,
  rootNode,
} from "../map/extent_node.ts";
import { inodeInUse } from "./fast_commit_replay_inodes.ts";
import type { FileSystem } from "../filesystem.ts";
import type { ClusterRun } from "../allocation/free_space.ts";
import type { Inode } from "../inode/inode.ts";
import { allEntries } from "../xattr/xattr.ts";

/** Runs of clusters that one operation changes at most. */
const RUNS_AT_ONCE = 256;

export class ReplayedSpace {
  readonly #fs: FileSystem;
  /** By inode number: blocks that it had before the replay. */
  readonly #before = new Map<number, readonly BlockRun[]>();
  /** What was free before step 1. */
  readonly #taken: ClusterRun[] = [];
  /** Numbers that had no file before, or another one. */
  readonly #new = new Set<number>();
  readonly #onTouch: (ino: number, inode: Inode | undefined) => void;

  /** @param onTouch called before the first change of an inode; a number may have had none before */
  constructor(fs: FileSystem, onTouch: (ino: number, inode: Inode | undefined) => void) {
    this.#fs = fs;
    this.#onTouch = onTouch;
  }

  /** Step 1. Throws EUCLEAN for blocks that no file can have. */
  reserve(operations: readonly FastCommitOperation[]): void {
    for (const operation of operations) {
      if (operation.kind !== "add_range") continue;
      const { start: block, length: count } = operation;
      requireForFiles(this.#fs, block, count);
      for (const clusters of clusterRuns(this.#fs, { block, count })) this.#take(clusters);
    }
  }

  /** Step 2: an inode in use is about to change. */
  touch(inode: Inode): void {
    if (this.#before.has(inode.ino)) return;
    this.#before.set(inode.ino, [...blocksOf(this.#fs, inode)]);
    this.#onTouch(inode.ino, inode);
  }

  /** The same for a number that no file has. */
  touchNew(ino: number): void {
    this.#new.add(ino);
    if (this.#before.has(ino)) return;
    this.#before.set(ino, []);
    this.#onTouch(ino, undefined);
  }

  /** True for an inode that was made in the replay. */
  isNew(ino: number): boolean {
    return this.#new.has(ino);
  }

  /** Step 3, after all inodes without links were freed. */
  settle(): void {
    this.#mark(this.#taken, false);
    for (const runs of this.#before.values()) this.#markBlocks(runs, false);
    for (const ino of this.#before.keys()) {
      const inode = inodeInUse(this.#fs, ino);
      if (inode === undefined) continue;
      this.#markBlocks([...blocksOf(this.#fs, inode)], true);
      this.settleInode(inode);
    }
  }

  /** The inode's count of blocks is what it should be. */
  settleInode(inode: Inode): void {
    if (!hasExtents(inode)) return;
    const { blockSize } = this.#fs;
    const sectors = countBlocks(this.#fs, inode) * (blockSize / 512);
    if (sectors === inode.blocks512(blockSize)) return;
    this.#fs.change((handle) => {
      this.#fs.modifyInode(handle, inode);
      inode.setBlocks512(sectors, blockSize);
    });
  }

  #take({ group, start, length }: ClusterRun): void {
    const words = wordsOf(this.#fs.writing.blocks.bitmaps.ofBlocks(group).bytes);
    const end = start + length;
    const free: ClusterRun[] = [];
    for (let at = nextZero(words, NOTHING_WITHHELD, start, end); at < end;) {
      const stop = nextSet(words, NOTHING_WITHHELD, at, end);
      free.push({ group, start: at, length: stop - at });
      at = nextZero(words, NOTHING_WITHHELD, stop, end);
    }
    this.#mark(free, true);
    this.#taken.push(...free);
  }

  #markBlocks(runs: readonly BlockRun[], inUse: boolean): void {
    this.#mark(runs.flatMap((run) => [...clusterRuns(this.#fs, run)]), inUse);
  }

  #mark(runs: readonly ClusterRun[], inUse: boolean): void {
    for (let done = 0; done < runs.length; done += RUNS_AT_ONCE) {
      this.#fs.change((handle) => {
        for (const run of runs.slice(done, done + RUNS_AT_ONCE)) {
          markClusters(this.#fs, handle, run, inUse);
        }
      });
    }
  }
}

/** True for an inode whose blocks are known from its extents. */
export function hasExtents(inode: Inode): boolean {
  return inode.usesExtents && !inode.hasInlineData;
}

function requireForFiles({ superblock, writing }: FileSystem, block: number, count: number): void {
  const { firstDataBlock, blocksCount } = superblock;
  const isInside = count >= 1 && block > firstDataBlock && block + count <= blocksCount;
  if (isInside && !writing.blocks.zones.touches(block, count)) return;
  throw corrupt(`fast commit: ${count} blocks that no file can have`, { block });
}

/** All blocks that an inode has for its content: data, and nodes of its tree. */
function* blocksOf(fs: FileSystem, inode: Inode): Generator<BlockRun> {
  if (hasExtents(inode)) yield* blocksBelow(fs, inode, rootNode(inode));
}

function* blocksBelow(fs: FileSystem, inode: Inode, node: ExtentNode): Generator<BlockRun> {
  for (let entry = 0; entry < entryCount(node); entry++) {
    if (node.depth === 0) {
      const { physicalBlock, count } = extentAt(node, entry);
      requireForFiles(fs, physicalBlock, count);
      yield { block: physicalBlock, count };
    } else {
      const child = childNode(fs, inode, node, entry);
      yield { block: childBlock(node, entry), count: 1 };
      yield* blocksBelow(fs, inode, child);
    }
  }
}

/**
 * What i_blocks counts, in blocks: whole clusters, each once, and those of the attributes. Large
 * values of these have inodes of their own, but count for each file that refers to them.
 */
function countBlocks(fs: FileSystem, inode: Inode): number {
  const { clusterRatio } = fs.superblock;
  let clusters = inode.fileAcl === 0 ? 0 : 1;
  for (const { valueIno, valueSize } of allEntries(fs, inode)) {
    if (valueIno !== 0) clusters += Math.ceil(valueSize / (fs.blockSize * clusterRatio));
  }
  /** The first cluster, counted through the file, that is not counted yet. */
  let next = 0;
  const visit = (node: ExtentNode) => {
    for (let entry = 0; entry < entryCount(node); entry++) {
      if (node.depth > 0) {
        clusters++;
        visit(childNode(fs, inode, node, entry));
        continue;
      }
      const { fileBlock, count } = extentAt(node, entry);
      const first = Math.max(next, Math.floor(fileBlock / clusterRatio));
      next = Math.ceil((fileBlock + count) / clusterRatio);
      clusters += next - first;
    }
  };
  visit(rootNode(inode));
  return clusters * clusterRatio;
}

function* clusterRuns(
  { superblock }: FileSystem,
  { block, count }: BlockRun,
): Generator<ClusterRun> {
  const { firstDataBlock, clusterRatio, clustersPerGroup } = superblock;
  const end = Math.ceil((block + count - firstDataBlock) / clusterRatio);
  for (let at = Math.floor((block - firstDataBlock) / clusterRatio); at < end;) {
    const group = Math.floor(at / clustersPerGroup);
    const stop = Math.min(end, (group + 1) * clustersPerGroup);
    yield { group, start: at % clustersPerGroup, length: stop - at };
    at = stop;
  }
}

/** Marks clusters as in use or as free, whatever they were before. */
function markClusters(
  fs: FileSystem,
  handle: Handle,
  { group, start, length }: ClusterRun,
  inUse: boolean,
): void {
  const bitmap = fs.writing.blocks.bitmaps.ofBlocks(group);
  const words = wordsOf(bitmap.bytes);
  const free = countZeros(words, start, start + length);
  const changed = inUse ? free : length - free;
  if (changed === 0) return;
  handle.modify(bitmap);
  (inUse ? setBits : clearBits)(words, start, start + length);
  const { freeClusters, flags } = fs.groups.get(group);
  fs.groups.update(handle, group, {
    freeClusters: freeClusters + (inUse ? -changed : changed),
    flags: flags & ~EXT4_BG_BLOCK_UNINIT,
  });
}
