/** Multiple mount protection: who may write, among us and with the kernel on the other side. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { FileDevice } from "../src/block/file_device.ts";
import { MemoryDevice } from "../src/block/memory_device.ts";
import { EXT4_MMP_SEQ_CLEAN, EXT4_MMP_SEQ_FSCK, MmpStruct } from "../src/disk/mmp.ts";
import { Ext4SuperBlock as Sb } from "../src/disk/superblock.ts";
import { FileSystem } from "../src/ext4/filesystem.ts";
import type { WriteOptions } from "../src/ext4/writing.ts";
import { Upkeep } from "../src/mount/upkeep.ts";
import { fail, FsError } from "../src/sys/fs_error.ts";
import { SILENT } from "../src/sys/log.ts";
import { isFsError } from "./support/errors.ts";
import { mountKernel } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

/** A machine with a clock of its own, which only goes on while it waits or is told to. */
class Machine {
  /** Milliseconds. */
  time = 0;
  readonly waits: number[] = [];
  /** What happens elsewhere while this machine waits. */
  meanwhile: () => void = () => {};
  #random = 7;

  constructor(readonly name: string) {}

  open(device: MemoryDevice): FileSystem {
    return FileSystem.open(device, { log: SILENT, write: this.#options() });
  }

  #options(): WriteOptions {
    return {
      now: () => ({ sec: 1_700_000_000 + Math.floor(this.time / 1000), nsec: 0 }),
      monotonic: () => this.time,
      commitInterval: 5000,
      random: () => this.#random++ * 1000 + this.name.charCodeAt(0),
      hostName: this.name,
      sleep: (milliseconds) => {
        this.waits.push(milliseconds);
        this.time += milliseconds;
        this.meanwhile();
      },
    };
  }
}

async function makeImage(path: string, features = ""): Promise<void> {
  const args = ["-q", "-F", "-t", "ext4", "-O", `mmp${features}`, "-E", "mmp_update_interval=1"];
  await run("mke2fs", [...args, path, "16M"]);
}

async function makeDevice(features?: string): Promise<MemoryDevice> {
  using folder = new TempDir();
  const path = folder.join("image");
  await makeImage(path, features);
  return new MemoryDevice(Deno.readFileSync(path), "/dev/shared");
}

/** The block of an image. */
function mmpOf({ bytes }: MemoryDevice): DataView<ArrayBuffer> {
  const block = Sb.s_mmp_block.get(new DataView(bytes.buffer, 1024), 0);
  const blockSize = 1024 * 2 ** bytes[1024 + 24];
  return new DataView(bytes.buffer, block * blockSize, 1024);
}

for (const features of ["", ",^metadata_csum"]) {
  Deno.test(`MultipleMountProtection: taken over at once when clean${features}`, async () => {
    if (!requires("e2fsprogs")) return;
    const device = await makeDevice(features);
    const view = mmpOf(device);
    const one = new Machine("one");
    const fs = one.open(device);
    assert.deepEqual(one.waits, []);
    const first = MmpStruct.mmp_seq.get(view, 0);
    assert.ok(first > 0 && first < EXT4_MMP_SEQ_FSCK);
    const text = new TextDecoder().decode(MmpStruct.mmp_nodename.get(view, 0));
    assert.match(text, /^one\0+$/);
    assert.equal(fs.writing.due(), 1000);
    one.time += 1000;
    assert.equal(fs.writing.due(), 0);
    fs.writing.fire();
    assert.equal(MmpStruct.mmp_seq.get(view, 0), first + 1);
    assert.equal(fs.writing.due(), 1000);
    fs.stopWriting();
    assert.equal(MmpStruct.mmp_seq.get(view, 0), EXT4_MMP_SEQ_CLEAN);
    using folder = new TempDir();
    Deno.writeFileSync(folder.join("after"), device.bytes);
    await run("e2fsck", ["-fn", folder.join("after")]);
  });
}

Deno.test("MultipleMountProtection: refuses what another machine has mounted", async () => {
  if (!requires("e2fsprogs")) return;
  const device = await makeDevice();
  const [one, two] = [new Machine("one"), new Machine("two")];
  const fs = one.open(device);
  two.meanwhile = () => {
    one.time += 1000;
    fs.writing.fire();
  };
  assert.throws(
    () => two.open(device),
    isFsError("EBUSY", /another host has it.*last seen on one/),
  );
  assert.deepEqual(two.waits, [11000]);
  fs.stopWriting();
  two.meanwhile = () => {};
  two.open(device).stopWriting();
});

Deno.test("MultipleMountProtection: after a crash, waits twice and takes over", async () => {
  if (!requires("e2fsprogs")) return;
  const device = await makeDevice();
  const [one, two] = [new Machine("one"), new Machine("two")];
  one.open(device);
  const fs = two.open(device);
  assert.deepEqual(two.waits, [11000, 11000]);
  fs.stopWriting();
});

Deno.test("MultipleMountProtection: of two that take over at once, the later one has it", async () => {
  if (!requires("e2fsprogs")) return;
  const device = await makeDevice();
  const [crashed, one, two] = ["crashed", "one", "two"].map((name) => new Machine(name));
  crashed.open(device);
  let won: FileSystem | undefined;
  one.meanwhile = () => {
    // The first wait of one is over; in its second, two comes.
    if (one.waits.length === 2) won = two.open(device);
  };
  assert.throws(() => one.open(device), isFsError("EBUSY", /last seen on two/));
  won!.stopWriting();
});

Deno.test("MultipleMountProtection: one that slept too long finds that it lost, and stops", async () => {
  if (!requires("e2fsprogs")) return;
  const device = await makeDevice();
  const [one, two] = [new Machine("one"), new Machine("two")];
  const fs = one.open(device);
  const other = two.open(device);
  const before = device.bytes.slice();
  one.time += 60_000;
  assert.throws(() => fs.writing.fire(), isFsError("EBUSY", /mounted a second time.*on two/));
  assert.throws(() => fs.change(() => {}), isFsError("EROFS", /second time/));
  fs.stopWriting();
  assert.ok(Buffer.compare(device.bytes, before) === 0, "wrote to what another machine has");
  other.stopWriting();
});

Deno.test("MultipleMountProtection: what was taken over after a failure stays the other's", async () => {
  if (!requires("e2fsprogs")) return;
  const device = await makeDevice();
  const [one, two] = [new Machine("one"), new Machine("two")];
  const fs = one.open(device);
  fs.writing.transactions.abort(fail("EIO", "a commit failed"));
  assert.equal(fs.writing.due(), undefined, "one gives the file system up");
  const other = two.open(device);
  const before = device.bytes.slice();
  fs.stopWriting();
  assert.ok(Buffer.compare(device.bytes, before) === 0, "wrote to what another machine has");
  other.stopWriting();
});

Deno.test("MultipleMountProtection: one that stopped in order has it until its end", async () => {
  if (!requires("e2fsprogs")) return;
  const device = await makeDevice();
  const [one, two] = [new Machine("one"), new Machine("two")];
  const fs = one.open(device);
  fs.writing.stopInOrder(fail("EUCLEAN", "damage was found"));
  two.meanwhile = () => {
    one.time += 1000;
    fs.writing.fire();
  };
  assert.throws(
    () => two.open(device),
    isFsError("EBUSY", /another host has it.*last seen on one/),
  );

  two.meanwhile = () => {};
  const other = two.open(device);
  const before = device.bytes.slice();
  one.time += 60_000;
  assert.throws(() => fs.writing.fire(), isFsError("EBUSY", /mounted a second time.*on two/));
  fs.stopWriting();
  assert.ok(Buffer.compare(device.bytes, before) === 0, "wrote to what another machine has");
  other.stopWriting();
});

Deno.test("Upkeep.fire: an update of the protection that fails is no failed commit", async () => {
  if (!requires("e2fsprogs")) return;
  const device = await makeDevice();
  const one = new Machine("one");
  const fs = one.open(device);
  const upkeep = new Upkeep(fs, undefined, SILENT);
  const write = device.write;
  device.write = () => {
    throw fail("EIO", "no write");
  };
  one.time += 1000;
  upkeep.fire();
  device.write = write;
  upkeep.commit();
  assert.equal(upkeep.due(), 1000, "the next update");
  upkeep.finish();
});

Deno.test("MultipleMountProtection: refuses while e2fsck runs, and a damaged block", async () => {
  if (!requires("e2fsprogs")) return;
  const device = await makeDevice(",^metadata_csum");
  const view = mmpOf(device);
  MmpStruct.mmp_seq.set(view, 0, EXT4_MMP_SEQ_FSCK);
  assert.throws(() => new Machine("one").open(device), isFsError("EBUSY", /e2fsck/));
  MmpStruct.mmp_magic.set(view, 0, 0);
  assert.throws(() => new Machine("one").open(device), isFsError("EUCLEAN", /no magic number/));
  const summed = await makeDevice();
  MmpStruct.mmp_time.set(mmpOf(summed), 0, 1);
  assert.throws(() => new Machine("one").open(summed), isFsError("EBADMSG", /protection/));
  Sb.s_mmp_block.set(new DataView(device.bytes.buffer, 1024), 0, 2 ** 40);
  assert.throws(() => new Machine("one").open(device), isFsError("EUCLEAN", /outside/));
});

Deno.test("MultipleMountProtection: a mount that fails later gives it back", async () => {
  if (!requires("e2fsprogs")) return;
  const device = await makeDevice(",^metadata_csum");
  Sb.s_journal_inum.set(new DataView(device.bytes.buffer, 1024), 0, 11);
  assert.throws(() => new Machine("one").open(device), FsError);
  assert.equal(MmpStruct.mmp_seq.get(mmpOf(device), 0), EXT4_MMP_SEQ_CLEAN);
});

Deno.test("MultipleMountProtection: the kernel and we respect each other", async () => {
  if (!requires("root", "loop", "e2fsprogs")) return;
  using folder = new TempDir();
  const path = folder.join("image");
  const dir = folder.mkdir("dir");
  await makeImage(path);
  const write: WriteOptions = {
    now: () => ({ sec: Math.floor(Date.now() / 1000), nsec: 0 }),
    monotonic: () => performance.now(),
    commitInterval: 5000,
    random: () => Math.floor(Math.random() * 2 ** 32),
    hostName: "ours",
    // The kernel writes every second: no need to wait as long as one has to.
    sleep: () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3000),
  };
  {
    await using _mounted = await mountKernel(path, dir, "rw");
    const device = FileDevice.open(path, { readOnly: false });
    assert.throws(
      () => FileSystem.open(device, { log: SILENT, write }),
      isFsError("EBUSY", /another host/),
    );
    device.close();
  }
  const device = FileDevice.open(path, { readOnly: false });
  const fs = FileSystem.open(device, { log: SILENT, write });
  const timer = setInterval(() => fs.writing.due() === 0 && fs.writing.fire(), 100);
  try {
    await assert.rejects(mountKernel(path, dir, "rw"));
  } finally {
    clearInterval(timer);
  }
  fs.stopWriting();
  device.close();
  await using _mounted = await mountKernel(path, dir, "rw");
});
