/**
 * Attribute blocks and values that several files share, those that the kernel made among them; what
 * happens to them when files go; and attributes that cannot be stored.
 */

import assert from "node:assert/strict";
import { EXT4_XATTR_INDEX_USER, Ext4XattrHeader } from "../src/disk/xattr.ts";
import { valueReferences } from "../src/ext4/xattr/ea_inode.ts";
import { evict } from "../src/ext4/inode/evict.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import type { Inode } from "../src/ext4/inode/inode.ts";
import { makeNode, unlink } from "../src/ext4/directory/namespace.ts";
import { removeXattr, setXattr } from "../src/ext4/xattr/set_xattr.ts";
import { getXattr } from "../src/ext4/xattr/xattr.ts";
import { xattrBlockOf } from "../src/ext4/xattr/xattr_block.ts";
import { storeXattr } from "../src/ext4/xattr/xattr_write.ts";
import { fail, FsError } from "../src/sys/fs_error.ts";
import { S_IFREG } from "../src/sys/stat.ts";
import { complaintsAfter, fileNamed, openForWriting, openLayout } from "./support/allocation.ts";
import { bytes } from "./support/bytes.ts";
import * as libc from "./support/libc.ts";
import { mountKernel } from "./support/mount.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";
import {
  normalized,
  randomSteps,
  stepInModel,
  stepOnFileSystem,
  stepOnMount,
  type XattrModel,
  xattrsOnFileSystem,
  xattrsOnMount,
} from "./support/xattr_steps.ts";

const LARGE = new Uint8Array(20_000).fill(0x6c);

async function makeImage(folder: TempDir, mke2fs: string): Promise<string> {
  const image = folder.join("image");
  await run("mke2fs", ["-q", "-t", "ext4", ...mke2fs.split(" "), image, "96M"]);
  return image;
}

function make(fs: FileSystem, name: string): Inode {
  const file = { mode: S_IFREG | 0o644, uid: 0, gid: 0, umask: 0 };
  return makeNode(fs, fs.root, bytes(name), file);
}

function set(fs: FileSystem, inode: Inode, name: string, value: string | Uint8Array): void {
  setXattr(fs, inode, bytes(name), typeof value === "string" ? bytes(value) : value, 0);
}

/** How many files use the inode's attribute block. */
function users(fs: FileSystem, inode: Inode): number {
  return Ext4XattrHeader.h_refcount.get(xattrBlockOf(fs, inode)!.block.view, 0);
}

function remove(fs: FileSystem, name: string): void {
  evict(fs, unlink(fs, fs.root, bytes(name)));
}

Deno.test("storeXattr shares blocks of the same content, and parts them again", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await makeImage(folder, "-I 128 -b 1024");
  using opened = openForWriting(image);
  const { fs } = opened;
  const files = Array.from({ length: 5 }, (_, index) => make(fs, `file${index}`));
  for (const inode of files) {
    set(fs, inode, "user.first", "value");
    set(fs, inode, "user.second", "another");
  }
  assert.equal(new Set(files.map(({ fileAcl }) => fileAcl)).size, 1);
  assert.equal(users(fs, files[0]), 5);
  set(fs, files[1], "user.first", "different");
  removeXattr(fs, files[2], bytes("user.second"));
  assert.equal(users(fs, files[0]), 3);
  assert.equal(users(fs, files[1]), 1);
  set(fs, files[1], "user.first", "value");
  assert.equal(users(fs, files[0]), 4);
  for (const { fileAcl } of files.slice(0, 2)) assert.equal(fileAcl, files[3].fileAcl);
  remove(fs, "file0");
  remove(fs, "file4");
  assert.equal(users(fs, files[3]), 2);
  assert.equal(await complaintsAfter(fs, image), "");
});

