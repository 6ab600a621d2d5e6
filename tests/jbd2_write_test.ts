/**
 * Logs that are written here, in all formats, are replayed alike by the code of recovery, by
 * e2fsck and by the kernel.
 */

import assert from "node:assert/strict";
import { MemoryDevice } from "../src/block/memory_device.ts";
import type { LogFormat } from "../src/jbd2/journal_superblock.ts";
import { openForWriting } from "./support/crash_recover.ts";
import { attachLoop, mountKernel } from "./support/mount.ts";
import {
  type Committed,
  differences,
  lastBlocks,
  type LoggedFileSystem,
  openForLogging,
  recoverImage,
  Workload,
} from "./support/journal_workload.ts";
import { blockSizeOf, replayByE2fsck } from "./support/journal.ts";
import { RecordingDevice } from "./support/recording_device.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

interface Config {
  readonly name: string;
  readonly mke2fs: readonly string[];
  readonly format: LogFormat;
}

/** 1024 blocks, the smallest journal there is. */
const SMALL = ["-b", "1024", "-J", "size=1"];

const CONFIGS: readonly Config[] = [
  {
    name: "ext3",
    mke2fs: ["-t", "ext3", ...SMALL],
    format: { is64bit: false, checksums: "none" },
  },
  {
    name: "64-bit",
    mke2fs: ["-t", "ext4", "-O", "64bit,^metadata_csum", ...SMALL],
    format: { is64bit: true, checksums: "none" },
  },
  {
    name: "journal_checksum",
    mke2fs: ["-t", "ext4", "-O", "^64bit,^metadata_csum", ...SMALL],
    format: { is64bit: false, checksums: "journal_checksum" },
  },
  {
    name: "journal_checksum, 64-bit",
    mke2fs: ["-t", "ext4", "-O", "64bit,^metadata_csum", ...SMALL],
    format: { is64bit: true, checksums: "journal_checksum" },
  },
  {
    name: "checksums of version 2",
    mke2fs: ["-t", "ext4", "-O", "^64bit,metadata_csum", ...SMALL],
    format: { is64bit: false, checksums: "journal_checksum_v2" },
  },
  {
    name: "checksums of version 2, 64-bit",
    mke2fs: ["-t", "ext4", "-O", "64bit,metadata_csum", ...SMALL],
    format: { is64bit: true, checksums: "journal_checksum_v2" },
  },
  {
    name: "checksums of version 3",
    mke2fs: ["-t", "ext4", "-O", "^64bit,metadata_csum", ...SMALL],
    format: { is64bit: false, checksums: "journal_checksum_v3" },
  },
  {
    name: "checksums of version 3, 64-bit, blocks of 2 KiB",
    mke2fs: ["-t", "ext4", "-O", "64bit,metadata_csum", "-b", "2048", "-J", "size=2"],
    format: { is64bit: true, checksums: "journal_checksum_v3" },
  },
  {
    name: "checksums of version 3, 64-bit, blocks of 4 KiB",
    mke2fs: ["-t", "ext4", "-O", "64bit,metadata_csum", "-b", "4096", "-J", "size=4"],
    format: { is64bit: true, checksums: "journal_checksum_v3" },
  },
  {
    name: "an area of fast commits",
    mke2fs: ["-t", "ext4", "-O", "64bit,metadata_csum,fast_commit", "-b", "1024", "-J", "size=2"],
    format: { is64bit: true, checksums: "journal_checksum_v3" },
  },
];

