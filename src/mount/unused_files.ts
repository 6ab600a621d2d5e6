/**
 * Files that have neither a name nor anybody who has them open: they are freed when all is quiet,
 * since nobody waits for that. Until then they are orphans on the disk, as files are that somebody
 * has open.
 *
 * Nobody may notice that they still take space. So all of them are freed before space is counted,
 * and before it is taken where there is little of it.
 */

import { evictUnheard } from "../ext4/inode/evict.ts";
import type { FileSystem } from "../ext4/filesystem.ts";
import { usage } from "../ext4/superblock/statfs.ts";

/** With so many of them waiting, one is freed for each that comes. */
const MOST_WAITING = 16384;

/**
 * Bytes. No request takes more than half of this without saying how much (fallocate), which
 * {@linkcode UnusedFiles.freeAll} is for.
 */
const PLENTY = 128 << 20;

export class UnusedFiles {
  readonly #fs: FileSystem;
  readonly #isInUse: (ino: number) => boolean;
  readonly #waiting: number[] = [];

  /** @param isInUse whether the kernel has come to know a file again meanwhile */
  constructor(fs: FileSystem, isInUse: (ino: number) => boolean) {
    this.#fs = fs;
    this.#isInUse = isInUse;
  }

  /** Notes a file. It is passed over when it has a name. */
  add(ino: number): void {
    if (!this.#fs.unlinkedInodes.has(ino)) return;
    if (this.#waiting.length >= MOST_WAITING) this.freeOne();
    this.#waiting.push(ino);
  }

  /**
   * A request is about to take space. One file makes room for it, so that there are never more of
   * them for long; where space is scarce, all of them do.
   */
  makeRoom(): void {
    if (this.#waiting.length === 0) return;
    if (this.#isSpaceScarce()) this.freeAll();
    else this.freeOne();
  }

  /** False when there is none. */
  freeOne(): boolean {
    const ino = this.#waiting.pop();
    if (ino === undefined) return false;
    this.#free(ino);
    return true;
  }

  /** What they take is to be counted, or nobody knows how much is needed. */
  freeAll(): void {
    while (this.freeOne());
  }

  #isSpaceScarce(): boolean {
    const { freeInodes, inodes, availableBlocks } = usage(this.#fs, true);
    const hasLimits = this.#fs.writing.parts.quotas !== undefined;
    return hasLimits || freeInodes * 2 < inodes || availableBlocks * this.#fs.blockSize < PLENTY;
  }

  #free(ino: number): void {
    const { unlinkedInodes } = this.#fs;
    if (!unlinkedInodes.has(ino) || this.#isInUse(ino)) return;
    // After the last write there may still be requests, and pauses between them.
    if (this.#fs.isReadOnly || this.#fs.writing.transactions.failure !== undefined) return;
    evictUnheard(this.#fs, ino);
  }
}