Deno.test("storeXattr shares a block that it read, and undoes what it shared", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await makeImage(folder, "-I 128 -b 1024");
  {
    using opened = openForWriting(image);
    set(opened.fs, make(opened.fs, "first"), "user.name", "value");
    opened.fs.stopWriting();
  }
  using opened = openForWriting(image);
  const { fs } = opened;
  const first = fileNamed(fs, "first");
  assert.notEqual(getXattr(fs, first, bytes("user.name")), undefined);
  const second = make(fs, "second");
  set(fs, second, "user.name", "value");
  assert.equal(users(fs, first), 2);
  const third = make(fs, "third");
  const { blocks } = fs.writing;
  const free = blocks.freeClusters;
  assert.throws(() =>
    fs.change((handle) => {
      storeXattr(fs, handle, third, EXT4_XATTR_INDEX_USER, bytes("name"), bytes("value"));
      storeXattr(fs, handle, second, EXT4_XATTR_INDEX_USER, bytes("other"), bytes("value"));
      assert.equal(users(fs, first), 2);
      throw new Error("undone");
    }), { message: "undone" });
  assert.equal(users(fs, first), 2);
  assert.equal(blocks.freeClusters, free);
  assert.equal(third.fileAcl, 0);
  set(fs, third, "user.other", "value");
  assert.equal(await complaintsAfter(fs, image), "");
});

Deno.test("storeXattr lets at most 1024 files share a block", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await makeImage(folder, "-I 128 -b 1024");
  using opened = openForWriting(image);
  const { fs } = opened;
  const files = Array.from({ length: 1030 }, (_, index) => make(fs, `file${index}`));
  for (const inode of files) set(fs, inode, "user.name", "value");
  assert.equal(users(fs, files[0]), 1024);
  assert.equal(users(fs, files[1029]), 6);
  assert.equal(await complaintsAfter(fs, image), "");
});

Deno.test("storeXattr parts blocks with large values that the kernel shared", async () => {
  if (!requires("root", "loop", "e2fsprogs")) return;
  using folder = new TempDir();
  const image = await makeImage(folder, "-I 128 -b 1024 -O ea_inode -J size=32");
  const dir = folder.mkdir("mnt");
  const names = ["file0", "file1", "file2", "file3"];
  {
    await using _mount = await mountKernel(image, dir, "user_xattr");
    for (const name of names) {
      Deno.writeTextFileSync(`${dir}/${name}`, name);
      libc.setXattr(`${dir}/${name}`, "user.large", LARGE);
      libc.setXattr(`${dir}/${name}`, "user.small", bytes("small").slice());
    }
  }
  // Not every kernel has quotas, but e2fsck counts them.
  await run("tune2fs", ["-O", "quota", image]);
  await run("e2fsck", ["-fy", image], { codes: [0, 1] });
  using opened = openForWriting(image);
  const { fs } = opened;
  const files = names.map((name) => fileNamed(fs, name));
  assert.equal(users(fs, files[0]), 4);
  const holder = () => fs.inode(xattrBlockOf(fs, files[0])!.entries[0].valueIno);
  assert.equal(valueReferences(holder()), 1);
  set(fs, files[1], "user.small", "different");
  assert.equal(valueReferences(holder()), 2);
  assert.equal(users(fs, files[0]), 3);
  removeXattr(fs, files[2], bytes("user.large"));
  assert.equal(users(fs, files[0]), 2);
  assert.equal(valueReferences(holder()), 2);
  remove(fs, "file1");
  assert.equal(valueReferences(holder()), 1);
  remove(fs, "file3");
  assert.equal(users(fs, files[0]), 1);
  assert.deepEqual(getXattr(fs, files[0], bytes("user.large")), LARGE);
  const { ino } = holder();
  set(fs, files[0], "user.large", "little");
  assert.throws(() => fs.inode(ino), (error: FsError) => error.code === "ESTALE");
  assert.equal(await complaintsAfter(fs, image), "");
});

Deno.test("storeXattr marks a file system of the first revision, which has no features", async () => {
  if (!requires("e2fsprogs")) return;
  using opened = await openLayout("ext2-revision0");
  const { fs, image } = opened;
  set(fs, fileNamed(fs, "first"), "user.name", "value");
  assert.equal(await complaintsAfter(fs, image), "");
  const { stdout } = await run("dumpe2fs", ["-h", image]);
  assert.match(stdout, /Filesystem revision #: +1 .*\nFilesystem features: +ext_attr\n/);
  assert.match(stdout, /First inode: +11\nInode size:\s+128\n/);
});

/** Without quotas, e2fsck knows what a file should have in i_blocks all the same. */
Deno.test("evict lets go of many large values, in as many operations as it takes", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await makeImage(folder, "-b 4096 -O ea_inode,quota");
  using opened = openForWriting(image);
  const { fs } = opened;
  const { blocks, inodes } = fs.writing;
  make(fs, "first");
  const free = [blocks.freeClusters, inodes.freeInodes];
  const inode = make(fs, "second");
  for (let index = 0; index < 70; index++) set(fs, inode, `user.name${index}`, LARGE);
  assert.equal(inodes.freeInodes, free[1] - 71);
  remove(fs, "second");
  assert.deepEqual([blocks.freeClusters, inodes.freeInodes], free);
  assert.equal(await complaintsAfter(fs, image), "");
});