for (const [index, config] of CONFIGS.entries()) {
  Deno.test(`JournalStore: ${config.name}: its log is replayed by all alike`, async () => {
    if (!requires("root", "loop", "e2fsprogs")) return;
    using folder = new TempDir();
    const path = folder.join("image");
    await run("mke2fs", ["-q", "-F", ...config.mke2fs, path, "32M"]);
    const device = new MemoryDevice(Deno.readFileSync(path));
    const blockSize = blockSizeOf(device.bytes);
    const fs = openForLogging(device, config.format);
    const work = new Workload(fs, lastBlocks(device, blockSize, 400), index);

    // The ring is gone around many times.
    const rounds = 6;
    for (let round = 0; round < rounds; round++) {
      while (fs.store.statistics.logBlocks < (round + 1) * 1500) workAndCommit(work);
      commitSomething(fs, work);
      const image = device.bytes.slice();
      assert.ok(recoverImage(image).transactions > 0);
      check(image, blockSize, work, "replayed here");
      if (round < rounds - 2) continue;
      Deno.writeFileSync(path, device.bytes);
      check(await replayByE2fsck(path), blockSize, work, "replayed by e2fsck");
      check(await replayByKernel(path, folder, round), blockSize, work, "replayed by the kernel");
    }
    const { writeBacks, revokes } = fs.store.statistics;
    assert.ok(writeBacks > 3, `${writeBacks} write-backs`);
    assert.ok(revokes > 20, `${revokes} revokes`);
  });
}

function workAndCommit(work: Workload): void {
  for (let count = 0; count < 5; count++) work.operation();
  for (let count = 0; count < 5; count++) work.writeData();
  work.commit();
}

/** Leaves something for a replay: commits that did not make the journal write back. */
function commitSomething({ store: { statistics } }: LoggedFileSystem, work: Workload): void {
  const { writeBacks } = statistics;
  workAndCommit(work);
  if (statistics.writeBacks > writeBacks) workAndCommit(work);
}

/** Metadata is as of the last commit, and the newest data is there. */
function check(
  image: Uint8Array<ArrayBuffer>,
  blockSize: number,
  work: Workload,
  what: string,
): void {
  const state = work.states.at(-1)!;
  const { data } = work;
  assert.ok(
    state.metadata.size > 100 && data.size > 10,
    `too little to compare: ${state.metadata.size} and ${data.size}`,
  );
  const both: Committed = { metadata: new Map([...data, ...state.metadata]) };
  assert.deepEqual(differences(image, blockSize, both), [], what);
}

async function replayByKernel(
  path: string,
  folder: TempDir,
  round: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const copy = folder.join(`kernel${round}`);
  Deno.copyFileSync(path, copy);
  {
    await using device = await attachLoop(copy);
    await using _mounted = await mountKernel(device.path, folder.mkdir(`mount${round}`), "ro");
  }
  await run("e2fsck", ["-fn", copy]);
  return Deno.readFileSync(copy);
}

Deno.test("JournalStore: a commit takes two writes and two flushes, and with data no more", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const path = folder.join("image");
  await run("mke2fs", ["-q", "-F", "-t", "ext4", ...SMALL, path, "16M"]);
  const device = new RecordingDevice(Deno.readFileSync(path));
  const fs = openForLogging(device, { is64bit: true, checksums: "journal_checksum_v3" });
  const kinds = () => device.log.splice(0).map(({ kind }) => kind);
  kinds();
  fs.transactions.run((handle) => {
    for (let block = 0; block < 150; block++) handle.create(15000 + 2 * block);
  });
  device.write(new Uint8Array(5000), 14_000 * 1024);
  fs.transactions.noteData();
  fs.transactions.commit();
  assert.deepEqual(kinds(), ["write", "write", "flush", "write", "flush"]);
  fs.transactions.noteData();
  fs.transactions.commit();
  assert.deepEqual(kinds(), ["flush"], "data alone");
  fs.transactions.commit();
  assert.deepEqual(kinds(), [], "nothing");
});

Deno.test("JournalStore: a journal on a device of its own", async () => {
  if (!requires("root", "loop", "e2fsprogs")) return;
  using folder = new TempDir();
  const [path, log] = [folder.join("image"), folder.join("log")];
  await run("mke2fs", ["-q", "-F", "-b", "2048", "-O", "journal_dev", log, "2048"]);
  {
    await using loop = await attachLoop(log);
    const journal = ["-J", `device=${loop.path}`];
    await run("mke2fs", ["-q", "-F", "-b", "2048", "-t", "ext4", ...journal, path, "16M"]);
  }
  const device = new MemoryDevice(Deno.readFileSync(path));
  const logDevice = new MemoryDevice(Deno.readFileSync(log), "log");
  const format: LogFormat = { is64bit: true, checksums: "journal_checksum_v3" };
  const fs = openForLogging(device, format, logDevice);
  const work = new Workload(fs, lastBlocks(device, 2048, 400), 7);
  while (fs.store.statistics.writeBacks < 3) workAndCommit(work);
  commitSomething(fs, work);
  const image = device.bytes.slice();
  assert.ok(recoverImage(image, logDevice.bytes.slice()).transactions > 0);
  check(image, 2048, work, "replayed here");
  Deno.writeFileSync(path, device.bytes);
  Deno.writeFileSync(log, logDevice.bytes);
  check(await replayByE2fsck(path, ["-j", log]), 2048, work, "replayed by e2fsck");
});

