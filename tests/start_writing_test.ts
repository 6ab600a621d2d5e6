/** The start and the end of writing: what is on the device at each step, and who is refused. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { MemoryDevice } from "../src/block/memory_device.ts";
import type { Device } from "../src/block/device.ts";
import { EXT4_ROOT_INO } from "../src/disk/inode.ts";
import {
  EXT4_ERROR_FS,
  EXT4_VALID_FS,
  Ext4SuperBlock as Sb,
  SUPERBLOCK_OFFSET,
} from "../src/disk/superblock.ts";
import { recordError } from "../src/ext4/superblock/error_record.ts";
import { FileSystem, type OpenOptions } from "../src/ext4/filesystem.ts";
import type { WriteOptions } from "../src/ext4/writing.ts";
import { openJournal } from "../src/jbd2/journal.ts";
import { scanLog } from "../src/jbd2/log_scan.ts";
import { corrupt, fail } from "../src/sys/fs_error.ts";
import { SILENT } from "../src/sys/log.ts";
import { makeDirtyImages, writeAndSync } from "./support/dirty_image.ts";
import { isFsError } from "./support/errors.ts";
import {
  differingBlocks,
  dumpJournal,
  journalBlock,
  memoryBlocks,
  replayByE2fsck,
  SET_BY_KERNEL,
} from "./support/journal.ts";
import { attachLoop, mountKernel } from "./support/mount.ts";
import { Random } from "./support/random.ts";
import { RecordingDevice } from "./support/recording_device.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const NOW = 1_700_000_000;

const WRITE: WriteOptions = {
  now: () => ({ sec: NOW, nsec: 5 }),
  monotonic: () => 0,
  commitInterval: 5000,
  random: () => 42,
  mountpoint: "/mnt/here",
};

function openForWriting(device: Device, options: Partial<OpenOptions> = {}): FileSystem {
  return FileSystem.open(device, { log: SILENT, write: WRITE, ...options });
}

/** A change that every file system can take: the root directory's time. */
function touchRoot(fs: FileSystem, sec: number): void {
  const root = fs.inode(EXT4_ROOT_INO);
  fs.change((handle) => {
    fs.modifyInode(handle, root);
    root.mtime = { sec, nsec: 0 };
  });
}

async function makeImage(
  folder: TempDir,
  args: readonly string[],
  size = "16M",
): Promise<Uint8Array<ArrayBuffer>> {
  const path = folder.join("made");
  await run("mke2fs", ["-q", "-F", ...args, path, size]);
  return Deno.readFileSync(path);
}

/** What e2fsck -fn says of an image; it must be content. */
async function requireClean(folder: TempDir, image: Uint8Array, what = ""): Promise<void> {
  const path = folder.join("checked");
  Deno.writeFileSync(path, image);
  const { code, stdout } = await run("e2fsck", ["-fn", path], { codes: [0, 4, 8, 12] });
  assert.equal(code, 0, `${what}: ${stdout}`);
}

/** The superblock's fields as dumpe2fs prints them. */
async function header(folder: TempDir, image: Uint8Array): Promise<Map<string, string>> {
  const path = folder.join("dumped");
  Deno.writeFileSync(path, image);
  const { stdout } = await run("dumpe2fs", ["-h", path]);
  return new Map(
    [...stdout.matchAll(/^([^:\n]+):[ \t]+(.*)$/mg)].map(([, name, value]) => [name, value.trim()]),
  );
}

function superblockOf(image: Uint8Array<ArrayBuffer>): DataView {
  return new DataView(image.buffer, 1024, 1024);
}

const CONFIGS: Readonly<Record<string, readonly string[]>> = {
  "ext2": ["-t", "ext2", "-b", "1024"],
  "ext3": ["-t", "ext3", "-b", "1024"],
  "ext4, blocks of 1 KiB": ["-t", "ext4", "-b", "1024"],
  "ext4, blocks of 2 KiB": ["-t", "ext4", "-b", "2048"],
  "ext4": ["-t", "ext4", "-b", "4096"],
  "ext4 without checksums": ["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,uninit_bg"],
  "ext4 without a journal": ["-t", "ext4", "-b", "4096", "-O", "^has_journal"],
  "ext4 with 32-bit numbers": ["-t", "ext4", "-b", "1024", "-O", "^64bit"],
  "bigalloc, orphan file": [
    "-t",
    "ext4",
    "-b",
    "4096",
    "-O",
    "bigalloc,orphan_file",
    "-C",
    "16384",
  ],
  "fast_commit": ["-t", "ext4", "-b", "1024", "-O", "fast_commit"],
};

