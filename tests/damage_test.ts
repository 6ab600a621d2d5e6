/**
 * Damage that is met while writing: what errors= makes of it, what the superblock tells of it
 * afterwards, and that e2fsck can mend it.
 */

import assert from "node:assert/strict";
import { Ext4Inode } from "../src/disk/inode.ts";
import { mapNewBlocks, unmapBlocks } from "../src/ext4/map/block_map_write.ts";
import { createInode } from "../src/ext4/inode/create_inode.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import { keepUnlinked } from "../src/ext4/orphans/orphans_write.ts";
import { FsError } from "../src/sys/fs_error.ts";
import { type Log, SILENT } from "../src/sys/log.ts";
import { S_IFREG } from "../src/sys/stat.ts";
import type { ErrorsBehavior } from "../src/mount/settings.ts";
import { Upkeep } from "../src/mount/upkeep.ts";
import { fileNamed, openForWriting } from "./support/allocation.ts";
import { debugfs } from "./support/images.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

/** Something that is wrong with an image, and an operation that meets it. */
interface Damage {
  /** Damages an image of three groups that has a file `file` of 100 blocks. */
  readonly make: (image: string) => Promise<void> | void;
  readonly meet: (fs: FileSystem) => void;
  /** By dumpe2fs. */
  readonly error: "EFSBADCRC" | "EFSCORRUPTED";
  /** The operation goes on without what is damaged. */
  readonly isWorkedAround?: boolean;
}

const DAMAGES: Readonly<Record<string, Damage>> = {
  "a block bitmap": {
    make: (image) => flipByte(image, /Block bitmap at (\d+)/),
    meet: (fs) => cut(fs, 50),
    error: "EFSBADCRC",
    isWorkedAround: true,
  },
  "an inode bitmap": {
    make: (image) => flipByte(image, /Inode bitmap at (\d+)/),
    meet: (fs) => void create(fs),
    error: "EFSBADCRC",
    isWorkedAround: true,
  },
  "a block of the inode table": {
    make: (image) => flipByte(image, /Inode table at (\d+)/, 256 * 11),
    meet: (fs) => grow(fs, 300),
    error: "EFSBADCRC",
  },
  "a tree of extents": {
    make: (image) => debugfs(image, ["sif file block[0] 0"]),
    meet: (fs) => grow(fs, 300),
    error: "EFSCORRUPTED",
  },
  "the end of the orphan list": {
    make: (image) => debugfs(image, ["ssv last_orphan 2000"]),
    meet: () => {},
    error: "EFSCORRUPTED",
    isWorkedAround: true,
  },
};

async function flipByte(image: string, which: RegExp, at = 0): Promise<void> {
  const { stdout } = await run("dumpe2fs", [image]);
  const position = Number(which.exec(stdout)![1]) * 1024 + at;
  using file = await Deno.open(image, { read: true, write: true });
  const byte = new Uint8Array(1);
  await file.seek(position, Deno.SeekMode.Start);
  await file.read(byte);
  byte[0] ^= 0x40;
  await file.seek(position, Deno.SeekMode.Start);
  await file.write(byte);
}

function create(fs: FileSystem) {
  return fs.change((handle) => {
    const inode = createInode(fs, handle, fs.root, { mode: S_IFREG | 0o600, uid: 0, gid: 0 });
    inode.linksCount = 0;
    keepUnlinked(fs, handle, inode);
    return inode;
  });
}

function grow(fs: FileSystem, fileBlock: number): void {
  const inode = fileNamed(fs, "file");
  fs.change((handle) => {
    fs.modifyInode(handle, inode);
    mapNewBlocks(fs, handle, inode, { fileBlock, count: 5, purpose: "data" });
    inode.size = (fileBlock + 5) * 1024;
  });
}

function cut(fs: FileSystem, fileBlock: number): void {
  const inode = fileNamed(fs, "file");
  fs.change((handle) => {
    fs.modifyInode(handle, inode);
    inode.size = fileBlock * 1024;
    unmapBlocks(fs, handle, inode, fileBlock, 100);
  });
}

function touchRoot(fs: FileSystem): void {
  fs.change((handle) => {
    const { root } = fs;
    fs.modifyInode(handle, root);
    root.mtime = { sec: 1_234_567_890, nsec: 0 };
  });
}

async function makeImage(folder: TempDir): Promise<string> {
  const image = folder.join("damaged.img");
  const content = folder.mkdir("content");
  Deno.writeFileSync(`${content}/file`, new Uint8Array(100 * 1024).fill(7));
  await run("mke2fs", ["-q", "-F", "-t", "ext4", "-b", "1024", "-d", content, image, "24M"]);
  return image;
}

async function superblockOf(image: string): Promise<string> {
  return (await run("dumpe2fs", ["-h", image])).stdout;
}

/** Does what the server of a mount does with an error. */
function meet(fs: FileSystem, upkeep: Upkeep, damage: Damage): void {
  try {
    damage.meet(fs);
    assert.ok(damage.isWorkedAround);
  } catch (error) {
    assert.ok(error instanceof FsError && error.isCorruption, `${error}`);
    assert.ok(!damage.isWorkedAround, error.message);
    upkeep.damage.met(error);
  }
}

