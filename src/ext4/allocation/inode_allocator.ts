/** Gives out inode numbers and takes them back: the inode bitmaps, and what counts them. */

import { EXT4_BG_BLOCK_UNINIT, EXT4_BG_INODE_UNINIT } from "../../disk/group_desc.ts";
import type { Block } from "../../block/block_cache.ts";
import type { Handle } from "../../jbd2/handle.ts";
import type { Transactions } from "../../jbd2/transactions.ts";
import { corrupt, fail, FsError } from "../../sys/fs_error.ts";
import { S_IFDIR, S_IFMT } from "../../sys/stat.ts";
import { clearBits, isSet, nextZero, NOTHING_WITHHELD, setBits, wordsOf } from "./bits.ts";
import type { FileSystem } from "../filesystem.ts";
import { chooseForDirectory, chooseForFile, groupOfInode } from "./group_choice.ts";
import type { Inode } from "../inode/inode.ts";
import { useTableUpTo } from "./inode_table_growth.ts";

/** Directories for which it is known where their last new inode went. */
const MAX_PARENTS = 1024;
const NOTHING_FREED: ReadonlyMap<number, Uint32Array> = new Map();

export class InodeAllocator {
  readonly #fs: FileSystem;
  /**
   * By group: a bit for each inode that was freed since the last commit. To use them again at once
   * would be safe, as everything about them becomes durable at the same time, but without a journal
   * commits are not so whole: there an old name could lead to a new file.
   */
  readonly #freed = new Map<number, Uint32Array>();
  /** By the parent's number: the group of the last new inode. Only a hint, so it is not undone. */
  readonly #lastGroup = new Map<number, number>();
  readonly #damaged = new Set<number>();

