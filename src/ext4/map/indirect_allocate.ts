/**
 * Gives blocks to a hole of a file with a map of pointers (see indirect.ts): blocks of pointers that
 * are missing on the way come first, so that they lie between the data as these are read.
 */

import { EXT4_NDIR_BLOCKS, Ext4Inode } from "../../disk/inode.ts";
import type { Block } from "../../block/block_cache.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { fail } from "../../sys/fs_error.ts";
import type { NewBlocks } from "./block_map_write.ts";
import { requireOrdinary } from "./extent_cursor.ts";
import type { FileSystem } from "../filesystem.ts";
import { inodeGoal } from "../allocation/group_choice.ts";
import { findPath, mapIndirect, POINTER_SIZE, pointerBlock } from "./indirect.ts";
import type { Inode } from "../inode/inode.ts";
import type { Mapping } from "./block_map.ts";
import { EXT_MAX_BLOCKS, indirectBlocks } from "./size_limits.ts";

/** Pointers have 32 bits. */
const POINTER_LIMIT = 2 ** 32;

/** A table of pointers: in the inode, or a block of them. */
export class PointerTable {
  readonly #fs: FileSystem;
  readonly #inode: Inode;
  readonly #view: DataView;
  readonly #offset: number;

  /** @param block without it, the table in the inode */
  constructor(fs: FileSystem, inode: Inode, readonly block?: Block) {
    this.#fs = fs;
    this.#inode = inode;
    this.#view = block?.view ?? inode.view;
    this.#offset = block === undefined ? Ext4Inode.i_block.offset : 0;
  }

  get(index: number): number {
    return this.#view.getUint32(this.#offset + index * POINTER_SIZE, true);
  }

  /** Only after {@linkcode announce}. */
  set(index: number, pointer: number): void {
    this.#view.setUint32(this.#offset + index * POINTER_SIZE, pointer, true);
  }

  announce(handle: Handle): void {
    if (this.block === undefined) this.#fs.modifyInode(handle, this.#inode);
    else handle.modify(this.block);
  }

  /** The table that a pointer leads to. Throws EUCLEAN. */
  below(pointer: number): PointerTable {
    requireOrdinary(this.#fs, this.#inode, pointer);
    return new PointerTable(this.#fs, this.#inode, pointerBlock(this.#fs, this.#inode, pointer));
  }
}

/** mapNewBlocks for an inode without extents. */
export function mapNewIndirect(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  { fileBlock, count, unwritten, purpose }: NewBlocks,
): Mapping {
  if (unwritten) throw fail("EOPNOTSUPP", "Only extents can be unwritten", { ino: inode.ino });
  const { blockSize, writing } = fs;
  if (fileBlock >= Math.min(indirectBlocks(blockSize), EXT_MAX_BLOCKS)) {
    throw fail("EFBIG", "File too large", { ino: inode.ino });
  }
  const goal = goalOf(fs, inode, fileBlock);
  const { slot, indexes } = findPath(inode, fileBlock, blockSize / POINTER_SIZE);
  let table = new PointerTable(fs, inode);
  let at = slot;
  for (const index of indexes) {
    const pointer = table.get(at);
    table = pointer === 0 ? addTable(fs, handle, inode, table, at, goal) : table.below(pointer);
    at = index;
  }
  const size = table.block === undefined ? EXT4_NDIR_BLOCKS : blockSize / POINTER_SIZE;
  const wanted = zerosFrom(table, at, Math.min(size, at + count));
  if (wanted === 0) throw new Error(`inode ${inode.ino}: file block ${fileBlock} is no hole`);
  const run = writing.blocks.allocate(handle, { inode, goal, count: wanted, purpose });
  requirePointable(run.block + run.count);
  table.announce(handle);
  for (let place = 0; place < run.count; place++) table.set(at + place, run.block + place);
  return { kind: "mapped", fileBlock, physicalBlock: run.block, count: run.count };
}

function addTable(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  parent: PointerTable,
  at: number,
  goal: number,
): PointerTable {
  const request = { inode, goal, count: 1, purpose: "metadata" } as const;
  const { block: number } = fs.writing.blocks.allocate(handle, request);
  requirePointable(number + 1);
  const block = handle.create(number);
  parent.announce(handle);
  parent.set(at, number);
  return new PointerTable(fs, inode, block);
}

/** Behind the block before, or near what the same table points to, or near the inode. */
function goalOf(fs: FileSystem, inode: Inode, fileBlock: number): number {
  for (const distance of [1, 2, EXT4_NDIR_BLOCKS]) {
    if (distance > fileBlock) break;
    const near = mapIndirect(fs, inode, fileBlock - distance, 1);
    if (near.kind !== "mapped") continue;
    const goal = near.physicalBlock + distance;
    return goal < fs.superblock.blocksCount ? goal : near.physicalBlock;
  }
  return inodeGoal(fs, inode);
}

function zerosFrom(table: PointerTable, start: number, end: number): number {
  let at = start;
  while (at < end && table.get(at) === 0) at++;
  return at - start;
}

/** The allocator gives the lowest free blocks last resort: those behind it cannot be pointed to. */
function requirePointable(end: number): void {
  if (end > POINTER_LIMIT) throw fail("ENOSPC", "No space left that block pointers can reach");
}