for (const [name, damage] of Object.entries(DAMAGES)) {
  for (const behavior of ["continue", "remount-ro", "panic"] as const) {
    Deno.test(`errors=${behavior}: damage of ${name}`, async () => {
      if (!requires("e2fsprogs")) return;
      using folder = new TempDir();
      const image = await makeImage(folder);
      await damage.make(image);
      using opened = openForWriting(image);
      const { fs } = opened;
      const upkeep = new Upkeep(fs, behavior, SILENT);
      touchRoot(fs);
      meet(fs, upkeep, damage);
      assert.equal(upkeep.due(), 0);
      upkeep.fire();
      assert.equal(upkeep.damage.panic !== undefined, behavior === "panic");
      const recorded = await superblockOf(image);
      assert.match(recorded, /^Filesystem state: +.*with errors$/m);
      assert.match(recorded, /^FS Error count: +1$/m);
      assert.match(recorded, new RegExp(`^First error err: +${damage.error}$`, "m"));
      assert.match(recorded, /^First error function: +\w+$/m);
      if (behavior === "continue") touchRoot(fs);
      else assert.throws(() => touchRoot(fs), (error) => (error as FsError).code === "EROFS");
      assert.equal(fs.root.mtime.sec, 1_234_567_890);
      upkeep.finish();
      const left = await superblockOf(image);
      assert.match(left, /^FS Error count: +1$/m);
      assert.doesNotMatch(left, /needs_recovery/);
      await run("e2fsck", ["-fy", image], { codes: [0, 1] });
      await run("e2fsck", ["-fn", image]);
      const mended = await superblockOf(image);
      assert.match(mended, /^Filesystem state: +clean$/m);
      assert.doesNotMatch(mended, /^FS Error count/m);
      if (!/inode table/.test(name)) {
        using again = openForWriting(image);
        assert.equal(again.fs.root.mtime.sec, 1_234_567_890);
        again.fs.stopWriting();
      }
    });
  }
}

Deno.test("Damage: the superblock says what to do where no option does", async () => {
  if (!requires("e2fsprogs")) return;
  const expected: readonly (readonly [string, ErrorsBehavior | undefined, boolean])[] = [
    ["continue", undefined, true],
    ["remount-ro", undefined, false],
    ["panic", undefined, false],
    ["panic", "continue", true],
  ];
  for (const [stored, asked, goesOn] of expected) {
    using folder = new TempDir();
    const image = await makeImage(folder);
    await run("tune2fs", ["-e", stored, image]);
    const damage = DAMAGES["a tree of extents"];
    await damage.make(image);
    using opened = openForWriting(image);
    const messages: string[] = [];
    const log: Log = { ...SILENT, error: (message) => messages.push(message) };
    const upkeep = new Upkeep(opened.fs, asked, log);
    meet(opened.fs, upkeep, damage);
    upkeep.fire();
    assert.equal(opened.fs.writing.transactions.failure === undefined, goesOn);
    assert.equal(messages.length, goesOn ? 0 : 1);
    upkeep.finish();
  }
});

Deno.test("Damage: each error is recorded once, the first one as first", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await makeImage(folder);
  await debugfs(image, ["sif file block[0] 0"]);
  await flipByte(image, /Inode bitmap at (\d+)/);
  using opened = openForWriting(image);
  const { fs } = opened;
  const upkeep = new Upkeep(fs, "continue", SILENT);
  meet(fs, upkeep, DAMAGES["a tree of extents"]);
  upkeep.fire();
  for (let count = 0; count < 3; count++) create(fs);
  upkeep.fire();
  const facts = await superblockOf(image);
  assert.match(facts, /^FS Error count: +2$/m);
  assert.match(facts, /^First error err: +EFSCORRUPTED$/m);
  assert.match(facts, new RegExp(`^First error inode #: +${fileNamed(fs, "file").ino}$`, "m"));
  assert.match(facts, /^Last error err: +EFSBADCRC$/m);
  upkeep.finish();
});

Deno.test("cleanOrphans: a list that runs in a circle is cut, and what is before it cleaned", async () => {
  if (!requires("e2fsprogs")) return;
  for (const errors of [[], ["ssv state 3"]]) {
    using folder = new TempDir();
    const image = await makeImage(folder);
    let numbers: number[];
    {
      using opened = openForWriting(image);
      numbers = [1, 2, 3].map(() => create(opened.fs).ino);
      opened.fs.stopWriting();
    }
    // The first of them is the last of the list: it leads back to the second.
    await debugfs(image, [`sif <${numbers[0]}> dtime ${numbers[1]}`, ...errors]);
    using opened = openForWriting(image);
    const { fs } = opened;
    const links = (ino: number) => Ext4Inode.i_dtime.get(fs.rawInode(ino).view, 0);
    assert.equal(opened.complaints.length, 1);
    assert.match(opened.complaints[0], errors.length > 0 ? /not cleaned up/ : /circle/);
    assert.equal(fs.unlinkedInodes.size, 0);
    if (errors.length === 0) assert.ok(numbers.every((ino) => links(ino) > 1_600_000_000));
    fs.stopWriting();
    await run("e2fsck", ["-fy", image], { codes: [0, 1] });
    await run("e2fsck", ["-fn", image]);
  }
});

Deno.test("Upkeep.shutDown: commits, and who waits for a commit is told EIO, as by ext4", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = folder.join("image");
  await run("mke2fs", ["-q", "-F", "-t", "ext4", image, "16M"]);
  using opened = openForWriting(image);
  const { fs } = opened;
  const upkeep = new Upkeep(fs, undefined, SILENT);
  create(fs);
  upkeep.shutDown();
  assert.equal(fs.writing.transactions.isDirty, false);
  assert.throws(() => upkeep.commit(), { code: "EIO", message: /was shut down/ });
  upkeep.finish();
});