  constructor(fs: FileSystem, transactions: Transactions) {
    this.#fs = fs;
    transactions.onAfterCommit(() => this.#freed.clear());
  }

  /** Free inodes of the whole file system. */
  get freeInodes(): number {
    return this.#fs.groups.totals.all.freeInodes;
  }

  /** Takes a free inode number for a new file in `parent`. Throws ENOSPC. */
  allocate(handle: Handle, parent: Inode, mode: number): number {
    const isDirectory = (mode & S_IFMT) === S_IFDIR;
    const last = this.#lastGroup.get(parent.ino);
    const choose = isDirectory ? chooseForDirectory : chooseForFile;
    const first = choose(this.#fs, parent, last);
    if (first !== undefined) {
      const ino = this.#takeFrom(handle, first, isDirectory, this.#freed) ??
        this.#takeFrom(handle, first, isDirectory, NOTHING_FREED);
      if (ino !== undefined) {
        this.#remember(parent.ino, groupOfInode(this.#fs, ino));
        return ino;
      }
    }
    throw fail("ENOSPC", "No inode left on the file system");
  }

  /** Takes a number that is known to be in use; nothing happens where the bitmap says so. */
  takeNumber(handle: Handle, ino: number, isDirectory: boolean): void {
    const group = groupOfInode(this.#fs, ino);
    const bitmap = this.#fs.writing.blocks.bitmaps.ofInodes(group);
    const bit = (ino - 1) % this.#fs.superblock.inodesPerGroup;
    if (isSet(wordsOf(bitmap.bytes), bit)) return;
    if (!this.#prepare(handle, group)) throw corrupt("block bitmap: damaged", { group });
    this.#take(handle, group, bitmap, bit, isDirectory);
  }

  /** Gives a number back. Throws EUCLEAN when it was free already. */
  free(handle: Handle, ino: number, isDirectory: boolean): void {
    this.#fs.writing.blocks.dropReservation(ino, handle);
    const { firstInode, inodesCount, inodesPerGroup } = this.#fs.superblock;
    if (!(ino >= firstInode && ino <= inodesCount)) {
      throw corrupt("inode number: not one that can be freed", { ino });
    }
    const group = groupOfInode(this.#fs, ino);
    const bitmap = this.#bitmap(group);
    // A group with a damaged bitmap is left as it is for e2fsck.
    if (bitmap === undefined) return;
    const bit = (ino - 1) % inodesPerGroup;
    if (!isSet(wordsOf(bitmap.bytes), bit)) {
      throw corrupt("inode bitmap: what is being freed is free", { ino, group });
    }
    handle.modify(bitmap);
    clearBits(wordsOf(bitmap.bytes), bit, bit + 1);
    const { freeInodes, usedDirectories } = this.#fs.groups.get(group);
    this.#fs.groups.update(handle, group, {
      freeInodes: freeInodes + 1,
      usedDirectories: usedDirectories - (isDirectory ? 1 : 0),
    });
    const freed = this.#freed.get(group) ?? new Uint32Array(bitmap.bytes.length / 4);
    this.#freed.set(group, freed);
    setBits(freed, bit, bit + 1);
    handle.onUndo(() => clearBits(freed, bit, bit + 1));
  }

  /** The first number that is free and not withheld, from a group and those behind it. */
  #takeFrom(
    handle: Handle,
    first: number,
    isDirectory: boolean,
    withheld: ReadonlyMap<number, Uint32Array>,
  ): number | undefined {
    const { groupCount, inodesPerGroup } = this.#fs.superblock;
    for (let distance = 0; distance < groupCount; distance++) {
      const group = (first + distance) % groupCount;
      if (this.#fs.groups.get(group).freeInodes === 0) continue;
      const bitmap = this.#bitmap(group);
      if (bitmap === undefined) continue;
      const bit = this.#freeBit(group, bitmap, withheld.get(group) ?? NOTHING_WITHHELD);
      if (bit === undefined || !this.#prepare(handle, group)) continue;
      const ino = group * inodesPerGroup + bit + 1;
      if (this.#isFile(group, bit)) {
        this.#giveUp(group, corrupt("inode bitmap: an inode in use is free", { ino, group }));
        continue;
      }
      this.#take(handle, group, bitmap, bit, isDirectory);
      return ino;
    }
    return undefined;
  }

  /** True where the bitmap is wrong. What was never used may hold anything. */
  #isFile(group: number, bit: number): boolean {
    const { inodesPerGroup } = this.#fs.superblock;
    const used = inodesPerGroup - this.#fs.groups.get(group).unusedInodes;
    return bit < used && this.#fs.isFile(group * inodesPerGroup + bit + 1);
  }

  #giveUp(group: number, error: FsError): void {
    this.#damaged.add(group);
    this.#fs.report(error);
  }

  #freeBit(
    group: number,
    bitmap: Block,
    withheld: Readonly<Uint32Array>,
  ): number | undefined {
    const { inodesPerGroup, firstInode } = this.#fs.superblock;
    const words = wordsOf(bitmap.bytes);
    const before = group * inodesPerGroup + 1;
    let bit = Math.max(0, firstInode - before);
    while ((bit = nextZero(words, withheld, bit, inodesPerGroup)) < inodesPerGroup) {
      if (!this.#fs.unlinkedInodes.has(before + bit)) return bit;
      bit++;
    }
    return undefined;
  }

  /** A group with an inode in use has a block bitmap on the disk. False where that is damaged. */
  #prepare(handle: Handle, group: number): boolean {
    if ((this.#fs.groups.get(group).flags & EXT4_BG_BLOCK_UNINIT) === 0) return true;
    return this.#fs.writing.blocks.space.initialise(handle, group);
  }

  #take(handle: Handle, group: number, bitmap: Block, bit: number, isDirectory: boolean): void {
    handle.modify(bitmap);
    setBits(wordsOf(bitmap.bytes), bit, bit + 1);
    useTableUpTo(this.#fs, handle, group, bit + 1);
    const { freeInodes, usedDirectories, flags } = this.#fs.groups.get(group);
    this.#fs.groups.update(handle, group, {
      freeInodes: freeInodes - 1,
      usedDirectories: usedDirectories + (isDirectory ? 1 : 0),
      flags: flags & ~EXT4_BG_INODE_UNINIT,
    });
  }

  /** The bitmap, or undefined where it is damaged, which is reported once. */
  #bitmap(group: number): Block | undefined {
    if (this.#damaged.has(group)) return undefined;
    try {
      return this.#fs.writing.blocks.bitmaps.ofInodes(group);
    } catch (error) {
      if (!(error instanceof FsError) || !error.isCorruption) throw error;
      this.#giveUp(group, error);
      return undefined;
    }
  }

  #remember(parentIno: number, group: number): void {
    this.#lastGroup.delete(parentIno);
    this.#lastGroup.set(parentIno, group);
    if (this.#lastGroup.size <= MAX_PARENTS) return;
    const [oldest] = this.#lastGroup.keys();
    this.#lastGroup.delete(oldest);
  }
}
