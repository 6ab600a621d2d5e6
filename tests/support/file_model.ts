/** Random changes to the content of files, made to the file system and to bytes in memory. */

import assert from "node:assert/strict";
import { copyRange } from "../../src/ext4/content/copy_range.ts";
import {
  FALLOC_FL_COLLAPSE_RANGE,
  FALLOC_FL_INSERT_RANGE,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  fallocate,
} from "../../src/ext4/content/fallocate.ts";
import { readBytes } from "../../src/ext4/content/read.ts";
import type { FileSystem } from "../../src/ext4/filesystem.ts";
import type { Inode } from "../../src/ext4/inode/inode.ts";
import { mapBlocks } from "../../src/ext4/map/block_map.ts";
import { setSize } from "../../src/ext4/content/truncate.ts";
import { writeFile } from "../../src/ext4/content/write.ts";
import { Errno } from "../../src/sys/errno.ts";
import { FsError } from "../../src/sys/fs_error.ts";
import { fileNamed } from "./allocation.ts";
import type { Random } from "./random.ts";

/** Files do not become larger than this. */
const MOST_BYTES = 3 << 19;

/** One file, by its name, and what it should contain. */
export class FileModel {
  /** As long as the file could become; zeros behind its end. */
  readonly #bytes = new Uint8Array(MOST_BYTES);
  size: number;

  constructor(readonly name: string, content: Uint8Array) {
    this.#bytes.set(content);
    this.size = content.length;
  }

  get content(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.size);
  }

  write(position: number, bytes: Uint8Array): void {
    this.#bytes.set(bytes, position);
    this.size = Math.max(this.size, position + bytes.length);
  }

  resize(size: number): void {
    this.#bytes.fill(0, size);
    this.size = size;
  }

  zero(start: number, end: number): void {
    this.#bytes.fill(0, start, Math.min(end, this.size));
  }

  collapse(start: number, end: number): void {
    this.#bytes.copyWithin(start, end, this.size);
    this.resize(this.size - (end - start));
  }

  insert(start: number, end: number): void {
    this.#bytes.copyWithin(end, start, this.size);
    this.#bytes.fill(0, start, end);
    this.size += end - start;
  }
}

/** What an operation ended with: nothing, or the name of an errno. */
type Outcome = string | undefined;

export class ContentTrial {
  readonly counts: Record<string, number> = {};
  readonly #random: Random;
  readonly #files: readonly FileModel[];

  constructor(public fs: FileSystem, random: Random, files: readonly FileModel[]) {
    this.#random = random;
    this.#files = files;
  }

  step(): void {
    const file = this.#random.pick(this.#files);
    const inode = fileNamed(this.fs, file.name);
    const kind = this.#random.below(100);
    if (kind < 3) this.fs.writing.transactions.commit();
    else if (kind < 45) this.#write(file, inode);
    else if (kind < 58) this.#resize(file, inode);
    else if (kind < 68) this.#punch(file, inode);
    else if (kind < 76) this.#allocate(file, inode);
    else if (kind < 84) this.#zero(file, inode);
    else if (kind < 89) this.#collapse(file, inode);
    else if (kind < 94) this.#insert(file, inode);
    else this.#copy(file, inode);
    this.check(file);
  }

  check(file: FileModel): void {
    const inode = fileNamed(this.fs, file.name);
    assert.equal(inode.size, file.size);
    const actual = readBytes(this.fs, inode, 0, MOST_BYTES);
    const { content } = file;
    if (equal(actual, content)) return;
    const at = actual.findIndex((byte, index) => byte !== content[index]);
    assert.fail(`${file.name}: byte ${at} of ${file.size} is ${actual[at]}, not ${content[at]}`);
  }

  checkAll(): void {
    for (const file of this.#files) this.check(file);
  }

  #write(file: FileModel, inode: Inode): void {
    const position = this.#place(file, this.#random.oneIn(10));
    const length = Math.min(this.#length(), MOST_BYTES - position);
    if (length <= 0) return;
    const bytes = this.#bytes(length);
    const times = this.#random.oneIn(2) ? "kept" : "set";
    const written = this.#count("write", () => writeFile(this.fs, inode, position, bytes, times));
    if (typeof written !== "number") return;
    assert(written > 0 && written <= length);
    file.write(position, bytes.subarray(0, written));
  }

  #resize(file: FileModel, inode: Inode): void {
    const size = this.#random.oneIn(8) ? 0 : this.#place(file, this.#random.oneIn(6));
    const outcome = this.#try("resize", () => setSize(this.fs, inode, size));
    if (outcome === undefined) file.resize(size);
  }

  #punch(file: FileModel, inode: Inode): void {
    const { start, end } = this.#range(file);
    const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    if (this.#fallocate("punch", inode, mode, start, end) !== undefined) return;
    file.zero(start, end);
    const { blockSize } = this.fs;
    const first = Math.ceil(start / blockSize);
    const last = Math.floor(Math.min(end, file.size) / blockSize);
    for (let at = first; at < last;) {
      const { kind, count } = mapBlocks(this.fs, inode, at, last - at);
      assert.equal(kind, "hole");
      at += count;
    }
  }

