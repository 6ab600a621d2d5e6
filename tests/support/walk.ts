/**
 * Opens and reads all that a file system holds, however damaged it is. The only thing that may come
 * out besides data is an FsError; everything else is passed on, with the place it came from.
 */

import { readDirectory } from "../../src/ext4/directory/directory.ts";
import { readBytes, seekData, seekHole } from "../../src/ext4/content/read.ts";
import type { FileSystem } from "../../src/ext4/filesystem.ts";
import type { Inode } from "../../src/ext4/inode/inode.ts";
import { namedInode } from "../../src/ext4/directory/lookup.ts";
import { mapBlocks } from "../../src/ext4/map/block_map.ts";
import { usage } from "../../src/ext4/superblock/statfs.ts";
import { readSymlink } from "../../src/ext4/content/symlink.ts";
import { getXattr, listXattrNames } from "../../src/ext4/xattr/xattr.ts";
import { FsError } from "../../src/sys/fs_error.ts";

/** How much of a file system is looked at: damage can make it seem endless. */
export interface WalkLimits {
  readonly objects: number;
  /** Bytes read of one file. */
  readonly fileBytes: number;
  /** Runs of blocks mapped of one file. */
  readonly runs: number;
}

export const DEFAULT_LIMITS: WalkLimits = { objects: 300_000, fileBytes: 64 << 20, runs: 100_000 };

export interface WalkReport {
  objects: number;
  bytes: number;
  /** How often each error came, by its code. */
  readonly errors: Map<string, number>;
  /** The first messages, each once. */
  readonly messages: Set<string>;
  /** Messages of damage that do not say where it is. */
  readonly unplaced: Set<string>;
}

const MAX_MESSAGES = 100;
const CHUNK = 1 << 20;
const ENXIO = "ENXIO";

/** Walks the whole tree from the root on. */
export function walkEverything(fs: FileSystem, limits = DEFAULT_LIMITS): WalkReport {
  const walk = new Walk(fs, limits);
  walk.all();
  return walk.report;
}

class Walk {
  readonly report: WalkReport = {
    objects: 0,
    bytes: 0,
    errors: new Map(),
    messages: new Set(),
    unplaced: new Set(),
  };
  readonly #fs: FileSystem;
  readonly #limits: WalkLimits;
  readonly #seen = new Set<number>();
  readonly #directories: Inode[] = [];

  constructor(fs: FileSystem, limits: WalkLimits) {
    this.#fs = fs;
    this.#limits = limits;
  }

  all(): void {
    this.#attempt("statfs", () => usage(this.#fs, false));
    this.#attempt("root", () => this.#visit(this.#fs.root));
    for (let dir = this.#directories.pop(); dir; dir = this.#directories.pop()) {
      this.#list(dir);
    }
  }

  #list(dir: Inode): void {
    this.#attempt(`directory ${dir.ino}`, () => {
      let position = 0;
      for (const row of readDirectory(this.#fs, dir, 0)) {
        if (row.next <= position) throw new Error(`position ${row.next} behind ${position}`);
        position = row.next;
        if (++this.report.objects > this.#limits.objects) return;
        this.#attempt(`name in directory ${dir.ino}`, () => {
          const inode = namedInode(this.#fs, dir, row.name);
          if (inode !== undefined) this.#visit(inode);
        });
      }
      // A listing may be taken up at any position that an earlier one gave.
      for (const _ of readDirectory(this.#fs, dir, position)) {
        throw new Error(`directory ${dir.ino} goes on behind its end`);
      }
    });
  }

  #visit(inode: Inode): void {
    if (this.#seen.has(inode.ino)) return;
    this.#seen.add(inode.ino);
    const what = `inode ${inode.ino}`;
    this.#attempt(what, () => {
      for (const name of listXattrNames(this.#fs, inode)) {
        this.#attempt(what, () => getXattr(this.#fs, inode, name));
      }
    });
    if (inode.isDirectory) this.#directories.push(inode);
    if (inode.isSymlink) this.#attempt(what, () => readSymlink(this.#fs, inode));
    if (!inode.isRegular) return;
    this.#attempt(what, () => this.#map(inode));
    this.#attempt(what, () => this.#read(inode));
  }

  #map(inode: Inode): void {
    const end = Math.min(2 ** 32, Math.ceil(inode.size / this.#fs.blockSize));
    let block = 0;
    for (let run = 0; block < end && run < this.#limits.runs; run++) {
      const { fileBlock, count } = mapBlocks(this.#fs, inode, block, end - block);
      if (fileBlock !== block || count < 1) throw new Error(`run of ${count} at ${fileBlock}`);
      block += count;
    }
  }

  /** Reads what is data, and a little of the holes between. */
  #read(inode: Inode): void {
    let position = 0;
    let left = this.#limits.fileBytes;
    for (let run = 0; left > 0 && run < this.#limits.runs; run++) {
      const data = this.#seek(() => seekData(this.#fs, inode, position));
      if (data === undefined) break;
      const end = this.#seek(() => seekHole(this.#fs, inode, data)) ?? inode.size;
      if (data < position || end <= data) throw new Error(`data from ${data} to ${end}`);
      for (let at = data; at < end && left > 0; at += CHUNK) {
        left -= this.#readAt(inode, at, Math.min(CHUNK, end - at, left));
      }
      position = end;
    }
    this.#readAt(inode, Math.max(0, inode.size - 100), 200);
    this.#readAt(inode, inode.size + 1, 1);
  }

  #readAt(inode: Inode, position: number, length: number): number {
    const bytes = readBytes(this.#fs, inode, position, length);
    const expected = Math.max(0, Math.min(length, inode.size - position));
    if (bytes.length !== expected) throw new Error(`${bytes.length} bytes, not ${expected}`);
    this.report.bytes += bytes.length;
    return length;
  }

  #seek(seek: () => number): number | undefined {
    try {
      return seek();
    } catch (error) {
      if (error instanceof FsError && error.code === ENXIO) return undefined;
      throw error;
    }
  }

  #attempt(what: string, action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof FsError)) throw new Error(`uncaught in ${what}`, { cause: error });
      this.report.errors.set(error.code, (this.report.errors.get(error.code) ?? 0) + 1);
      if (this.report.messages.size < MAX_MESSAGES) this.report.messages.add(error.message);
      if (error.isCorruption && Object.keys(error.place).length === 0) {
        this.report.unplaced.add(error.message);
      }
    }
  }
}
