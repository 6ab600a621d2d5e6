/**
 * Takes blocks away from a file with a map of pointers, from the end on. A block of pointers that
 * becomes empty is freed with the last of them.
 */

import { EXT4_IND_BLOCK, EXT4_NDIR_BLOCKS } from "../../disk/inode.ts";
import type { Handle } from "../../jbd2/handle.ts";
import type { Unmapping } from "./extents_unmap.ts";
import type { FileSystem } from "../filesystem.ts";
import type { FreedBlocks } from "./freed_blocks.ts";
import { PointerTable } from "./indirect_allocate.ts";
import { POINTER_SIZE } from "./indirect.ts";
import type { Inode } from "../inode/inode.ts";
import { indirectBlocks } from "./size_limits.ts";

/** Levels of tables that a file block can be below. */
const MOST_LEVELS = 3;

/** unmapBlocks for an inode without extents. */
export function unmapIndirect(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  { start, end, freed }: Unmapping,
): number {
  const stop = Math.min(end, indirectBlocks(fs.blockSize));
  if (stop <= start) return start;
  return new Removal(fs, handle, inode, start, freed).run(stop);
}

class Removal {
  readonly #fs: FileSystem;
  readonly #handle: Handle;
  readonly #inode: Inode;
  readonly #start: number;
  readonly #freed: FreedBlocks;
  readonly #perTable: number;
  /** The end of what is left to do. */
  #stop = 0;
  /** Blocks that left the map and are freed together. */
  #block = 0;
  #count = 0;

  constructor(
    fs: FileSystem,
    handle: Handle,
    inode: Inode,
    start: number,
    freed: FreedBlocks,
  ) {
    this.#fs = fs;
    this.#handle = handle;
    this.#inode = inode;
    this.#start = start;
    this.#freed = freed;
    this.#perTable = fs.blockSize / POINTER_SIZE;
  }

  /** Removes from the end `stop` on; returns the end of what is left to do. */
  run(stop: number): number {
    this.#stop = stop;
    const root = new PointerTable(this.#fs, this.#inode);
    let first = indirectBlocks(this.#fs.blockSize);
    for (let levels = MOST_LEVELS; levels > 0 && this.#stop > this.#start; levels--) {
      first -= this.#perTable ** levels;
      this.#below(root, EXT4_IND_BLOCK - 1 + levels, first, levels);
      if (!this.#isDone(first)) break;
    }
    if (this.#stop <= EXT4_NDIR_BLOCKS) this.#content(root, 0);
    this.#flush();
    return this.#stop;
  }

  /** True when everything from a file block on is removed that is to be. */
  #isDone(first: number): boolean {
    return this.#stop <= Math.max(this.#start, first);
  }

  #setDone(first: number): void {
    this.#stop = Math.min(this.#stop, Math.max(this.#start, first));
  }

  /** Removes what is below a pointer, which leads to the file blocks from `first` on. */
  #below(parent: PointerTable, at: number, first: number, levels: number): void {
    if (this.#isDone(first)) return;
    const pointer = parent.get(at);
    if (pointer === 0) return this.#setDone(first);
    if (this.#freed.isEnough) return;
    this.#freed.countNode();
    const table = parent.below(pointer);
    if (levels === 1) this.#content(table, first);
    else this.#tables(table, first, levels - 1);
    if (!isEmpty(table, this.#perTable)) return;
    parent.announce(this.#handle);
    parent.set(at, 0);
    this.#freed.freeTable(pointer);
  }

  #tables(table: PointerTable, first: number, levels: number): void {
    const covered = this.#perTable ** levels;
    let at = Math.min(this.#perTable, Math.ceil((this.#stop - first) / covered));
    while (--at >= 0 && this.#stop > this.#start) {
      const start = first + at * covered;
      this.#below(table, at, start, levels);
      if (!this.#isDone(start)) return;
    }
  }

  /** Removes pointers to content from a table, whose first one is that of file block `first`. */
  #content(table: PointerTable, first: number): void {
    const start = Math.max(0, this.#start - first);
    let at = Math.min(this.#perTable, this.#stop - first);
    while (--at >= start) {
      const pointer = table.get(at);
      if (pointer === 0) continue;
      if (!this.#add(pointer)) return this.#setDone(first + at + 1);
      table.announce(this.#handle);
      table.set(at, 0);
    }
    this.#setDone(first);
  }

  /** False when the operation should free no more runs of blocks. */
  #add(block: number): boolean {
    if (this.#count > 0 && block === this.#block - 1) this.#count++;
    else {
      this.#flush();
      if (this.#freed.isEnough) return false;
      this.#count = 1;
    }
    this.#block = block;
    return true;
  }

  #flush(): void {
    if (this.#count > 0) this.#freed.free(this.#block, this.#count);
    this.#count = 0;
  }
}

function isEmpty(table: PointerTable, size: number): boolean {
  for (let at = 0; at < size; at++) {
    if (table.get(at) !== 0) return false;
  }
  return true;
}