  #allocate(file: FileModel, inode: Inode): void {
    const { start, end } = this.#range(file);
    const mode = this.#random.oneIn(2) ? FALLOC_FL_KEEP_SIZE : 0;
    const outcome = this.#fallocate("allocate", inode, mode, start, end);
    if (outcome !== undefined) return this.#adoptSize(file, inode, outcome);
    if (mode === 0) file.size = Math.max(file.size, end);
    const { blockSize } = this.fs;
    for (let at = Math.floor(start / blockSize); at < Math.ceil(end / blockSize);) {
      const { kind, count } = mapBlocks(this.fs, inode, at, 2 ** 20);
      assert.notEqual(kind, "hole");
      at += count;
    }
  }

  #zero(file: FileModel, inode: Inode): void {
    const { start, end } = this.#range(file);
    const keeps = this.#random.oneIn(2);
    const mode = FALLOC_FL_ZERO_RANGE | (keeps ? FALLOC_FL_KEEP_SIZE : 0);
    const outcome = this.#fallocate("zero", inode, mode, start, end);
    if (outcome === undefined) {
      file.zero(start, end);
      if (!keeps) file.size = Math.max(file.size, end);
    } else if (outcome === "ENOSPC") {
      // The part that was dealt with before the failure is zeros now.
      const now = readBytes(this.fs, inode, 0, MOST_BYTES);
      for (let at = start; at < Math.min(end, file.size) && now[at] === 0; at++) {
        file.zero(at, at + 1);
      }
      this.#adoptSize(file, inode, outcome);
    }
  }

  #collapse(file: FileModel, inode: Inode): void {
    const { start, end } = this.#aligned(file);
    if (end <= start) return;
    const outcome = this.#fallocate("collapse", inode, FALLOC_FL_COLLAPSE_RANGE, start, end);
    if (outcome === undefined) file.collapse(start, end);
    else assert(outcome === "EOPNOTSUPP" || end >= file.size, `collapse: ${outcome}`);
  }

  #insert(file: FileModel, inode: Inode): void {
    const { start, end } = this.#aligned(file);
    if (end <= start || file.size + end - start > MOST_BYTES) return;
    const outcome = this.#fallocate("insert", inode, FALLOC_FL_INSERT_RANGE, start, end);
    if (outcome === undefined) file.insert(start, end);
    else assert(outcome === "EOPNOTSUPP" || start >= file.size, `insert: ${outcome}`);
  }

  #copy(file: FileModel, inode: Inode): void {
    const from = this.#random.pick(this.#files);
    const position = this.#random.below(from.size + 1);
    const to = this.#place(file, false);
    const length = Math.min(this.#length(), MOST_BYTES - to);
    const content = from.content.slice(position, position + length);
    if (length <= 0) return;
    const source = fileNamed(this.fs, from.name);
    const copied = this.#count(
      "copy",
      () => copyRange(this.fs, source, position, inode, to, length),
    );
    if (typeof copied !== "number") return;
    assert(copied <= content.length);
    if (copied > 0) file.write(to, content.subarray(0, copied));
  }

  /** A failure in the middle may leave the file longer. */
  #adoptSize(file: FileModel, inode: Inode, outcome: string): void {
    if (outcome !== "ENOSPC") return;
    assert(inode.size >= file.size);
    file.size = inode.size;
  }

  #fallocate(name: string, inode: Inode, mode: number, start: number, end: number): Outcome {
    return this.#try(name, () => fallocate(this.fs, inode, mode, start, end - start));
  }

  #try(name: string, act: () => void): Outcome {
    const result = this.#count(name, () => (act(), 0));
    return typeof result === "string" ? result : undefined;
  }

  #count(name: string, act: () => number): number | string {
    try {
      const result = act();
      this.counts[name] = (this.counts[name] ?? 0) + 1;
      return result;
    } catch (error) {
      if (!(error instanceof FsError) || error.isCorruption) throw error;
      const outcome = Object.entries(Errno).find(([, value]) => value === error.errno)?.[0];
      const key = `${name}: ${outcome}`;
      this.counts[key] = (this.counts[key] ?? 0) + 1;
      return String(outcome);
    }
  }

  #place(file: FileModel, far: boolean): number {
    const { blockSize } = this.fs;
    const position = far
      ? this.#random.below(MOST_BYTES)
      : this.#random.below(Math.min(file.size + 4 * blockSize, MOST_BYTES));
    return this.#random.oneIn(3) ? position - position % blockSize : position;
  }

  #length(): number {
    const most = this.#random.pick([40, 3000, 20_000, 20_000, 300_000]);
    const length = 1 + this.#random.below(most);
    return this.#random.oneIn(3) ? length - length % 1024 : length;
  }

  #range(file: FileModel): { start: number; end: number } {
    const start = this.#place(file, this.#random.oneIn(10));
    return { start, end: Math.min(start + Math.max(1, this.#length()), MOST_BYTES) };
  }

  #aligned(file: FileModel): { start: number; end: number } {
    const unit = this.fs.blockSize * this.fs.superblock.clusterRatio;
    const { start, end } = this.#range(file);
    return { start: start - start % unit, end: end - end % unit };
  }

  /** Bytes that are never zero, each time others. */
  #bytes(length: number): Uint8Array<ArrayBuffer> {
    const first = this.#random.below(255);
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; at++) bytes[at] = 1 + (first + at * 7) % 255;
    return bytes;
  }
}

export function equal(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false;
  for (let at = 0; at < one.length; at++) {
    if (one[at] !== other[at]) return false;
  }
  return true;
}