for (const [name, args] of Object.entries(CONFIGS)) {
  Deno.test(`FileSystem.open for writing, ${name}: in use, changed, crashed, left in order`, async () => {
    if (!requires("root", "loop", "e2fsprogs")) return;
    using folder = new TempDir();
    const device = new MemoryDevice(await makeImage(folder, args));
    const hasJournal = !/ext2|without a journal/.test(name);
    const before = await header(folder, device.bytes);
    assert.equal(before.get("Filesystem state"), "clean");

    const fs = openForWriting(device);
    const inUse = await header(folder, device.bytes);
    assert.equal(inUse.get("Filesystem state"), hasJournal ? "clean" : "not clean");
    assert.equal(/needs_recovery/.test(inUse.get("Filesystem features")!), hasJournal);
    assert.equal(inUse.get("Mount count"), "1");
    assert.equal(inUse.get("Last mounted on"), "/mnt/here");
    assert.equal(Sb.s_mtime.get(superblockOf(device.bytes), 0), NOW);

    touchRoot(fs, 1234567890);
    fs.writing.transactions.commit();
    const e2fsck = /orphan file/.test(name) ? "-fy" : "-p";
    if (hasJournal) await checkCrashed(folder, device.bytes.slice(), 1234567890, e2fsck);
    else await checkWithoutJournal(folder, device.bytes.slice());

    touchRoot(fs, 1111111111);
    fs.stopWriting();
    assert.throws(() => touchRoot(fs, 1), isFsError("EROFS"));
    assert.equal(fs.root.mtime.sec, 1111111111);
    await requireClean(folder, device.bytes);
    const after = await header(folder, device.bytes);
    assert.equal(after.get("Filesystem state"), "clean");
    assert.equal(after.get("Filesystem features"), before.get("Filesystem features"));
    assert.equal(await rootTime(folder, device.bytes), 1111111111);
  });
}

/** The kernel, e2fsck and this code find the committed change; e2fsck has nothing to mend. */
async function checkCrashed(
  folder: TempDir,
  image: Uint8Array<ArrayBuffer>,
  time: number,
  e2fsck: string,
): Promise<void> {
  const path = folder.join("crashed");
  Deno.writeFileSync(path, image);
  const byE2fsck = folder.join("e2fsck");
  Deno.copyFileSync(path, byE2fsck);
  // With an orphan file, there is a flag to be cleared, which -p does not look at.
  await run("e2fsck", [e2fsck, byE2fsck], { codes: [0, 1] });
  await requireClean(folder, Deno.readFileSync(byE2fsck), "after e2fsck's replay");
  {
    await using loop = await attachLoop(path);
    await using mounted = await mountKernel(loop.path, folder.mkdir("kernel"), "rw");
    assert.equal(Deno.statSync(mounted.dir).mtime!.getTime() / 1000, time);
  }
  const device = new MemoryDevice(image);
  const fs = openForWriting(device);
  assert.equal(fs.root.mtime.sec, time);
  fs.stopWriting();
  await requireClean(folder, device.bytes, "after our replay");
}

/** Nothing to replay: the change is in its place, and only the state tells of the crash. */
async function checkWithoutJournal(
  folder: TempDir,
  image: Uint8Array<ArrayBuffer>,
): Promise<void> {
  const view = superblockOf(image);
  assert.equal(Sb.s_state.get(view, 0) & EXT4_VALID_FS, 0);
  const device = new MemoryDevice(image);
  openForWriting(device).stopWriting();
  const state = Sb.s_state.get(superblockOf(device.bytes), 0);
  assert.equal(state & EXT4_VALID_FS, 0, "nobody has checked it");
  await requireClean(folder, device.bytes, "after a crash without a journal");
}

