/**
 * What an operation frees of one file: it counts the blocks of metadata that change, so that the
 * operation ends while it is small, and keeps the journal from bringing old content back.
 */

import { EXT4_EA_INODE_FL } from "../../disk/inode.ts";
import { Ext4SuperBlock as Sb } from "../../disk/superblock.ts";
import type { Handle } from "../../jbd2/handle.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";

/** Blocks of bitmaps and of the map that one operation changes at most, more or less. */
const MOST_CHANGED = 48;

/** What one operation has freed so far, and whether it may free more. */
export class FreedBlocks {
  readonly #fs: FileSystem;
  readonly #handle: Handle;
  readonly #inode: Inode;
  readonly #isJournaled: boolean;
  readonly #groups = new Set<number>();
  #nodes = 0;

  constructor(fs: FileSystem, handle: Handle, inode: Inode) {
    this.#fs = fs;
    this.#handle = handle;
    this.#inode = inode;
    this.#isJournaled = hasJournaledContent(fs, inode);
  }

  /** True when the operation has changed enough. */
  get isEnough(): boolean {
    return this.#groups.size + this.#nodes >= MOST_CHANGED;
  }

  /** A node of the map, or a table of pointers, was looked at and may have changed. */
  countNode(): void {
    this.#nodes++;
  }

  /** Frees blocks of content; with bigalloc, the clusters that they are in. */
  free(block: number, count: number): void {
    this.#fs.writing.blocks.free(this.#handle, this.#inode, block, count);
    const { firstDataBlock, blocksPerGroup } = this.#fs.superblock;
    const last = Math.floor((block + count - 1 - firstDataBlock) / blocksPerGroup);
    let group = Math.floor((block - firstDataBlock) / blocksPerGroup);
    for (; group <= last; group++) this.#groups.add(group);
    if (this.#isJournaled) {
      for (let number = block; number < block + count; number++) this.#handle.forget(number);
    }
  }

  /** Frees a block of pointers. */
  freeTable(block: number): void {
    this.#handle.forget(block);
    this.#fs.writing.blocks.free(this.#handle, this.#inode, block, 1);
  }
}

/** True when the content of a file goes through the journal: it is metadata, for us or the kernel. */
function hasJournaledContent({ superblock }: FileSystem, inode: Inode): boolean {
  const { ino } = inode;
  return !inode.isRegular || inode.hasFlag(EXT4_EA_INODE_FL) || ino < superblock.firstInode ||
    ino === Sb.s_prj_quota_inum.get(superblock.view, 0) ||
    ino === Sb.s_orphan_file_inum.get(superblock.view, 0);
}