Deno.test("JournalStore: debugfs shows what is in the log", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const path = folder.join("image");
  await run("mke2fs", ["-q", "-F", "-t", "ext4", ...SMALL, path, "16M"]);
  const device = new MemoryDevice(Deno.readFileSync(path));
  const fs = openForLogging(device, { is64bit: true, checksums: "journal_checksum_v3" });
  fs.transactions.run((handle) => {
    for (let block = 15000; block < 15100; block++) handle.create(block).bytes.fill(1);
  });
  fs.transactions.commit();
  fs.transactions.run((handle) => handle.forget(15050));
  fs.transactions.commit();
  Deno.writeFileSync(path, device.bytes);
  const { stdout } = await run("debugfs", ["-R", "logdump -a", path]);
  assert.match(stdout, /Found expected sequence 1, type 1 \(descriptor block\) at block 1\n/);
  assert.match(stdout, /FS block 15099 logged at journal block 102 \(flags 0xa\)/);
  assert.match(stdout, /Found expected sequence 1, type 2 \(commit block\)/);
  assert.match(stdout, /Found expected sequence 2, type 5 \(revoke table\)/);
  assert.match(stdout, /Revoke FS block 15050/);
  assert.match(stdout, /Found expected sequence 2, type 2 \(commit block\)/);
});

Deno.test("FileSystem.open for writing: the kernel goes on where a log ends, with fast commits", async () => {
  if (!requires("root", "loop", "e2fsprogs")) return;
  using folder = new TempDir();
  const path = folder.join("image");
  const size = ["-b", "1024", "-J", "size=2", "-O", "fast_commit"];
  await run("mke2fs", ["-q", "-F", "-t", "ext4", ...size, path, "32M"]);
  const device = new RecordingDevice(Deno.readFileSync(path));
  const fs = openForWriting([device]);
  const { transactions, parts: { journal } } = fs.writing;
  const commit = (count: number) => {
    for (let block = 0; block < count; block += 50) {
      fs.change((handle) => {
        for (let at = block; at < Math.min(count, block + 50); at++) handle.create(20_000 + at);
      });
    }
    transactions.commit();
  };
  // As long as a log can become: the last commit leaves nothing but to write it back.
  while (journal!.statistics.writeBacks === 0) {
    const before = device.log.length;
    commit(Math.floor(journal!.maxBlocks / 2));
    if (journal!.statistics.writeBacks === 0) continue;
    const flushes = [...device.log.keys()].filter((at) => device.log[at].kind === "flush");
    const [, committed] = flushes.filter((at) => at > before);
    await workInKernel(device.imageAt(committed + 1), path);
  }
  commit(10);
  fs.stopWriting();
  await workInKernel(device.imageAt(device.log.length), path);
});

/** The kernel mounts an image, fills its journal, and all is well. */
async function workInKernel(image: Uint8Array, path: string): Promise<void> {
  using folder = new TempDir();
  Deno.writeFileSync(path, image);
  {
    await using loop = await attachLoop(path);
    await using mounted = await mountKernel(loop.path, folder.mkdir("mount"), "rw");
    for (let dir = 0; dir < 30; dir++) {
      Deno.mkdirSync(`${mounted.dir}/${dir}`);
      await run("sync", ["-f", mounted.dir]);
    }
  }
  await run("e2fsck", ["-fn", path]);
  const { stdout } = await run("dumpe2fs", ["-h", path]);
  assert.doesNotMatch(stdout, /errors|Journal errno/);
}