async function rootTime(folder: TempDir, image: Uint8Array): Promise<number> {
  const path = folder.join("root");
  Deno.writeFileSync(path, image);
  const { stdout } = await run("debugfs", ["-R", "stat /", path]);
  return parseInt(/mtime: 0x([0-9a-f]+)/.exec(stdout)![1], 16);
}

/** An image whose log the kernel left behind. */
async function makeDirtyImage(folder: TempDir): Promise<string> {
  const config = {
    name: "dirty",
    mke2fs: ["-t", "ext4", "-b", "1024", "-O", "64bit,metadata_csum", "-J", "size=1"],
    options: "data=ordered",
  };
  return (await makeDirtyImages(config, folder)).at(-1)!;
}

Deno.test("FileSystem.open for writing: replays the kernel's log onto the device", async () => {
  if (!requires("root", "loop", "e2fsprogs")) return;
  using folder = new TempDir();
  const path = await makeDirtyImage(folder);
  const device = new MemoryDevice(Deno.readFileSync(path));
  const fs = openForWriting(device);
  const superblock = await journalBlock(path, 0);
  const expected = await replayByE2fsck(path);
  const set = {
    ...SET_BY_KERNEL,
    s_mtime: [44, 4],
    s_mnt_count: [52, 2],
    s_last_mounted: [136, 64],
  };
  assert.deepEqual(differingBlocks(device.bytes.slice(), expected, set as never, [superblock]), []);
  fs.stopWriting();
  await requireClean(folder, device.bytes);
  // The next transaction must not have a number that is in the ring already.
  const sequence = (log: Uint8Array) => new DataView(log.buffer).getUint32(24);
  const before = sequence(await dumpJournal(path));
  Deno.writeFileSync(path, device.bytes);
  assert.ok(sequence(await dumpJournal(path)) > before);
});

Deno.test("FileSystem.open for writing: a damaged log is refused, and nothing is written", async () => {
  if (!requires("root", "loop", "e2fsprogs")) return;
  using folder = new TempDir();
  const path = await makeDirtyImage(folder);
  const journal = openJournal(memoryBlocks(await dumpJournal(path), 1024));
  const logged = [...scanLog(journal).blocks.values()].at(-1)!.logBlock;
  const image = Deno.readFileSync(path);
  image[await journalBlock(path, logged) * 1024 + 100] ^= 1;
  const device = new MemoryDevice(image.slice());
  assert.throws(
    () => openForWriting(device),
    isFsError("EBADMSG", /cannot replay the journal.*-o ro/),
  );
  assert.equal(Buffer.compare(device.bytes, image), 0, "the image was changed");
  // Whoever only reads may see the rest.
  FileSystem.open(device, { log: SILENT });
});

Deno.test("FileSystem.open for writing: an unwanted log is thrown away, as by the kernel", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const device = new MemoryDevice(await makeImage(folder, ["-t", "ext4", "-b", "1024"]));
  const fs = openForWriting(device);
  touchRoot(fs, 1234567890);
  fs.writing.transactions.commit();
  const path = folder.join("unwanted");
  Deno.writeFileSync(path, device.bytes);
  await run("debugfs", ["-w", "-R", "feature -needs_recovery", path]);
  const again = new MemoryDevice(Deno.readFileSync(path));
  const opened = openForWriting(again);
  assert.notEqual(opened.root.mtime.sec, 1234567890);
  touchRoot(opened, 1234567891);
  opened.writing.transactions.commit();
  opened.stopWriting();
  await requireClean(folder, again.bytes);
  assert.equal(await rootTime(folder, again.bytes), 1234567891);
});

Deno.test("FileSystem.open for writing: of a log that is thrown away, nothing comes back later", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const journal = ["-O", "^metadata_csum", "-J", "size=1"];
  const device = new MemoryDevice(
    await makeImage(folder, ["-t", "ext4", "-b", "1024", ...journal]),
  );
  const fs = openForWriting(device);
  // Where each transaction of the old log ends.
  const ends: number[] = [];
  for (let sec = 1; sec < 10; sec++) {
    touchRoot(fs, sec);
    fs.writing.transactions.commit();
    ends.push(fs.writing.parts.journal!.statistics.logBlocks);
  }
  const path = folder.join("unwanted");
  Deno.writeFileSync(path, device.bytes);
  await run("debugfs", ["-w", "-R", "feature -needs_recovery", path]);
  const again = new MemoryDevice(Deno.readFileSync(path));
  // The log is damaged at its start: it seems to be empty.
  const start = await journalBlock(path, 1) * 1024;
  again.bytes.fill(0, start, start + 1024);
  const opened = openForWriting(again);
  // The new transaction is so long that behind it, the third one of the old log begins.
  opened.change((handle) => {
    for (let extra = 3; extra < ends[1]; extra++) handle.create(12_000 + extra);
  });
  touchRoot(opened, 1234567891);
  opened.writing.transactions.commit();
  const crashed = new MemoryDevice(again.bytes.slice());
  assert.equal(openForWriting(crashed).root.mtime.sec, 1234567891);
});

