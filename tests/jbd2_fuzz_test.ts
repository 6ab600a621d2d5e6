/**
 * Logs with flipped bits: whatever comes out is a replay within bounds or an FsError, and it comes
 * soon.
 */

import assert from "node:assert/strict";
import { crc32c } from "../src/disk/crc32c.ts";
import {
  Ext4FcDentryInfo,
  Ext4FcHead,
  Ext4FcInode,
  Ext4FcTail,
  Ext4FcTl,
} from "../src/disk/fast_commit.ts";
import { JournalSuperblock as Sb } from "../src/disk/journal.ts";
import { scanFastCommits } from "../src/jbd2/fast_commit.ts";
import { openJournal } from "../src/jbd2/journal.ts";
import { recover } from "../src/jbd2/recovery.ts";
import { FsError } from "../src/sys/fs_error.ts";
import { memoryBlocks } from "./support/journal.ts";
import {
  BLOCK_SIZE,
  COMPAT_CHECKSUM,
  INCOMPAT_64BIT,
  INCOMPAT_ASYNC_COMMIT,
  INCOMPAT_CSUM_V2,
  INCOMPAT_CSUM_V3,
  INCOMPAT_FAST_COMMIT,
  LogBuilder,
  type LogOptions,
} from "./support/log_builder.ts";

const ROUNDS = 3000;
const BLOCKS_COUNT = 5000;
/** A replay of these logs takes less than a millisecond. */
const LONGEST_MS = 10_000;

const FORMATS: readonly LogOptions[] = [
  {},
  { incompat: INCOMPAT_64BIT },
  { compat: COMPAT_CHECKSUM, incompat: INCOMPAT_ASYNC_COMMIT },
  { incompat: INCOMPAT_CSUM_V2 | INCOMPAT_64BIT },
  { incompat: INCOMPAT_CSUM_V3 | INCOMPAT_ASYNC_COMMIT },
  { incompat: INCOMPAT_FAST_COMMIT | INCOMPAT_CSUM_V3, length: 1200, fastCommitBlocks: 50 },
];

/** The same numbers in every run, from 0 up to, not including, `limit`. */
function makeRandom(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * limit);
  };
}

function makeLog(options: LogOptions): LogBuilder {
  const log = new LogBuilder({ ...options, start: 1020, sequence: 0xfffffffa });
  for (let number = 0; number < 12; number++) {
    const logged = Array.from({ length: 1 + number * 3 }, (_, index) => ({
      block: (number * 7 + index * 5) % BLOCKS_COUNT,
      fill: number,
      magic: index % 4 === 0,
    }));
    log.descriptor(...logged);
    if (number % 3 === 2) log.revoke(3, 7, 21, 4000);
    log.commit(number);
  }
  if (options.fastCommitBlocks !== undefined) {
    addFastCommits(log, options.length! - options.fastCommitBlocks + 1);
  }
  return log;
}

/** Fills the fast-commit area's first two blocks with a fast commit each. */
function addFastCommits(log: LogBuilder, first: number): void {
  for (const block of [first, first + 1]) {
    const start = block * BLOCK_SIZE;
    let at = start;
    const record = (tag: number, length: number): number => {
      Ext4FcTl.fc_tag.set(log.view, at, tag);
      Ext4FcTl.fc_len.set(log.view, at, length);
      at += Ext4FcTl.byteLength + length;
      return at - length;
    };
    if (block === first) Ext4FcHead.fc_tid.set(log.view, record(9, 8), log.tid);
    Ext4FcInode.fc_ino.set(log.view, record(6, 4 + 160), 12);
    Ext4FcDentryInfo.fc_ino.set(log.view, record(3, 8 + 20), 12);
    record(1, 16);
    record(2, 12);
    record(7, 30);
    const tail = record(8, start + BLOCK_SIZE - at - Ext4FcTl.byteLength);
    Ext4FcTail.fc_tid.set(log.view, tail, log.tid);
    Ext4FcTail.fc_crc.set(log.view, tail, crc32c(0, log.bytes, start, tail + 4));
  }
}

