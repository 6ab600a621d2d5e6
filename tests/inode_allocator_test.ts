/** Allocating and freeing inodes, against a model in memory and against e2fsprogs. */

import assert from "node:assert/strict";
import { Ext4Inode } from "../src/disk/inode.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import { groupOfInode } from "../src/ext4/allocation/group_choice.ts";
import type { Inode } from "../src/ext4/inode/inode.ts";
import type { Handle } from "../src/jbd2/handle.ts";
import { FsError } from "../src/sys/fs_error.ts";
import { S_IFDIR, S_IFREG } from "../src/sys/stat.ts";
import {
  complaintsAfter,
  fileNamed,
  freeByDumpe2fs,
  LAYOUTS,
  makeLayout,
  openForWriting,
  openLayout,
} from "./support/allocation.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const STEPS = 1500;
const ON_PURPOSE = "undone on purpose";

/** Allocates and frees at random, and keeps account of it. */
class Trial {
  readonly free: Set<number>;
  readonly #used = new Map<number, boolean>();
  readonly #parents: readonly Inode[];

  constructor(readonly fs: FileSystem, free: ReadonlySet<number>, readonly random: Random) {
    this.free = new Set(free);
    this.#parents = [fs.root, fileNamed(fs, "folder")];
  }

  step(): void {
    const { random } = this;
    if (random.oneIn(60)) this.fs.writing.transactions.commit();
    else if (random.oneIn(8)) this.#undone();
    else if (random.below(10) < 6) this.#allocate();
    else this.#free();
    assert.equal(this.fs.writing.inodes.freeInodes, this.free.size);
  }

