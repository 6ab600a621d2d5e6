/** Logs made block by block: the turns that a log can take, and the ways in which it can be bad. */

import assert from "node:assert/strict";
import { JBD2_SUPERBLOCK_V1, JournalSuperblock as Sb } from "../src/disk/journal.ts";
import { openJournal } from "../src/jbd2/journal.ts";
import {
  MAX_PROBLEMS,
  recover,
  type RecoveryResult,
  type ReplayTarget,
} from "../src/jbd2/recovery.ts";
import type { ErrnoName } from "../src/sys/errno.ts";
import { fail } from "../src/sys/fs_error.ts";
import { isFsError } from "./support/errors.ts";
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
} from "./support/log_builder.ts";

const BLOCKS_COUNT = 10_000;

/** Keeps the last byte of each block that is written, and the first if it is another. */
class Target implements ReplayTarget {
  readonly blockSize = BLOCK_SIZE;
  readonly written: Record<number, string> = {};
  constructor(readonly blocksCount = BLOCKS_COUNT) {}

  write(block: number, bytes: Uint8Array): void {
    const [first, last] = [bytes[0], bytes[bytes.length - 1]];
    this.written[block] = first === last ? `${last}` : `${first}..${last}`;
  }
}

function replayLog(log: LogBuilder, target = new Target()): [RecoveryResult, Target["written"]] {
  const result = recover(openJournal(memoryBlocks(log.bytes, BLOCK_SIZE)), target);
  return [result, target.written];
}

const FORMATS = {
  "32-bit": {},
  "64-bit": { incompat: INCOMPAT_64BIT },
  "checksums of version 1": { compat: COMPAT_CHECKSUM },
  "checksums of version 2": { incompat: INCOMPAT_CSUM_V2 },
  "checksums of version 2, 64-bit": { incompat: INCOMPAT_CSUM_V2 | INCOMPAT_64BIT },
  "checksums of version 3": { incompat: INCOMPAT_CSUM_V3 },
  "checksums of version 3, 64-bit": { incompat: INCOMPAT_CSUM_V3 | INCOMPAT_64BIT },
};

for (const [name, options] of Object.entries(FORMATS)) {
  Deno.test(`recover: ${name}: newest versions, revokes, escapes, no unfinished end`, () => {
    const log = new LogBuilder(options);
    log.transaction(1, { block: 10, fill: 1 }, { block: 11, fill: 1 }, { block: 12, fill: 1 });
    log.transaction(2, { block: 10, fill: 2, magic: true }, { block: 13, fill: 2 });
    log.revoke(11, 12, 4000);
    log.commit(3);
    log.transaction(3, { block: 12, fill: 4 });
    log.descriptor({ block: 13, fill: 5 });
    const [result, written] = replayLog(log);
    assert.deepEqual(written, { 10: "192..2", 12: "4", 13: "2" });
    assert.deepEqual(result, {
      transactions: 4,
      blocks: 3,
      skippedBlocks: 0,
      revokes: 3,
      nextTid: 5,
      problems: [],
    });
  });

  Deno.test(`recover: ${name}: transaction numbers and the log go around`, () => {
    const log = new LogBuilder({ ...options, sequence: 0xfffffffe, start: 1095 });
    for (let number = 0; number < 5; number++) log.transaction(number, { block: number, fill: 7 });
    const [result, written] = replayLog(log);
    assert.deepEqual(Object.keys(written), ["0", "1", "2", "3", "4"]);
    assert.equal(result.nextTid, 3);
  });
}

Deno.test("recover: the log goes around in front of the fast-commit area", () => {
  const log = new LogBuilder({
    incompat: INCOMPAT_FAST_COMMIT,
    length: 1200,
    fastCommitBlocks: 100,
    start: 1098,
  });
  for (let number = 0; number < 3; number++) log.transaction(number, { block: number, fill: 7 });
  const [result] = replayLog(log);
  assert.equal(result.transactions, 3);
});

Deno.test("recover: 64-bit block numbers keep their high half", () => {
  const log = new LogBuilder({ incompat: INCOMPAT_64BIT | INCOMPAT_CSUM_V3 });
  const high = 3 * 2 ** 32 + 5;
  log.transaction(1, { block: high, fill: 1 }, { block: high + 1, fill: 1 });
  log.revoke(high + 1);
  log.commit(2);
  const [, written] = replayLog(log, new Target(2 ** 40));
  assert.deepEqual(written, { [high]: "1" });
});

Deno.test("recover: a clean journal is left alone", () => {
  const log = new LogBuilder();
  log.transaction(1, { block: 10, fill: 1 });
  Sb.s_start.set(log.view, 0, 0);
  const [result, written] = replayLog(log);
  assert.deepEqual(written, {});
  assert.equal(result.transactions, 0);
});

