/**
 * Reads file data before it is asked for. The kernel's own read-ahead works on the FUSE mount and
 * sends us large requests, but each is a cold read of the device unless the device is told before.
 *
 * A file that is read from front to back gets a window that stays ahead of the reader.
 */

import type { DataSource } from "../block/device.ts";
import type { FileSystem } from "../ext4/filesystem.ts";
import type { Inode } from "../ext4/inode.ts";
import { mapBlocks } from "../ext4/map.ts";

/** How far ahead of the reader the device is told, in bytes. */
const WINDOW = 8 << 20;
/** The window moves when less than this is left of it. */
const LOW_WATER = 4 << 20;
/** Files that are read at the same time, and remembered. */
const MAX_READERS = 64;
/** A smaller request is no sequential reader's, who would let the kernel read ahead. */
const LEAST_REQUEST = 32 << 10;

/** One file being read. */
interface Reader {
  /** Where the next sequential request starts. */
  next: number;
  /** The device knows what to read up to here. */
  told: number;
}

export class ReadAhead {
  readonly #fs: FileSystem;
  /** In the order of their last use. */
  readonly #readers = new Map<number, Reader>();

  constructor(fs: FileSystem) {
    this.#fs = fs;
  }

  /** Called with each request before its data is fetched from `sources`. */
  afterRead(
    inode: Inode,
    position: number,
    length: number,
    sources: readonly DataSource[],
  ): void {
    if (length < LEAST_REQUEST || sources.every((source) => source.kind === "memory")) return;
    const reader = this.#readers.get(inode.ino);
    const isSequential = reader !== undefined && reader.next === position;
    const told = isSequential ? reader.told : position;
    const end = position + length;
    this.#readers.delete(inode.ino);
    const kept = { next: end, told };
    if (told - end < LOW_WATER && (isSequential || position === 0)) {
      const start = Math.max(position, told);
      kept.told = Math.min(inode.size, end + WINDOW);
      this.#tell(inode, start, kept.told);
    }
    this.#readers.set(inode.ino, kept);
    if (this.#readers.size > MAX_READERS) {
      for (const oldest of this.#readers.keys()) {
        this.#readers.delete(oldest);
        break;
      }
    }
  }

  #tell(inode: Inode, start: number, end: number): void {
    const { blockSize, device } = this.#fs;
    const last = Math.ceil(end / blockSize);
    for (let fileBlock = Math.floor(start / blockSize); fileBlock < last;) {
      const mapping = mapBlocks(this.#fs, inode, fileBlock, last - fileBlock);
      if (mapping.kind === "mapped") {
        device.willRead(mapping.physicalBlock * blockSize, mapping.count * blockSize);
      }
      fileBlock += mapping.count;
    }
  }
}
