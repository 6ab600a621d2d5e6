/**
 * Reads from the device before it is asked to. The kernel's own read-ahead works on the FUSE mount
 * and sends large requests, but each would be a cold read of the device. Four habits of programs
 * are worth something:
 *
 * - who reads a file from front to back gets a window that stays ahead of him
 * - who reads the files of a directory in the order of its listing gets the next ones (tar, cp, grep)
 * - who lists a directory goes on to list those in it (find, du, rm)
 * - who reads many random places of a file reads still more of them (random_reads.ts)
 */

import type { DataSource } from "../block/device.ts";
import type { FileSystem } from "../ext4/filesystem.ts";
import type { Inode } from "../ext4/inode.ts";
import { mapBlocks } from "../ext4/map.ts";
import { FsError } from "../sys/fs_error.ts";
import { RandomReads } from "./random_reads.ts";

/** How far ahead of a reader the device is told, in bytes. */
const WINDOW = 8 << 20;
/** The window moves when less than this is left of it. */
const LOW_WATER = 4 << 20;
/** A smaller request is no sequential reader's, who would let the kernel read ahead. */
const LEAST_REQUEST = 32 << 10;
/** Files that are read at the same time, and remembered. */
const MAX_READERS = 64;
/** How many files behind the one being read, in the order of a listing, and how much of each. */
const NEXT_FILES = 8;
const MOST_OF_NEXT = 256 << 10;
/** Places in listings that are remembered. */
const MAX_LISTED = 65536;

/** A file that is being read from front to back. */
interface Reader {
  /** Where the next request starts. */
  readonly next: number;
  /** The device was told what to read up to here. */
  readonly told: number;
}

export class ReadAhead {
  readonly #fs: FileSystem;
  /** By inode number, in the order of their last use. */
  readonly #readers = new Map<number, Reader>();
  /** For a regular file, the one that its directory lists next. */
  readonly #nextListed = new Map<number, number>();
  /** Files that the device was told of because they come next. */
  readonly #told = new Set<number>();
  /** The file whose beginning was read last. */
  #lastOpened = 0;

  readonly #randomReads = new RandomReads(() => Deno.systemMemoryInfo().available);

  constructor(fs: FileSystem) {
    this.#fs = fs;
  }

  /** Called with each read request before its data is fetched. */
  beforeRead(
    inode: Inode,
    position: number,
    length: number,
    sources: readonly DataSource[],
  ): void {
    if (position === 0) this.#followListing(inode.ino);
    if (sources.every((source) => source.kind === "memory")) return;
    if (length >= LEAST_REQUEST) this.#moveWindow(inode, position, length);
    else this.#readAtRandom(inode, position + length);
  }

  /** A row of a listing. `before` is the regular file that was listed before, or undefined. */
  listed(inode: Inode, before: Inode | undefined): void {
    if (inode.isDirectory) this.#tell(inode, 0, this.#fs.blockSize);
    if (!inode.isRegular || before === undefined) return;
    if (this.#nextListed.size >= MAX_LISTED) this.#nextListed.clear();
    this.#nextListed.set(before.ino, inode.ino);
  }

  #followListing(ino: number): void {
    const isNext = this.#nextListed.get(this.#lastOpened) === ino;
    this.#lastOpened = ino;
    if (!isNext) return;
    if (this.#told.size > MAX_LISTED) this.#told.clear();
    let next = this.#nextListed.get(ino);
    for (let count = 0; count < NEXT_FILES && next !== undefined; count++) {
      if (!this.#told.has(next)) {
        this.#told.add(next);
        this.#tellOfFile(next);
      }
      next = this.#nextListed.get(next);
    }
  }

  #tellOfFile(ino: number): void {
    const inode = this.#inodeOrNothing(ino);
    if (inode !== undefined) this.#tell(inode, 0, Math.min(inode.size, MOST_OF_NEXT));
  }

  #moveWindow(inode: Inode, position: number, length: number): void {
    const reader = this.#readers.get(inode.ino);
    const isSequential = position === 0 || reader?.next === position;
    const end = position + length;
    let told = reader?.next === position ? reader.told : position;
    if (isSequential && told - end < LOW_WATER) {
      const start = Math.max(position, told);
      told = Math.min(inode.size, end + WINDOW);
      this.#tell(inode, start, told);
    }
    this.#readers.delete(inode.ino);
    this.#readers.set(inode.ino, { next: end, told });
    if (this.#readers.size > MAX_READERS) this.#forgetOldestReader();
  }

  /** The end of a file is read with a small request by those, too, who read it from the front. */
  #readAtRandom(inode: Inode, end: number): void {
    if (end >= inode.size) return;
    const piece = this.#randomReads.read(inode.ino, inode.size);
    if (piece !== undefined) this.#tell(inode, piece.start, piece.end);
  }

  #forgetOldestReader(): void {
    for (const oldest of this.#readers.keys()) {
      this.#readers.delete(oldest);
      return;
    }
  }

  /** Whatever is damaged here is met again, and reported, when it is read. */
  #tell(inode: Inode, start: number, end: number): void {
    const { blockSize, device } = this.#fs;
    const last = Math.ceil(end / blockSize);
    try {
      for (let fileBlock = Math.floor(start / blockSize); fileBlock < last;) {
        const mapping = mapBlocks(this.#fs, inode, fileBlock, last - fileBlock);
        if (mapping.kind === "mapped") {
          device.willRead(mapping.physicalBlock * blockSize, mapping.count * blockSize);
        }
        fileBlock += mapping.count;
      }
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
    }
  }

  #inodeOrNothing(ino: number): Inode | undefined {
    try {
      return this.#fs.inode(ino);
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      return undefined;
    }
  }
}
