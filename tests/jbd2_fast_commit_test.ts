/** Fast commits that the kernel wrote are read as debugfs reads them, and torn ones are not. */

import assert from "node:assert/strict";
import {
  type FastCommitOperation,
  type FastCommits,
  scanFastCommits,
} from "../src/jbd2/fast_commit.ts";
import { openJournal } from "../src/jbd2/journal.ts";
import { scanLog } from "../src/jbd2/log_scan.ts";
import { Errno } from "../src/sys/errno.ts";
import { writeAndSync } from "./support/dirty_image.ts";
import { blockSizeOf, dumpJournal, memoryBlocks } from "./support/journal.ts";
import { mountKernel } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

interface FastCommitLog {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly blockSize: number;
  /** What debugfs says of the fast-commit area, a line for each record. */
  readonly lines: readonly string[];
}

/** Made once: the kernel makes a full commit and several fast ones, and is copied in between. */
let made: Promise<FastCommitLog> | undefined;

function fastCommitLog(): Promise<FastCommitLog> {
  made ??= makeFastCommitLog();
  return made;
}

async function makeFastCommitLog(): Promise<FastCommitLog> {
  using folder = new TempDir();
  const image = folder.join("image");
  const copy = folder.join("copy");
  await run("mke2fs", ["-q", "-F", "-t", "ext4", "-O", "fast_commit", image, "32M"]);
  {
    await using mounted = await mountKernel(image, folder.mkdir("mounted"), "rw");
    workInFastCommits(mounted.dir);
    Deno.copyFileSync(image, copy);
  }
  const { stdout } = await run("debugfs", ["-R", "logdump -c", copy]);
  const lines = stdout.split("*** Fast Commit Area ***\n")[1].trim().split("\n");
  const blockSize = blockSizeOf(Deno.readFileSync(copy).subarray(0, 2048));
  return { bytes: await dumpJournal(copy), blockSize, lines };
}

/** The first sync after the mount is a full commit; each of the others is a fast one. */
function workInFastCommits(dir: string): void {
  writeAndSync(`${dir}/old.`, new Uint8Array(10));
  writeAndSync(`${dir}/kept.`, new Uint8Array(20_000));
  Deno.linkSync(`${dir}/kept.`, `${dir}/linked.`);
  Deno.removeSync(`${dir}/old.`);
  truncateAndSync(`${dir}/kept.`, 4096);
  Deno.renameSync(`${dir}/linked.`, `${dir}/renamed.`);
  for (let file = 0; file < 60; file++) {
    Deno.writeTextFileSync(`${dir}/${"n".repeat(200)}${file}.`, "");
  }
  truncateAndSync(`${dir}/renamed.`, 100);
}

function truncateAndSync(path: string, size: number): void {
  using file = Deno.openSync(path, { write: true });
  file.truncateSync(size);
  file.syncSync();
}

/** A record as debugfs prints it. */
function describe(operation: FastCommitOperation): string {
  switch (operation.kind) {
    case "inode":
      return `tag INODE, inode ${operation.ino}`;
    case "add_range":
      return `tag ADD_RANGE, inode ${operation.ino}, lblk ${operation.fileBlock}, ` +
        `pblk ${operation.start}, len ${operation.length}`;
    case "del_range":
      // Printed as a signed number.
      return `tag DEL_RANGE, inode ${operation.ino}, lblk ${operation.fileBlock | 0}, ` +
        `len ${operation.length}`;
    default: {
      const tag = { creat: "CREAT_DENTRY", link: "ADD_ENTRY", unlink: "DEL_ENTRY" }[operation.kind];
      const name = new TextDecoder().decode(operation.name);
      return `tag ${tag}, parent ${operation.parentIno}, ino ${operation.ino}, name "${name}"`;
    }
  }
}

function scan(log: FastCommitLog, bytes = log.bytes, tidOffset = 0): FastCommits {
  const journal = openJournal(memoryBlocks(bytes, log.blockSize));
  return scanFastCommits(journal, scanLog(journal).nextTid + tidOffset);
}

/** Byte of the log at which the tail of fast commit `index` has its checksum. */
function tailChecksumAt(log: FastCommitLog, index: number): number {
  const view = new DataView(log.bytes.buffer);
  const journal = openJournal(memoryBlocks(log.bytes, log.blockSize));
  let at = journal.fastCommits!.first * log.blockSize;
  for (let seen = 0; at < log.bytes.length;) {
    if (view.getUint16(at, true) === 8 && seen++ === index) return at + 8;
    at += 4 + view.getUint16(at + 2, true);
  }
  throw new Error(`no tail ${index}`);
}

Deno.test("scanFastCommits: finds what debugfs finds in the kernel's area", async () => {
  if (!requires("root", "loop", "e2fsprogs")) return;
  const log = await fastCommitLog();
  const found = scan(log);
  assert.equal(found.problem, undefined);
  const lines = log.lines.filter((line) => !/^tag (HEAD|TAIL|PAD)/.test(line));
  // debugfs prints what lies behind a name in its memory as well: every name ends in a point.
  const expected = lines.map((line) => line.replace(/\..*"$/, '."'));
  assert.deepEqual(found.operations.map(describe), expected);
  assert.equal(found.commits, log.lines.filter((line) => line.startsWith("tag TAIL")).length);
  const kinds = new Set(found.operations.map((operation) => operation.kind));
  assert.deepEqual(
    [...kinds].sort(),
    ["add_range", "creat", "del_range", "inode", "link", "unlink"],
  );
});

Deno.test("scanFastCommits: ends in front of a commit whose tail does not fit", async () => {
  if (!requires("root", "loop", "e2fsprogs")) return;
  const log = await fastCommitLog();
  const whole = scan(log);
  const bytes = log.bytes.slice();
  bytes[tailChecksumAt(log, 1)] ^= 1;
  const torn = scan(log, bytes);
  assert.equal(torn.commits, 1);
  assert.equal(torn.problem, undefined);
  assert.ok(torn.operations.length > 0 && torn.operations.length < whole.operations.length);
  assert.deepEqual(torn.operations, whole.operations.slice(0, torn.operations.length));
});

Deno.test("scanFastCommits: reports a first commit that does not fit", async () => {
  if (!requires("root", "loop", "e2fsprogs")) return;
  const log = await fastCommitLog();
  const bytes = log.bytes.slice();
  bytes[tailChecksumAt(log, 0)] ^= 1;
  const torn = scan(log, bytes);
  assert.deepEqual(torn.operations, []);
  assert.equal(torn.problem?.errno, Errno.EBADMSG);
});

Deno.test("scanFastCommits: takes an area for another transaction for old", async () => {
  if (!requires("root", "loop", "e2fsprogs")) return;
  const log = await fastCommitLog();
  const old = scan(log, log.bytes, 1);
  assert.deepEqual(old.operations, []);
  assert.equal(old.problem, undefined);
});

Deno.test("scanFastCommits: refuses features that it does not know", async () => {
  if (!requires("root", "loop", "e2fsprogs")) return;
  const log = await fastCommitLog();
  const bytes = log.bytes.slice();
  const journal = openJournal(memoryBlocks(bytes, log.blockSize));
  bytes[journal.fastCommits!.first * log.blockSize + 4] = 2;
  const found = scan(log, bytes);
  assert.deepEqual(found.operations, []);
  assert.match(found.problem?.message ?? "", /features: 0x2/);
});
