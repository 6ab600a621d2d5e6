/**
 * Reads from the device before it is asked to. The kernel's own read-ahead works on the FUSE mount
 * and sends large requests, but each would be a cold read of the device. Four habits of programs
 * are worth something:
 *
 * - who reads a file from front to back gets a window that stays ahead of him
 * - who reads the files of a directory in the order of its listing gets the next ones
 *   (listing_order.ts)
 * - who lists a directory goes on to list those in it (find, du, rm)
 * - who reads many random places of a file reads still more of them (random_reads.ts)
 */

import type { DataSource } from "../block/device.ts";
import type { FileSystem } from "../ext4/filesystem.ts";
import type { Inode } from "../ext4/inode/inode.ts";
import { mapBlocks } from "../ext4/map/block_map.ts";
import { FsError } from "../sys/fs_error.ts";
import { DevicePieces } from "./device_pieces.ts";
import { forgetOldest } from "./forget_oldest.ts";
import { ListingOrder } from "./listing_order.ts";
import { RandomReads } from "./random_reads.ts";

/** How far ahead of a reader the device is told, in bytes. */
const WINDOW = 8 << 20;
/** The window moves when less than this is left of it. */
const LOW_WATER = 4 << 20;
/** A smaller request is no sequential reader's, who would let the kernel read ahead. */
const LEAST_REQUEST = 32 << 10;
/** Files that are read at the same time, and remembered. */
const MAX_READERS = 64;
/** How much to read of each file that comes next in a listing. */
const MOST_OF_NEXT = 256 << 10;

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
  readonly #order = new ListingOrder();
  readonly #pieces: DevicePieces;
  readonly #randomReads = new RandomReads(() => Deno.systemMemoryInfo().available);

  constructor(fs: FileSystem) {
    this.#fs = fs;
    this.#pieces = new DevicePieces(fs.device);
  }

  /** Called with each read request before its data is fetched. */
  beforeRead(
    inode: Inode,
    position: number,
    length: number,
    sources: readonly DataSource[],
  ): void {
    if (position === 0) this.#tellOfFiles(this.#order.opened(inode.ino));
    if (sources.every((source) => source.kind === "memory")) return;
    if (length >= LEAST_REQUEST) this.#moveWindow(inode, position, length);
    else this.#readAtRandom(inode, position + length);
  }

  /** The listing of a directory begins. */
  beginListing(dir: Inode): void {
    this.#order.begin(dir.ino);
  }

  /** A row of a listing. */
  addListed(dir: Inode, inode: Inode): void {
    if (inode.isDirectory) this.#gather(inode, 0, this.#fs.blockSize);
    else if (inode.isRegular) this.#order.add(dir.ino, inode.ino);
  }

  /** A piece of a listing is complete. */
  endListed(): void {
    this.#tellOfFiles(this.#order.listed());
    this.#pieces.tell();
  }

  #tellOfFiles(inos: readonly number[]): void {
    if (inos.length === 0) return;
    for (const ino of inos) {
      const inode = this.#inodeOrNothing(ino);
      if (inode !== undefined) this.#gather(inode, 0, Math.min(inode.size, MOST_OF_NEXT));
    }
    this.#pieces.tell();
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
    if (this.#readers.size > MAX_READERS) forgetOldest(this.#readers);
  }

  /** The end of a file is read with a small request by those, too, who read it from the front. */
  #readAtRandom(inode: Inode, end: number): void {
    if (end >= inode.size) return;
    const piece = this.#randomReads.read(inode.ino, inode.size);
    if (piece !== undefined) this.#tell(inode, piece.start, piece.end);
  }

  #tell(inode: Inode, start: number, end: number): void {
    this.#gather(inode, start, end);
    this.#pieces.tell();
  }

  /** Whatever is damaged here is met again, and reported, when it is read. */
  #gather(inode: Inode, start: number, end: number): void {
    const { blockSize } = this.#fs;
    const last = Math.ceil(end / blockSize);
    try {
      for (let fileBlock = Math.floor(start / blockSize); fileBlock < last;) {
        const mapping = mapBlocks(this.#fs, inode, fileBlock, last - fileBlock);
        if (mapping.kind === "mapped") {
          this.#pieces.add(mapping.physicalBlock * blockSize, mapping.count * blockSize);
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