Deno.test("evict goes on where a large value is damaged, and reports it", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await makeImage(folder, "-b 4096 -O ea_inode");
  using opened = openForWriting(image);
  const { fs } = opened;
  const inode = make(fs, "file");
  set(fs, inode, "user.one", LARGE);
  set(fs, inode, "user.two", LARGE);
  const holder = fs.inode(inode.xattrEntries()[0].valueIno);
  fs.change((handle) => {
    fs.modifyInode(handle, holder);
    holder.size = 7;
  });
  assert.throws(() => removeXattr(fs, inode, bytes("user.one")), isCorruption);
  assert.equal(opened.complaints.length, 0);
  remove(fs, "file");
  assert.equal(opened.complaints.length, 1);
  assert.match(opened.complaints[0], /attribute value: 7 bytes instead of 20000/);
});

function isCorruption(error: FsError): boolean {
  return error.isCorruption;
}

const FILES = ["f0", "f1", "f2", "f3", "d0", "p0"];

async function makeFiles(folder: TempDir, mke2fs: string): Promise<string> {
  const content = folder.mkdir("content");
  for (const file of FILES) {
    if (file.startsWith("f")) Deno.writeTextFileSync(`${content}/${file}`, file);
    else if (file.startsWith("d")) Deno.mkdirSync(`${content}/${file}`);
    else await run("mkfifo", [`${content}/${file}`]);
  }
  return await makeImage(folder, `${mke2fs} -d ${content}`);
}

const MIXED: Readonly<Record<string, { mke2fs: string; blockSize: number; large: boolean }>> = {
  "blocks": { mke2fs: "-b 1024 -I 128", blockSize: 1024, large: false },
  "ea_inode": { mke2fs: "-b 1024 -O ea_inode -J size=32", blockSize: 1024, large: true },
  "ea_inode, 4k": { mke2fs: "-b 4096 -I 128 -O ea_inode -J size=32", blockSize: 4096, large: true },
};

for (const [name, { mke2fs, ...ranges }] of Object.entries(MIXED)) {
  Deno.test(`setXattr and removeXattr take turns with the kernel's ext4: ${name}`, async () => {
    if (!requires("root", "loop", "e2fsprogs")) return;
    using folder = new TempDir();
    const image = await makeFiles(folder, mke2fs);
    const dir = folder.mkdir("mnt");
    const random = new Random(name.length);
    const model: XattrModel = new Map();
    for (let turn = 0; turn < 6; turn++) {
      for (const isOurs of [false, true]) {
        const steps = randomSteps(random, FILES, 60, ranges);
        const take = (step: typeof steps[number], code: string) => {
          if (code === "") stepInModel(model, step);
        };
        if (isOurs) {
          using opened = openForWriting(image);
          const { fs } = opened;
          for (const step of steps) take(step, stepOnFileSystem(fs, step));
          assert.deepEqual(xattrsOnFileSystem(fs, FILES), normalized(model));
          assert.equal(await complaintsAfter(fs, image), "");
        } else {
          await using _mount = await mountKernel(image, dir, "user_xattr");
          for (const step of steps) take(step, stepOnMount(dir, step));
          assert.deepEqual(xattrsOnMount(dir, FILES), normalized(model));
        }
      }
    }
  });
}

