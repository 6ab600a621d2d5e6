/**
 * Reads at random places of one file, such as a database or the image of a machine. Each waits for
 * the device; the whole file, read from front to back, would take no longer than some thousand of
 * them. As with the question whether to rent or to buy: when the random reads so far have cost a
 * part of what reading everything costs, everything is read, provided that memory has room for it.
 */

import { forgetOldest } from "./forget_oldest.ts";

/** What the device could have read in the time that one random read takes, in bytes. */
const WORTH_OF_A_READ = 128 << 10;
/** The part of the file's worth at which reading all of it begins. */
const PATIENCE = 1 / 16;
/** Bytes that are asked for with each further read, so that none of them waits for long. */
const STRIDE = 4 << 20;
/** A file larger than this part of the memory that is available is left alone. */
const SHARE_OF_MEMORY = 1 / 4;
/** Files that are watched at the same time. */
const MAX_FILES = 64;

interface Watched {
  reads: number;
  /** Up to here the device was told; undefined before it is worth it. */
  told: number | undefined;
}

/** What to read now: from `start` up to `end`. */
export interface Piece {
  readonly start: number;
  readonly end: number;
}

export class RandomReads {
  readonly #files = new Map<number, Watched>();
  readonly #availableMemory: () => number;

  /** @param availableMemory bytes that programs can still have */
  constructor(availableMemory: () => number) {
    this.#availableMemory = availableMemory;
  }

  /** A read at a random place of a file of `size` bytes; returns what had best be read as well. */
  read(ino: number, size: number): Piece | undefined {
    const watched = this.#watch(ino);
    watched.reads++;
    watched.told ??= this.#beginning(watched.reads, size);
    if (watched.told === undefined || watched.told >= size) return undefined;
    const start = watched.told;
    watched.told = Math.min(size, start + STRIDE);
    return { start, end: watched.told };
  }

  #beginning(reads: number, size: number): number | undefined {
    const threshold = size * PATIENCE;
    const worth = reads * WORTH_OF_A_READ;
    // Only the read that passes the threshold asks how much memory there is.
    if (worth < threshold || worth - WORTH_OF_A_READ >= threshold) return undefined;
    return size <= this.#availableMemory() * SHARE_OF_MEMORY ? 0 : undefined;
  }

  #watch(ino: number): Watched {
    const known = this.#files.get(ino);
    if (known !== undefined) return known;
    const watched = { reads: 0, told: undefined };
    if (this.#files.size >= MAX_FILES) forgetOldest(this.#files);
    this.#files.set(ino, watched);
    return watched;
  }
}