Deno.test("FileSystem.open for writing: EROFS for what is only read, with the reason", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const sound = await makeImage(folder, ["-t", "ext4", "-b", "1024", "-O", "^metadata_csum"]);
  const bits: Readonly<Record<string, number>> = {
    "FEATURE_R20": 2 ** 20,
    "shared_blocks": 0x4000,
    "read-only": 0x1000,
    "snapshot": 0x80,
  };
  for (const [name, bit] of Object.entries(bits)) {
    const image = sound.slice();
    const view = superblockOf(image);
    Sb.s_feature_ro_compat.set(view, 0, Sb.s_feature_ro_compat.get(view, 0) | bit);
    const device = new MemoryDevice(image);
    assert.throws(() => openForWriting(device), isFsError("EROFS", new RegExp(name)));
    FileSystem.open(device, { log: SILENT });
  }
  assert.throws(
    () => openForWriting(new MemoryDevice(sound.slice(), "image", true)),
    isFsError("EROFS", /cannot be written/),
  );
  assert.throws(
    () => openForWriting(new MemoryDevice(sound.slice(0, sound.length / 2))),
    isFsError("EROFS", /cuts off/),
  );
  assert.throws(
    () => openForWriting(new MemoryDevice(sound.slice()), { superblockBlock: 8193 }),
    isFsError("EROFS", /superblock/),
  );
  assert.throws(
    () => openForWriting(new MemoryDevice(sound.slice()), { norecovery: true }),
    isFsError("EROFS", /norecovery/),
  );
});

Deno.test("FileSystem.open for writing: a journal that uses a block twice is refused", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await makeImage(folder, ["-t", "ext3", "-b", "1024", "-J", "size=1"]);
  const path = folder.join("twice");
  Deno.writeFileSync(path, image);
  const first = await journalBlock(path, 0);
  await run("debugfs", ["-w", "-R", `sif <8> block[5] ${first + 2}`, path]);
  const device = new MemoryDevice(Deno.readFileSync(path));
  assert.throws(() => openForWriting(device), isFsError("EUCLEAN", /uses a block twice/));
  await run("debugfs", ["-w", "-R", "sif <8> block[5] 0", path]);
  const holed = new MemoryDevice(Deno.readFileSync(path));
  assert.throws(() => openForWriting(holed), isFsError("EUCLEAN", /block 5 is hole/));
});

Deno.test("recordError: the error fields, as dumpe2fs shows them, also after an abort", async () => {
  if (!requires("e2fsprogs")) return;
  for (const args of [["-t", "ext4"], ["-t", "ext2", "-b", "1024"]]) {
    using folder = new TempDir();
    const device = new MemoryDevice(await makeImage(folder, args));
    const fs = openForWriting(device);
    touchRoot(fs, 1234567890);
    recordError(fs, corrupt("extent header", { ino: 12, block: 345 }));
    const once = await header(folder, device.bytes);
    assert.match(once.get("Filesystem state")!, /with errors/);
    assert.equal(once.get("FS Error count"), "1");
    assert.equal(once.get("First error inode #"), "12");
    assert.equal(once.get("First error block #"), "345");
    assert.equal(once.get("First error err"), "EFSCORRUPTED");
    assert.match(once.get("First error function")!, /\w/);
    assert.ok(Number(once.get("First error line #")) > 0);

    fs.writing.transactions.abort(corrupt("the end"));
    recordError(fs, fail("EIO", "no answer", { group: 1 }));
    const twice = await header(folder, device.bytes);
    assert.equal(twice.get("FS Error count"), "2");
    assert.equal(twice.get("First error err"), "EFSCORRUPTED");
    assert.equal(twice.get("Last error err"), "EIO");
    fs.stopWriting();
    const stopped = await header(folder, device.bytes);
    assert.equal(/needs_recovery/.test(stopped.get("Filesystem features")!), args[1] === "ext4");
    await checkMended(folder, device.bytes.slice(), args[1] === "ext4");
  }
});

