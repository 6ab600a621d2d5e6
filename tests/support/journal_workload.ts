/**
 * Random work for a journal that is written to, and what a recovery must make of it. The work is
 * done on free blocks of a file system: they are metadata for a while, logged, then freed and used
 * as data, written to in place, and so on. e2fsck and the kernel replay the log without caring
 * about what is in free blocks.
 */

import { viewOf } from "../../src/sys/bytes.ts";
import assert from "node:assert/strict";
import { BlockCache } from "../../src/block/block_cache.ts";
import type { Device } from "../../src/block/device.ts";
import { MemoryDevice } from "../../src/block/memory_device.ts";
import { JBD2_MAGIC_NUMBER } from "../../src/disk/journal.ts";
import { FileSystem } from "../../src/ext4/filesystem.ts";
import { markInUse } from "../../src/ext4/superblock/mount_state.ts";
import { openWritableJournal } from "../../src/ext4/recovery/recovery.ts";
import type { Handle } from "../../src/jbd2/handle.ts";
import { type LogFormat, setLogFormat } from "../../src/jbd2/journal_superblock.ts";
import { JournalStore, type JournalStoreOptions } from "../../src/jbd2/journal_store.ts";
import { deviceTarget, recover, type RecoveryResult } from "../../src/jbd2/recovery.ts";
import { Transactions } from "../../src/jbd2/transactions.ts";
import { SILENT } from "../../src/sys/log.ts";
import { Random } from "./random.ts";

/** A file system whose journal is in use. */
export interface LoggedFileSystem {
  readonly device: Device;
  readonly blockSize: number;
  readonly cache: BlockCache;
  readonly store: JournalStore;
  readonly transactions: Transactions;
}

/** A time in 2033, a second later at each call. */
function commitClock(): () => { sec: number; nsec: number } {
  let sec = 2e9;
  return () => ({ sec: sec++, nsec: 123 });
}

/** Takes the journal of a file system into use, in a format of the caller's choice. */
export function openForLogging(
  device: Device,
  format: LogFormat,
  external?: Device,
  options: Partial<JournalStoreOptions> = {},
): LoggedFileSystem {
  const fs = FileSystem.open(device, { log: SILENT });
  const { blockSize, superblock } = fs;
  const journal = openWritableJournal(fs, external);
  markInUse(fs, { now: 2e9, usesJournal: true, journalHadError: false, mountpoint: undefined });
  const cache = new BlockCache(device, blockSize, superblock.blocksCount, 64 * blockSize);
  const formatted = setLogFormat(journal, format);
  const store = new JournalStore(cache, device, formatted, { now: commitClock(), ...options });
  const transactions = new Transactions(cache, store, { commitInterval: 5000, now: () => 0 });
  return { device, blockSize, cache, store, transactions };
}

/** The last `count` blocks of an image: free ones, in images as small as those of the tests. */
export function lastBlocks(device: Device, blockSize: number, count: number): number[] {
  // The last one may hold a backup of the superblock, or be cut off.
  const end = Math.floor(device.size / blockSize) - 8;
  return Array.from({ length: count }, (_, index) => end - count + index);
}

/** What a block holds: a number that all of it was made from. */
type Value = number;

/** How things stand after a commit. */
export interface Committed {
  /** Metadata; a block that is not in here is data, or was never touched. */
  readonly metadata: ReadonlyMap<number, Value>;
}

export class Workload {
  /** How things stood after each commit; the first is the state before any. */
  readonly states: Committed[] = [{ metadata: new Map() }];
  /** What was written to blocks as data since they were metadata. */
  readonly data = new Map<number, Value>();
  readonly #fs: LoggedFileSystem;
  readonly #blocks: readonly number[];
  readonly #random: Random;
  /** Now, with what is not committed yet. */
  #metadata = new Map<number, Value>();
  /** Metadata that was freed; not to be used before the next commit. */
  #freed = new Set<number>();

  constructor(fs: LoggedFileSystem, blocks: readonly number[], seed: number) {
    this.#fs = fs;
    this.#blocks = blocks;
    this.#random = new Random(seed);
  }

  /** One operation, which may change up to `most` blocks. */
  operation(most = 12): void {
    const draft = new Map(this.#metadata);
    const freed = new Set(this.#freed);
    const fails = this.#random.oneIn(5);
    try {
      this.#fs.transactions.run((handle) => {
        for (let left = 1 + this.#random.below(most); left > 0; left--) {
          this.#step(handle, draft, freed);
        }
        if (fails) throw new Error("on purpose");
      });
      this.#metadata = draft;
      for (const block of [...draft.keys(), ...freed]) this.data.delete(block);
      this.#freed = freed;
    } catch (error) {
      if (!fails || (error as Error).message !== "on purpose") throw error;
    }
  }

  /** How things stand now. */
  get uncommitted(): Committed {
    return { metadata: new Map(this.#metadata) };
  }

  commit(): void {
    this.#fs.transactions.commit();
    this.#freed.clear();
    this.states.push({ metadata: new Map(this.#metadata) });
  }

  /** Writes to a block that is not metadata, past the cache. */
  writeData(): void {
    const block = this.#random.pick(this.#blocks);
    if (this.#metadata.has(block) || this.#freed.has(block)) return;
    const value = this.#random.uint32();
    const { device, blockSize, transactions } = this.#fs;
    device.write(fill(new Uint8Array(blockSize), value), block * blockSize);
    transactions.noteData();
    this.data.set(block, value);
  }

  #step(handle: Handle, metadata: Map<number, Value>, freed: Set<number>): void {
    const block = this.#random.pick(this.#blocks);
    const value = this.#random.uint32();
    if (freed.has(block)) return;
    if (!metadata.has(block)) {
      fill(handle.create(block).bytes, value);
    } else if (this.#random.oneIn(3)) {
      handle.forget(block);
      metadata.delete(block);
      freed.add(block);
      return;
    } else {
      const cached = this.#fs.cache.read(block);
      handle.modify(cached);
      fill(cached.bytes, value);
    }
    metadata.set(block, value);
  }
}

/** One block in eight begins as the log's own blocks do. */
export function fill(bytes: Uint8Array<ArrayBuffer>, value: Value): Uint8Array<ArrayBuffer> {
  const view = viewOf(bytes);
  for (let at = 0; at < bytes.length; at += 4) view.setUint32(at, (value + at) >>> 0);
  view.setUint32(0, value % 8 === 0 ? JBD2_MAGIC_NUMBER : value);
  return bytes;
}

/** Blocks of an image that are not as a state says. */
export function differences(
  image: Uint8Array<ArrayBuffer>,
  blockSize: number,
  { metadata }: Committed,
): number[] {
  const wrong: number[] = [];
  const expected = new Uint8Array(blockSize);
  for (const [block, value] of metadata) {
    fill(expected, value);
    const actual = image.subarray(block * blockSize, (block + 1) * blockSize);
    if (!actual.every((byte, index) => byte === expected[index])) wrong.push(block);
  }
  return wrong;
}

/** Replays the journal of an image onto the image itself, by the code under test. */
export function recoverImage(
  image: Uint8Array<ArrayBuffer>,
  external?: Uint8Array<ArrayBuffer>,
): RecoveryResult {
  const device = new MemoryDevice(image);
  const fs = FileSystem.open(device, { log: SILENT, norecovery: true });
  const journal = openWritableJournal(fs, external && new MemoryDevice(external));
  const result = recover(journal, deviceTarget(device, fs.blockSize));
  assert.deepEqual(result.problems, []);
  return result;
}