Deno.test("recover: a data block that does not fit its checksum is left out and reported", () => {
  for (const incompat of [INCOMPAT_CSUM_V2, INCOMPAT_CSUM_V3]) {
    const log = new LogBuilder({ incompat });
    const descriptor = log.descriptor({ block: 10, fill: 1 }, { block: 11, fill: 1 });
    log.commit(1);
    log.flip(descriptor + 1, 500);
    const [result, written] = replayLog(log);
    assert.deepEqual(written, { 11: "1" });
    assert.equal(result.skippedBlocks, 1);
    assert.equal(result.blocks, 1);
    assert.ok(isFsError("EBADMSG", /journal block 2, transaction 1/)(result.problems[0]));
  }
});

Deno.test("recover: a block beyond the device is left out and reported", () => {
  const log = new LogBuilder();
  log.transaction(1, { block: BLOCKS_COUNT, fill: 1 }, { block: BLOCKS_COUNT - 1, fill: 1 });
  const [result, written] = replayLog(log);
  assert.deepEqual(written, { [BLOCKS_COUNT - 1]: "1" });
  assert.ok(
    isFsError("EUCLEAN", /beyond the end of the device \(block 10000\)/)(result.problems[0]),
  );
});

Deno.test("recover: reports no more problems than MAX_PROBLEMS", () => {
  const log = new LogBuilder();
  const logged = Array.from({ length: 100 }, (_, at) => ({ block: BLOCKS_COUNT + at, fill: 1 }));
  log.transaction(1, ...logged);
  const [result] = replayLog(log);
  assert.equal(result.skippedBlocks, 100);
  assert.equal(result.problems.length, MAX_PROBLEMS);
});

Deno.test("recover: a data block that cannot be read is left out and reported", () => {
  const log = new LogBuilder();
  log.transaction(1, { block: 10, fill: 1 }, { block: 11, fill: 1 });
  const blocks = memoryBlocks(log.bytes, BLOCK_SIZE);
  const target = new Target();
  const journal = openJournal({
    ...blocks,
    read(block, into) {
      if (block === 2) throw fail("EIO", "Cannot read journal block 2");
      blocks.read(block, into);
    },
  });
  const result = recover(journal, target);
  assert.deepEqual(target.written, { 11: "1" });
  assert.equal(result.problems[0].code, "EIO");
});

Deno.test("recover: a damaged descriptor in a committed transaction stops it all", () => {
  const log = new LogBuilder({ incompat: INCOMPAT_CSUM_V3 });
  log.transaction(5, { block: 10, fill: 1 });
  const descriptor = log.descriptor({ block: 11, fill: 1 });
  log.commit(6);
  log.flip(descriptor, 900);
  const target = new Target();
  assert.throws(() => replayLog(log, target), isFsError("EBADMSG", /transaction 2 in the journal/));
  assert.deepEqual(target.written, {});
});

Deno.test("recover: what does not fit and is older than the log is left from its last round", () => {
  for (const broken of ["descriptor", "revoke", "commit"] as const) {
    const log = new LogBuilder({ incompat: INCOMPAT_CSUM_V3 });
    log.transaction(5, { block: 10, fill: 1 });
    const blocks = {
      descriptor: log.descriptor({ block: 11, fill: 1 }),
      revoke: log.revoke(10),
      commit: log.commit(4),
    };
    log.flip(blocks[broken], 24);
    const [result, written] = replayLog(log);
    assert.deepEqual(written, { 10: "1" }, broken);
    assert.deepEqual(result.problems, []);
    assert.equal(result.nextTid, 2);
  }
});

Deno.test("recover: a commit block that does not fit ends the replay and is reported", () => {
  for (const options of [{ incompat: INCOMPAT_CSUM_V3 }, { compat: COMPAT_CHECKSUM }]) {
    const log = new LogBuilder(options);
    log.transaction(5, { block: 10, fill: 1 });
    log.descriptor({ block: 11, fill: 1 });
    log.flip(log.commit(6), 16);
    log.transaction(7, { block: 12, fill: 1 });
    const [result, written] = replayLog(log);
    assert.deepEqual(written, { 10: "1" });
    assert.ok(isFsError("EUCLEAN", /transaction 2 does not fit its commit/)(result.problems[0]));
  }
});

Deno.test("recover: of a commit block only the header has to be there", () => {
  const log = new LogBuilder({ incompat: INCOMPAT_CSUM_V3 });
  log.descriptor({ block: 10, fill: 1 });
  log.flip(log.commit(6), 700);
  assert.deepEqual(replayLog(log)[1], { 10: "1" });
});