/** The next mount knows of the errors, whatever the log says; e2fsck mends, and all is well. */
async function checkMended(
  folder: TempDir,
  image: Uint8Array<ArrayBuffer>,
  hasJournal: boolean,
): Promise<void> {
  const device = new MemoryDevice(image.slice());
  const fs = openForWriting(device);
  assert.equal(Sb.s_error_count.get(fs.superblock.view, 0), 2);
  assert.notEqual(Sb.s_state.get(fs.superblock.view, 0) & EXT4_ERROR_FS, 0);
  fs.stopWriting();
  const stopped = await header(folder, device.bytes);
  assert.match(stopped.get("Filesystem state")!, /with errors/);
  assert.equal(stopped.get("Journal errno"), undefined);
  const path = folder.join("mended");
  Deno.writeFileSync(path, image);
  await run("e2fsck", ["-fy", path], { codes: [0, 1] });
  const mended = await header(folder, Deno.readFileSync(path));
  assert.equal(mended.get("Filesystem state"), "clean");
  assert.equal(hasJournal, mended.has("Journal inode"));
}

Deno.test("recordError: survives the replay of a log with an older superblock", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const device = new MemoryDevice(await makeImage(folder, ["-t", "ext4"]));
  const fs = openForWriting(device);
  fs.change((handle) => {
    // The superblock's block becomes part of the log.
    handle.modify(fs.cache.read(Math.floor(SUPERBLOCK_OFFSET / fs.blockSize)));
  });
  fs.writing.transactions.commit();
  recordError(fs, corrupt("something"));
  const crashed = new MemoryDevice(device.bytes.slice());
  const again = openForWriting(crashed);
  assert.equal(Sb.s_error_count.get(again.superblock.view, 0), 1);
  again.stopWriting();
  const { state } = { state: Sb.s_state.get(superblockOf(crashed.bytes), 0) };
  assert.equal(state & EXT4_ERROR_FS, EXT4_ERROR_FS);

  const recording = new RecordingDevice(device.bytes);
  openForWriting(recording);
  for (let index = 0; index <= recording.log.length; index++) {
    const view = superblockOf(recording.imageAt(index));
    const facts = [Sb.s_state.get(view, 0) & EXT4_ERROR_FS, Sb.s_error_count.get(view, 0)];
    assert.deepEqual(facts, [EXT4_ERROR_FS, 1], `a crash of the replay, behind write ${index}`);
  }
});

Deno.test("Transactions.abort: the journal tells the next mount, which marks the errors", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const device = new MemoryDevice(await makeImage(folder, ["-t", "ext4"]));
  const fs = openForWriting(device);
  touchRoot(fs, 1234567890);
  fs.writing.transactions.commit();
  touchRoot(fs, 1);
  fs.writing.transactions.abort(fail("EIO", "the device failed"));
  fs.stopWriting();
  const aborted = await header(folder, device.bytes);
  assert.equal(aborted.get("Journal errno"), "-5");
  const again = openForWriting(device);
  assert.equal(again.root.mtime.sec, 1234567890, "what was committed is there, no more");
  again.stopWriting();
  const after = await header(folder, device.bytes);
  assert.equal(after.get("Journal errno"), undefined);
  assert.match(after.get("Filesystem state")!, /with errors/);
});

