/**
 * Files that have neither a name nor anybody who has them open: they are freed while no request is
 * waiting, since nobody waits for that. Until then they are orphans on the disk, as files are that
 * somebody has open.
 */

import { evict } from "../ext4/inode/evict.ts";
import type { FileSystem } from "../ext4/filesystem.ts";
import { FsError } from "../sys/fs_error.ts";

/** With so many of them waiting, those that come are freed at once. */
const MOST_WAITING = 4096;

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

  /** False when there is none. */
  freeOne(): boolean {
    const ino = this.#waiting.pop();
    if (ino === undefined) return false;
    this.#free(ino);
    return true;
  }

  /** What they take is needed, or to be counted. */
  freeAll(): void {
    while (this.freeOne());
  }

  /** Nobody hears of errors: they go into the log. */
  #free(ino: number): void {
    const { unlinkedInodes, writing } = this.#fs;
    if (!unlinkedInodes.has(ino) || this.#isInUse(ino)) return;
    if (writing.transactions.failure !== undefined) return;
    try {
      evict(this.#fs, this.#fs.inode(ino));
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      this.#fs.report(error);
    }
  }
}