  freeAll(): void {
    while (this.#used.size > 0) this.#free();
  }

  #allocate(): void {
    const isDirectory = this.random.oneIn(4);
    const ino = this.fs.change((handle) => this.#take(handle, isDirectory));
    assert(this.free.delete(ino), `inode ${ino} was in use`);
    this.#used.set(ino, isDirectory);
  }

  #free(): void {
    if (this.#used.size === 0) return;
    const [ino, isDirectory] = this.random.pick([...this.#used]);
    this.fs.change((handle) => this.#give(handle, ino, isDirectory));
    this.#used.delete(ino);
    this.free.add(ino);
  }

  #undone(): void {
    const before = this.fs.writing.inodes.freeInodes;
    assert.throws(() =>
      this.fs.change((handle) => {
        for (let times = this.random.below(4); times >= 0; times--) {
          const ino = this.#take(handle, false);
          if (this.random.oneIn(2)) this.#give(handle, ino, false);
        }
        throw new Error(ON_PURPOSE);
      }), { message: ON_PURPOSE });
    assert.equal(this.fs.writing.inodes.freeInodes, before);
  }

  #take(handle: Handle, isDirectory: boolean): number {
    const parent = this.fs.inode(this.random.pick(this.#parents).ino);
    return this.fs.writing.inodes.allocate(handle, parent, isDirectory ? S_IFDIR : S_IFREG);
  }

  #give(handle: Handle, ino: number, isDirectory: boolean): void {
    this.fs.writing.inodes.free(handle, ino, isDirectory);
  }
}

for (const name of Object.keys(LAYOUTS)) {
  Deno.test(`InodeAllocator agrees with a model and e2fsck: ${name}`, async () => {
    if (!requires("e2fsprogs")) return;
    using opened = await openLayout(name);
    const { fs, image } = opened;
    const before = await freeByDumpe2fs(image, fs);
    const trial = new Trial(fs, before.inodes, new Random(name.length));
    for (let step = 0; step < STEPS; step++) trial.step();
    fs.writing.transactions.writeBack();
    assert.deepEqual((await freeByDumpe2fs(image, fs)).inodes, trial.free);
    trial.freeAll();
    fs.writing.transactions.writeBack();
    const after = await freeByDumpe2fs(image, fs);
    assert.deepEqual(after.inodes, before.inodes);
    assert.deepEqual(after.clusters, before.clusters);
    assert.equal(await complaintsAfter(fs, image), "");
    assert.deepEqual(opened.complaints, []);
  });
}

/** Takes inodes in one directory until there are none. */
function takeAll(fs: FileSystem, parent: Inode): number[] {
  const inos: number[] = [];
  assert.throws(() => {
    for (;;) {
      inos.push(fs.change((handle) => fs.writing.inodes.allocate(handle, parent, S_IFREG)));
    }
  }, (error: FsError) => error.code === "ENOSPC");
  return inos;
}

for (const name of ["ext2-1k", "ext4-1k", "ext4-no-flex", "ext4-bigalloc-1k"]) {
  Deno.test(`InodeAllocator.allocate gives every inode once, and no reserved one: ${name}`, async () => {
    if (!requires("e2fsprogs")) return;
    using opened = await openLayout(name);
    const { fs, image } = opened;
    const { inodes: free } = await freeByDumpe2fs(image, fs);
    const inos = takeAll(fs, fs.root);
    assert.equal(inos.length, free.size);
    assert.deepEqual(new Set(inos), free);
    assert(Math.min(...inos) > fs.superblock.firstInode);
  });
}

Deno.test("InodeAllocator.allocate gives the inodes freed last after all others", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = folder.join("few.img");
  await run("mke2fs", ["-q", "-F", "-t", "ext4", "-N", "64", image, "16M"]);
  using opened = openForWriting(image);
  const { fs } = opened;
  const { inodes } = fs.writing;
  const take = () => fs.change((handle) => inodes.allocate(handle, fs.root, S_IFREG));
  const ino = take();
  fs.change((handle) => inodes.free(handle, ino, false));
  assert.notEqual(take(), ino);
  fs.writing.transactions.commit();
  assert.equal(take(), ino);
  fs.change((handle) => inodes.free(handle, ino, false));
  assert.equal(takeAll(fs, fs.root).at(-1), ino);
});

Deno.test("InodeAllocator.allocate passes over a number that is still in use without links", async () => {
  if (!requires("e2fsprogs")) return;
  using opened = await openLayout("ext4-1k");
  const { fs } = opened;
  const take = () => fs.change((handle) => fs.writing.inodes.allocate(handle, fs.root, S_IFREG));
  const ino = take();
  fs.unlinkedInodes.add(ino + 1);
  assert.equal(take(), ino + 2);
});

Deno.test("InodeAllocator.free refuses inodes that are free, reserved or none at all", async () => {
  if (!requires("e2fsprogs")) return;
  using opened = await openLayout("ext4-1k");
  const { fs } = opened;
  const { inodesCount } = fs.superblock;
  for (const ino of [0, 1, 2, 8, 10, inodesCount, inodesCount + 1, -1]) {
    assert.throws(
      () => fs.change((handle) => fs.writing.inodes.free(handle, ino, false)),
      (error: FsError) => error.code === "EUCLEAN",
      `${ino}`,
    );
  }
});

/** The groups of new entries in a directory. */
function groupsOf(fs: FileSystem, parent: Inode, mode: number, count: number): number[] {
  return Array.from(
    { length: count },
    () => fs.change((handle) => groupOfInode(fs, fs.writing.inodes.allocate(handle, parent, mode))),
  );
}

Deno.test("InodeAllocator.allocate spreads directories of the root, and keeps files near them", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  using opened = openForWriting(await makeLayout("ext4-no-flex", folder));
  const { fs } = opened;
  const { groupCount } = fs.superblock;
  const folderInode = fileNamed(fs, "folder");
  const home = groupOfInode(fs, folderInode.ino);
  assert.deepEqual(new Set(groupsOf(fs, folderInode, S_IFREG, 20)), new Set([home]));
  assert.deepEqual(new Set(groupsOf(fs, folderInode, S_IFDIR, 5)), new Set([home]));
  const spread = new Set(groupsOf(fs, fs.root, S_IFDIR, groupCount * 4));
  assert(spread.size > groupCount / 2, `${spread.size} of ${groupCount} groups`);
});

Deno.test("InodeAllocator.allocate packs a flexible group's inodes at its start", async () => {
  if (!requires("e2fsprogs")) return;
  using opened = await openLayout("ext4-flex2");
  const { fs } = opened;
  for (const group of groupsOf(fs, fs.root, S_IFDIR, 40)) {
    assert.equal(group % 2, 0);
  }
});

Deno.test("InodeAllocator.allocate leaves no garbage in a table that was never zeroed", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = folder.join("garbage.img");
  Deno.writeFileSync(image, new Uint8Array(40 * 2 ** 20).fill(0xa5));
  await run("mke2fs", [
    ...["-q", "-F", "-t", "ext4", "-b", "4096", "-N", "4096", "-G", "1", "-g", "2048"],
    ...["-E", "lazy_itable_init=1,nodiscard", image],
  ]);
  using opened = openForWriting(image);
  const { fs } = opened;
  const groups = Array.from({ length: fs.superblock.groupCount }, (_, group) => group);
  const before = groups.map((group) => fs.groups.get(group).unusedInodes);
  const inos = takeAll(fs, fs.root);
  // What was never written must be zeros; freed again, it is for e2fsck to look at.
  for (const ino of inos) {
    assert(fs.rawInode(ino).bytes.every((byte) => byte === 0), `inode ${ino}`);
  }
  assert(groups.every((group) => fs.groups.get(group).unusedInodes === 0));
  assert(before.every((unused) => unused > 0));
  for (const ino of inos) fs.change((handle) => fs.writing.inodes.free(handle, ino, false));
  assert.equal(await complaintsAfter(fs, image), "");
});

Deno.test("InodeAllocator.allocate zeroes records that are passed over in a block in use", async () => {
  if (!requires("e2fsprogs")) return;
  using opened = await openLayout("ext4-4k");
  const { fs } = opened;
  const { inodesPerGroup, inodeSize } = fs.superblock;
  const { unusedInodes, inodeTable } = fs.groups.get(0);
  const first = inodesPerGroup - unusedInodes;
  const perBlock = fs.blockSize / inodeSize;
  assert(first % perBlock !== 0 && first % perBlock < perBlock - 1);
  const block = fs.cache.read(inodeTable + Math.floor(first / perBlock));
  const at = (first % perBlock) * inodeSize;
  Ext4Inode.i_mode.set(block.view, at, S_IFREG | 0o644);
  // The first number is passed over.
  fs.unlinkedInodes.add(first + 1);
  const ino = fs.change((handle) => fs.writing.inodes.allocate(handle, fs.root, S_IFREG));
  assert.equal(ino, first + 2);
  assert.equal(Ext4Inode.i_mode.get(block.view, at), 0);
});