for (const type of ["ext4", "ext3", "ext2"]) {
  Deno.test(`FileSystem.open for writing: a crash at any write of start and end, ${type}`, async () => {
    if (!requires("e2fsprogs")) return;
    using folder = new TempDir();
    const journal = type === "ext2" ? [] : ["-J", "size=1"];
    const image = await makeImage(folder, ["-t", type, "-b", "1024", ...journal], "8M");
    const device = new RecordingDevice(image);
    const fs = openForWriting(device);
    const started = device.log.length;
    touchRoot(fs, 1234567890);
    fs.stopWriting();
    const random = new Random(1);
    for (let index = 0; index <= device.log.length; index++) {
      for (const chooser of [() => true, () => random.oneIn(2)]) {
        const crashed = device.imageAt(index, chooser);
        const path = folder.join("crashed");
        Deno.writeFileSync(path, crashed);
        await run("e2fsck", ["-p", path], { codes: [0, 1] });
        await requireClean(folder, Deno.readFileSync(path), `crash at ${index}`);
        const recovered = new MemoryDevice(crashed);
        openForWriting(recovered).stopWriting();
        await requireClean(folder, recovered.bytes, `crash at ${index}, our recovery`);
      }
    }
    assert.ok(started >= 2 && device.log.length > started + 3);
  });
}

Deno.test("FileSystem.open for writing: a damaged fast commit ends it, with nothing written", async () => {
  if (!requires("root", "loop", "e2fsprogs")) return;
  using folder = new TempDir();
  const path = folder.join("image");
  await run("mke2fs", ["-q", "-F", "-t", "ext4", "-O", "fast_commit", path, "32M"]);
  const copy = folder.join("copy");
  {
    await using mounted = await mountKernel(path, folder.mkdir("mounted"), "rw");
    // The first sync after a mount is a full commit.
    writeAndSync(`${mounted.dir}/full`, new Uint8Array(5000).fill(6));
    writeAndSync(`${mounted.dir}/fast`, new Uint8Array(5000).fill(7));
    Deno.copyFileSync(path, copy);
  }
  const image = Deno.readFileSync(copy);
  const name = new TextEncoder().encode("fast");
  // The first one is in the directory's block, or only in the log: the record is the last.
  image[Buffer.from(image.buffer).lastIndexOf(name)] ^= 1;
  const device = new MemoryDevice(image.slice());
  assert.throws(() => openForWriting(device), isFsError("EBADMSG", /fast commit/));
  assert.equal(Buffer.compare(device.bytes, image), 0, "the image was changed");
});

Deno.test("FileSystem.open for writing: a journal superblock of version 1 becomes one of 2", async () => {
  if (!requires("root", "loop", "e2fsprogs")) return;
  using folder = new TempDir();
  const image = await makeImage(folder, ["-t", "ext3", "-b", "1024", "-J", "size=1"]);
  const path = folder.join("old");
  Deno.writeFileSync(path, image);
  const superblock = await journalBlock(path, 0) * 1024;
  const view = new DataView(image.buffer, superblock, 1024);
  view.setUint32(4, 3);
  image.fill(0xee, superblock + 36, superblock + 1024);
  const device = new MemoryDevice(image);
  const fs = openForWriting(device);
  touchRoot(fs, 1234567890);
  fs.writing.transactions.commit();
  assert.equal(view.getUint32(4), 4);
  await checkCrashed(folder, device.bytes.slice(), 1234567890, "-p");
});

Deno.test("WriteOptions.barrier: without it, nothing waits for the device before the end", async () => {
  if (!requires("e2fsprogs")) return;
  for (const type of ["ext2", "ext4"]) {
    using folder = new TempDir();
    const device = new RecordingDevice(await makeImage(folder, ["-t", type]));
    const fs = openForWriting(device, { write: { ...WRITE, barrier: false } });
    const flushes = () => device.log.filter(({ kind }) => kind === "flush").length;
    const before = flushes();
    touchRoot(fs, 1);
    fs.writing.transactions.commit();
    fs.writing.transactions.writeBack();
    assert.equal(flushes(), before);
    fs.stopWriting();
    assert.ok(flushes() > before);
    await requireClean(folder, device.current.bytes);
  }
});

Deno.test("FileSystem.stopWriting: counts what was written", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const device = new MemoryDevice(await makeImage(folder, ["-t", "ext4", "-b", "4096"]));
  const kilobytes = () => Sb.s_kbytes_written.get(superblockOf(device.bytes), 0);
  const before = kilobytes();
  const fs = openForWriting(device);
  fs.writeData(new Uint8Array(4096 * 10), 4096 * 3000);
  touchRoot(fs, 1);
  fs.stopWriting();
  assert.ok(kilobytes() >= before + 40 + 4 * 3, `${before} ${kilobytes()}`);
});
