/** Journals on a device of their own. */

import assert from "node:assert/strict";
import { MemoryDevice } from "../src/block/memory_device.ts";
import { OverlayDevice } from "../src/block/overlay_device.ts";
import { isExternalJournal, openExternalJournal } from "../src/jbd2/external_journal.ts";
import { deviceTarget, recover } from "../src/jbd2/recovery.ts";
import { writeAndSync } from "./support/dirty_image.ts";
import { blockSizeOf, differingBlocks, replayByE2fsck, SET_BY_E2FSCK } from "./support/journal.ts";
import { attachLoop, mountKernel } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

/** s_journal_uuid of a file system. */
const JOURNAL_UUID = 1024 + 208;

/** A file system and its journal, copied while the kernel had them mounted. */
async function makeDirtyPair(folder: TempDir, blockSize: number): Promise<[string, string]> {
  const [image, log] = [folder.join("image"), folder.join("log")];
  const size = ["-q", "-F", "-b", `${blockSize}`];
  await run("mke2fs", [...size, "-O", "journal_dev", log, `${blockSize * 2048 / 1024}`]);
  await using logDevice = await attachLoop(log);
  await run("mke2fs", [...size, "-t", "ext4", "-J", `device=${logDevice.path}`, image, "16M"]);
  await using mounted = await mountKernel(
    image,
    folder.mkdir("mounted"),
    `journal_path=${logDevice.path}`,
  );
  for (let file = 0; file < 50; file++) {
    writeAndSync(`${mounted.dir}/${"n".repeat(100)}${file}`, new Uint8Array(file * 100));
  }
  const copies: [string, string] = [folder.join("image.copy"), folder.join("log.copy")];
  Deno.copyFileSync(image, copies[0]);
  Deno.copyFileSync(log, copies[1]);
  return copies;
}

for (const blockSize of [1024, 2048, 4096]) {
  Deno.test(`openExternalJournal: blocks of ${blockSize}: replayed as by e2fsck`, async () => {
    if (!requires("root", "loop", "e2fsprogs")) return;
    using folder = new TempDir();
    const [image, log] = await makeDirtyPair(folder, blockSize);
    const bytes = Deno.readFileSync(image);
    const uuid = bytes.slice(JOURNAL_UUID, JOURNAL_UUID + 16);
    const journalDevice = new MemoryDevice(Deno.readFileSync(log), "log", true);
    const base = new MemoryDevice(bytes.slice(), "image", true);
    const overlay = new OverlayDevice(base, blockSizeOf(bytes));

    const journal = openExternalJournal(journalDevice, uuid);
    const result = recover(journal, deviceTarget(overlay, blockSize));
    assert.ok(result.transactions > 10, `${result.transactions} transactions`);
    assert.deepEqual(result.problems, []);
    assert.deepEqual(base.bytes, bytes, "the image was changed");

    const replayed = new Uint8Array(bytes.length);
    overlay.read(replayed, 0);
    const expected = await replayByE2fsck(image, ["-j", log]);
    assert.deepEqual(differingBlocks(replayed, expected, SET_BY_E2FSCK, []), []);
  });
}

Deno.test("openExternalJournal: refuses the journal of another file system", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const log = folder.join("log");
  await run("mke2fs", ["-q", "-F", "-b", "1024", "-O", "journal_dev", log, "2048"]);
  const device = new MemoryDevice(Deno.readFileSync(log), "log", true);
  assert.throws(
    () => openExternalJournal(device, new Uint8Array(16)),
    /log is the journal [-0-9a-f]{36}, not 00000000-/,
  );
  // Nobody uses it so far.
  const uuid = device.bytes.slice(1024 + 104, 1024 + 120);
  assert.throws(() => openExternalJournal(device, uuid), /the journal of 0 file systems/);
});

Deno.test("openExternalJournal: refuses a damaged superblock", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const log = folder.join("log");
  await run("mke2fs", ["-q", "-F", "-b", "4096", "-O", "journal_dev", log, "2048"]);
  const sound = Deno.readFileSync(log);
  const uuid = sound.slice(1024 + 104, 1024 + 120);
  const damages: [number, number, RegExp][] = [
    [1024 + 24, 7, /blocks of 2\^17 bytes|superblock of the external journal/],
    [4096, 0, /journal superblock: magic/],
    [4096 + 12 + 3, 1, /journal superblock/],
  ];
  for (const [at, value, message] of damages) {
    const device = new MemoryDevice(sound.slice(), "log", true);
    device.bytes[at] = value;
    assert.throws(() => openExternalJournal(device, uuid), message);
  }
});

Deno.test("openExternalJournal: refuses a file system", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = folder.join("image");
  await run("mke2fs", ["-q", "-F", "-t", "ext4", image, "8M"]);
  const device = new MemoryDevice(Deno.readFileSync(image), "image", true);
  assert.equal(isExternalJournal(device), false);
  assert.throws(() => openExternalJournal(device, new Uint8Array(16)), /image is not an external/);
  assert.equal(isExternalJournal(new MemoryDevice(new Uint8Array(100))), false);
});