/** Bytes of the log that mean something, so that few flips are without effect. */
function usedBytes(log: LogBuilder): number[] {
  const used = [...log.bytes.keys()].filter((at) => log.bytes[at] !== 0);
  // As many of the superblock, descriptors and the like as of data.
  return used.filter((at) => at < BLOCK_SIZE || at % BLOCK_SIZE < 200 || at % 16 === 0);
}

/** Replays a log; gives what happened in words. */
function replayDamaged(bytes: Uint8Array<ArrayBuffer>): string {
  let writes = 0;
  try {
    const journal = openJournal(memoryBlocks(bytes, BLOCK_SIZE));
    const result = recover(journal, {
      blockSize: BLOCK_SIZE,
      blocksCount: BLOCKS_COUNT,
      write(block, data) {
        writes++;
        assert.ok(block >= 0 && block < BLOCKS_COUNT && data.length === BLOCK_SIZE);
      },
    });
    assert.ok(writes <= journal.length, `${writes} blocks out of a log of ${journal.length}`);
    const fast = scanFastCommits(journal, result.nextTid);
    if (fast.problem !== undefined) return "damaged fast commit";
    return result.problems.length > 0 ? "damaged blocks" : `${result.transactions} transactions`;
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    return error.code;
  }
}

for (const [index, options] of FORMATS.entries()) {
  Deno.test(`recover: format ${index} with flipped bits fails with FsError alone`, () => {
    const log = makeLog(options);
    const random = makeRandom(index + 1);
    const used = usedBytes(log);
    const outcomes = new Set<string>();
    assert.equal(replayDamaged(log.bytes), "12 transactions");
    let slowest = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const sum = Sb.s_checksum.get(log.view, 0);
      const changed = new Map<number, number>();
      for (let flips = 1 + random(4); flips > 0; flips--) {
        const at = random(2) === 0 ? used[random(used.length)] : random(4096);
        if (!changed.has(at)) changed.set(at, log.bytes[at]);
        log.bytes[at] = random(3) === 0 ? random(256) : log.bytes[at] ^ (1 << random(8));
      }
      if (random(4) !== 0) log.sumSuperblock();
      const start = performance.now();
      outcomes.add(replayDamaged(log.bytes));
      slowest = Math.max(slowest, performance.now() - start);
      for (const [at, byte] of changed) log.bytes[at] = byte;
      Sb.s_checksum.set(log.view, 0, sum);
    }
    assert.equal(replayDamaged(log.bytes), "12 transactions");
    assert.ok(outcomes.size > 5, `only ${[...outcomes]}`);
    assert.ok(outcomes.has("EUCLEAN") && outcomes.has("EINVAL"), `only ${[...outcomes]}`);
    assert.ok(slowest < LONGEST_MS, `${slowest} ms`);
  });
}

Deno.test("scanFastCommits: random records fail with FsError alone", () => {
  const options = FORMATS.at(-1)!;
  const log = makeLog(options);
  const journal = openJournal(memoryBlocks(log.bytes, BLOCK_SIZE));
  const area = journal.fastCommits!;
  assert.equal(scanFastCommits(journal, log.tid).commits, 2);
  const random = makeRandom(99);
  const sound = log.bytes.slice();
  for (let round = 0; round < ROUNDS; round++) {
    for (let flips = 1 + random(6); flips > 0; flips--) {
      log.bytes[area.first * BLOCK_SIZE + random(2 * BLOCK_SIZE)] = random(256);
    }
    const { commits, operations } = scanFastCommits(journal, log.tid);
    assert.ok(commits <= 2 && operations.length <= 8);
    log.bytes.set(sound.subarray(area.first * BLOCK_SIZE), area.first * BLOCK_SIZE);
  }
});