Deno.test("recover: with asynchronous commits, an unfinished last transaction is no damage", () => {
  for (
    const options of [
      { compat: COMPAT_CHECKSUM, incompat: INCOMPAT_ASYNC_COMMIT },
      { incompat: INCOMPAT_ASYNC_COMMIT | INCOMPAT_CSUM_V3 },
    ]
  ) {
    const log = new LogBuilder(options);
    log.transaction(5, { block: 10, fill: 1 });
    const descriptor = log.descriptor({ block: 11, fill: 1 });
    const commit = log.commit(6);
    log.flip(options.compat ? descriptor + 1 : commit, 20);
    const [last, written] = replayLog(log);
    assert.deepEqual(written, { 10: "1" });
    assert.deepEqual(last.problems, []);
    assert.equal(last.nextTid, 2);

    log.transaction(7, { block: 12, fill: 1 });
    const [result, same] = replayLog(log);
    assert.deepEqual(same, { 10: "1" });
    assert.match(result.problems[0].message, /transaction 2 does not fit its commit/);
  }
});

Deno.test("recover: a transaction without checksum passes where others have one", () => {
  const log = new LogBuilder({ compat: COMPAT_CHECKSUM });
  log.descriptor({ block: 10, fill: 1 });
  const commit = log.commit(6);
  log.bytes.fill(0, commit * BLOCK_SIZE + 12, commit * BLOCK_SIZE + 20);
  assert.deepEqual(replayLog(log)[1], { 10: "1" });
});

Deno.test("recover: a log without end is refused", () => {
  const revokes = new LogBuilder();
  for (let block = 1; block < 1100; block++) revokes.revoke(5);
  assert.throws(() => replayLog(revokes), isFsError("EUCLEAN", /more than once around/));
  // 1099 blocks are 7 times 157: the descriptors meet themselves in the second round.
  const descriptors = new LogBuilder();
  const piece = Array.from({ length: 78 }, (_, block) => ({ block, fill: 1 }));
  for (let count = 0; count < 7; count++) {
    descriptors.descriptor(...piece);
    descriptors.descriptor(...piece.slice(1));
  }
  assert.throws(() => replayLog(descriptors), isFsError("EUCLEAN", /more than once around/));
});

Deno.test("recover: a target of another block size is refused", () => {
  const journal = openJournal(memoryBlocks(new LogBuilder().bytes, BLOCK_SIZE));
  const target = { blockSize: 4096, blocksCount: 10, write() {} };
  assert.throws(() => recover(journal, target), isFsError("EUCLEAN", /blocks of 1024 bytes/));
});

Deno.test("openJournal: version 1 has no features", () => {
  const log = new LogBuilder({ incompat: 0xffff });
  Sb.h_blocktype.set(log.view, 0, JBD2_SUPERBLOCK_V1);
  Sb.s_errno.set(log.view, 0, -30);
  const journal = openJournal(memoryBlocks(log.bytes, BLOCK_SIZE));
  assert.deepEqual(journal.features.names(), []);
  assert.equal(journal.version, 1);
  assert.equal(journal.errno, -30);
});

Deno.test("openJournal: refuses damage and what it does not know, by name", () => {
  const cases: [(log: LogBuilder) => void, ErrnoName, RegExp][] = [
    [(log) => Sb.h_magic.set(log.view, 0, 1), "EUCLEAN", /magic 0x1/],
    [(log) => Sb.h_blocktype.set(log.view, 0, 2), "EUCLEAN", /block type 2/],
    [(log) => Sb.s_blocksize.set(log.view, 0, 4096), "EUCLEAN", /block size 4096/],
    [(log) => Sb.s_maxlen.set(log.view, 0, 1101), "EUCLEAN", /1101 blocks in a journal of 1100/],
    [(log) => Sb.s_maxlen.set(log.view, 0, 1000), "EUCLEAN", /shorter than any/],
    [(log) => Sb.s_first.set(log.view, 0, 0), "EUCLEAN", /first block 0/],
    [(log) => Sb.s_first.set(log.view, 0, 500), "EUCLEAN", /shorter than any/],
    [(log) => Sb.s_start.set(log.view, 0, 1100), "EUCLEAN", /starts at block 1100, outside/],
    [(log) => Sb.s_feature_incompat.set(log.view, 0, 0x40), "EINVAL", /features: FEATURE_I6$/],
    [(log) => Sb.s_feature_ro_compat.set(log.view, 0, 1), "EINVAL", /features: FEATURE_R0$/],
    [(log) => Sb.s_feature_incompat.set(log.view, 0, 0x18), "EUCLEAN", /_v2 journal_checksum_v3/],
    [(log) => Sb.s_feature_incompat.set(log.view, 0, 0x20), "EUCLEAN", /shorter than any/],
  ];
  for (const [damage, code, message] of cases) {
    const log = new LogBuilder();
    damage(log);
    log.sumSuperblock();
    assert.throws(() => replayLog(log), isFsError(code, message));
  }
});

Deno.test("openJournal: a superblock that does not fit its checksum is refused", () => {
  const log = new LogBuilder({ incompat: INCOMPAT_CSUM_V3 });
  log.flip(0, 300);
  assert.throws(() => replayLog(log), isFsError("EBADMSG", /the journal superblock/));
});