Deno.test("setXattr: without space or quota at any time, nothing has changed", async () => {
  if (!requires("e2fsprogs")) return;
  for (const { mke2fs, ...ranges } of Object.values(MIXED)) {
    using folder = new TempDir();
    const features = mke2fs.includes("-O")
      ? mke2fs.replace("-O ", "-O quota,")
      : `${mke2fs} -O quota`;
    const image = await makeFiles(folder, features);
    // mke2fs does not count what it copies.
    await run("e2fsck", ["-fy", image], { codes: [0, 1] });
    using opened = openForWriting(image);
    const { fs } = opened;
    const model: XattrModel = new Map();
    const limit = limitSpace(fs);
    const failures = { ENOSPC: 0, EDQUOT: 0 };
    for (const step of randomSteps(new Random(5), FILES, 150, ranges)) {
      const records = () => FILES.map((file) => fileNamed(fs, file).bytes.slice());
      const before = records();
      const free = [fs.writing.blocks.freeClusters, fs.writing.inodes.freeInodes];
      for (let allowed = 0;; allowed++) {
        limit.left = allowed;
        limit.hasFailed = false;
        const code = stepOnFileSystem(fs, step);
        if (!limit.hasFailed) {
          if (code === "") stepInModel(model, step);
          break;
        }
        assert(code === "ENOSPC" || code === "EDQUOT", code);
        failures[code]++;
        assert.deepEqual(records(), before);
        assert.deepEqual([fs.writing.blocks.freeClusters, fs.writing.inodes.freeInodes], free);
      }
    }
    limit.left = Infinity;
    assert(failures.ENOSPC > 4 && failures.EDQUOT > 4, JSON.stringify(failures));
    assert.deepEqual(xattrsOnFileSystem(fs, FILES), normalized(model));
    assert.equal(await complaintsAfter(fs, image), "");
  }
});

/** Lets so many allocations of blocks and inodes, and charges to quotas, succeed as are `left`. */
function limitSpace(fs: FileSystem): { left: number; hasFailed: boolean } {
  const limit = { left: Infinity, hasFailed: false };
  const { blocks, inodes, parts } = fs.writing;
  const spend = (code: "ENOSPC" | "EDQUOT") => {
    if (limit.left-- > 0) return;
    limit.hasFailed = true;
    throw fail(code, "no space, says the test");
  };
  for (const allocator of [blocks, inodes]) {
    const allocate = allocator.allocate.bind(allocator) as (...args: unknown[]) => unknown;
    Object.defineProperty(allocator, "allocate", {
      value: (...args: unknown[]) => (spend("ENOSPC"), allocate(...args)),
    });
  }
  const quotas = parts.quotas!;
  const charge = quotas.charge.bind(quotas);
  quotas.charge = (...args) => (spend("EDQUOT"), charge(...args));
  return limit;
}

Deno.test("setXattr, removeXattr and evict on damaged tables: only FsError comes out", async () => {
  if (!requires("e2fsprogs")) return;
  const ranges = { blockSize: 1024, large: true };
  for (
    const mke2fs of [
      "-b 1024 -I 256 -O ea_inode,^metadata_csum",
      "-b 1024 -I 128 -O ^metadata_csum",
    ]
  ) {
    using folder = new TempDir();
    const image = await makeFiles(folder, mke2fs);
    const random = new Random(mke2fs.length);
    for (let round = 0; round < 60; round++) {
      using opened = openForWriting(image);
      const { fs } = opened;
      for (const step of randomSteps(random, FILES, 15, ranges)) stepOnFileSystem(fs, step);
      damage(fs, random);
      const steps = randomSteps(random, FILES, 15, ranges);
      for (const step of steps) stepOnFileSystem(fs, step);
      const file = make(fs, `new${round}`);
      for (const step of steps) stepOnFileSystem(fs, { ...step, file: `new${round}` });
      damage(fs, random, file);
      onlyFsErrors(() => remove(fs, `new${round}`));
      fs.writing.transactions.abort(
        fail("EIO", "the test goes on with the image as it was"),
        false,
      );
    }
  }
});

/** Flips bits in the attributes of the files in memory, which the next reader takes for the disk's. */
function damage(fs: FileSystem, random: Random, only?: Inode): void {
  const inodes = only === undefined ? FILES.map((file) => fileNamed(fs, file)) : [only];
  for (const inode of inodes) {
    const tables = [inode.bytes.subarray(128)];
    onlyFsErrors(() => {
      const block = xattrBlockOf(fs, inode)?.block;
      if (block !== undefined) tables.push(block.bytes);
    });
    for (const table of tables.filter(({ length }) => length > 0)) {
      for (let flips = random.below(6); flips > 0; flips--) {
        // Entries are at the start.
        const end = random.oneIn(3) ? table.length : Math.min(table.length, 200);
        table[random.below(end)] ^= 1 << random.below(8);
      }
    }
    inode.recordChanged();
  }
}

function onlyFsErrors(act: () => void): void {
  try {
    act();
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
  }
}
