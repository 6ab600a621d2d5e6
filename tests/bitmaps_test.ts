/** Bitmaps and descriptors that are damaged, and bitmaps that the disk does not have yet. */

import assert from "node:assert/strict";
import { EXT4_BG_BLOCK_UNINIT } from "../src/disk/group_desc.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import { groupOfInode } from "../src/ext4/allocation/group_choice.ts";
import { MetadataZones } from "../src/ext4/allocation/metadata_zones.ts";
import { FsError } from "../src/sys/fs_error.ts";
import { S_IFDIR, S_IFREG } from "../src/sys/stat.ts";
import {
  complaintsAfter,
  fileNamed,
  freeByDumpe2fs,
  makeLayout,
  type Opened,
  openForWriting,
  openLayout,
} from "./support/allocation.ts";
import { debugfs } from "./support/images.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

/** Changes bytes of a block of an image. */
function patch(image: string, block: number, blockSize: number, at: number, bytes: number[]): void {
  using file = Deno.openSync(image, { write: true });
  file.seekSync(block * blockSize + at, Deno.SeekMode.Start);
  file.writeSync(Uint8Array.from(bytes));
}

/** Opens an image to look at it, without a trace in it. */
function lookAt<Result>(image: string, look: (fs: FileSystem) => Result): Result {
  const copy = `${image}.copy`;
  Deno.copyFileSync(image, copy);
  using opened = openForWriting(copy);
  return look(opened.fs);
}

function allocate({ fs }: Opened, goal: number, count = 1): number {
  const inode = fileNamed(fs, "first");
  return fs.change((handle) =>
    fs.writing.blocks.allocate(handle, { inode, goal, count, purpose: "data" })
  ).block;
}

/** Damages the bitmap of the blocks of a group and checks that the group is left alone. */
async function groupIsLeftAlone(
  layout: string,
  damage: (image: string, bitmap: number, blockSize: number) => Promise<void> | void,
  words: RegExp,
  group = 1,
): Promise<void> {
  using folder = new TempDir();
  const image = await makeLayout(layout, folder);
  const { bitmap, blockSize, start, blocks } = lookAt(image, (fs) => ({
    bitmap: fs.groups.get(group).blockBitmap,
    blockSize: fs.blockSize,
    start: fs.superblock.groupStart(group),
    blocks: fs.superblock.groupBlocks(group),
  }));
  await damage(image, bitmap, blockSize);
  using opened = openForWriting(image);
  const { fs, complaints } = opened;
  const inGroup = (block: number) => block >= start && block < start + blocks;
  for (let times = 0; times < 3; times++) {
    assert(!inGroup(allocate(opened, start + 5000, 10)));
  }
  // What files have in the group stays in use.
  const free = fs.writing.blocks.freeClusters;
  fs.change((handle) => fs.writing.blocks.free(handle, fileNamed(fs, "first"), start + 5000, 1));
  assert.equal(fs.writing.blocks.freeClusters, free);
  assert.equal(complaints.length, 1);
  assert.match(complaints[0], words);
  assert(complaints[0].includes(`group ${group}`));
}

Deno.test("Bitmaps.ofBlocks: a bitmap with a wrong checksum", async () => {
  if (!requires("e2fsprogs")) return;
  const damage = (image: string, bitmap: number, blockSize: number) =>
    patch(image, bitmap, blockSize, 900, [0x5a]);
  await groupIsLeftAlone("ext4-no-flex", damage, /Bad checksum of the block bitmap/, 0);
});

Deno.test("Bitmaps.ofBlocks: a bitmap that does not fit the descriptor's count", async () => {
  if (!requires("e2fsprogs")) return;
  await groupIsLeftAlone("ext4-no-checksums", (image, bitmap, blockSize) => {
    patch(image, bitmap, blockSize, 900, [0xff]);
  }, /free, by the descriptor/);
});

Deno.test("Bitmaps.ofBlocks: a bitmap that has the inode table free", async () => {
  if (!requires("e2fsprogs")) return;
  const layout = "ext4-no-checksums";
  await groupIsLeftAlone(layout, async (image, bitmap, blockSize) => {
    // A backup of the superblock, with bitmaps and tables in group 0.
    patch(image, bitmap, blockSize, 0, [0]);
    await debugfs(image, ["set_bg 1 free_blocks_count 7923"]);
    const free = lookAt(image, (fs) => fs.groups.get(1).freeClusters);
    const used = lookAt(image, (fs) => fs.superblock.groupBlocks(1));
    assert(free < used);
  }, /own blocks are free/);
});

Deno.test("Bitmaps.ofBlocks: a last group with free blocks behind the end", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = folder.join("short.img");
  await run("mke2fs", ["-q", "-F", "-t", "ext2", "-b", "1024", image, "12000"]);
  const { bitmap, count, start } = lookAt(image, (fs) => ({
    bitmap: fs.groups.get(1).blockBitmap,
    count: fs.superblock.groupBlocks(1),
    start: fs.superblock.groupStart(1),
  }));
  assert(count < 8192);
  patch(image, bitmap, 1024, 1000, [0]);
  using opened = openForWriting(image);
  const inode = opened.fs.root;
  opened.fs.change((handle) => {
    const request = { inode, goal: start, count: 1, purpose: "metadata" } as const;
    assert(opened.fs.writing.blocks.allocate(handle, request).block < start);
  });
  assert.match(opened.complaints.join(), /behind the end/);
});

Deno.test("Bitmaps.ofInodes: a damaged bitmap gives and takes no inode", async () => {
  if (!requires("e2fsprogs")) return;
  for (const layout of ["ext4-no-flex", "ext4-no-checksums"]) {
    using folder = new TempDir();
    const image = await makeLayout(layout, folder);
    const bitmap = lookAt(image, (fs) => fs.groups.get(0).inodeBitmap);
    patch(image, bitmap, 1024, 100, [0x10]);
    using opened = openForWriting(image);
    const { fs } = opened;
    const take = () => fs.change((handle) => fs.writing.inodes.allocate(handle, fs.root, S_IFREG));
    const ino = take();
    assert.notEqual(groupOfInode(fs, ino), 0);
    const free = fs.writing.inodes.freeInodes;
    fs.change((handle) => fs.writing.inodes.free(handle, 12, false));
    assert.equal(fs.writing.inodes.freeInodes, free);
    assert.equal(opened.complaints.length, 1);
    assert.match(opened.complaints[0], /inode bitmap/);
  }
});

Deno.test("Bitmaps: groups without bitmaps on the disk get them when they are used first", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = folder.join("garbage.img");
  Deno.writeFileSync(image, new Uint8Array(60 * 2 ** 20).fill(0xa5));
  await run("mke2fs", [
    ...["-q", "-F", "-t", "ext4", "-b", "1024", "-g", "2048"],
    ...["-E", "nodiscard,lazy_itable_init=1", image],
  ]);
  using opened = openForWriting(image);
  const { fs } = opened;
  const { groupCount } = fs.superblock;
  const isUninit = (group: number) => (fs.groups.get(group).flags & EXT4_BG_BLOCK_UNINIT) !== 0;
  const uninit = Array.from({ length: groupCount }, (_, group) => group).filter(isUninit);
  assert(uninit.length > 5, `${uninit}`);
  const inode = fs.root;
  const before = await freeByDumpe2fs(image, fs);
  const runs = uninit.map((group) => {
    const goal = fs.superblock.groupStart(group) + 1000;
    return fs.change((handle) =>
      fs.writing.blocks.allocate(handle, { inode, goal, count: 10, purpose: "data" })
    );
  });
  assert(!uninit.some(isUninit));
  fs.writing.transactions.writeBack();
  const { clusters } = await freeByDumpe2fs(image, fs);
  assert.equal(clusters.size, before.clusters.size - runs.length * 10);
  for (const { block, count } of runs) {
    fs.change((handle) => fs.writing.blocks.free(handle, inode, block, count));
  }
  assert.equal(await complaintsAfter(fs, image), "");
});

Deno.test("MetadataZones.of refuses structures in each other's place, and out of place", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await makeLayout("ext4-flex2", folder);
  const table = lookAt(image, (fs) => fs.groups.get(2).inodeTable);
  for (const [field, value] of [["inode_table", table + 1], ["block_bitmap", 0]]) {
    const copy = folder.join("changed.img");
    Deno.copyFileSync(image, copy);
    await debugfs(copy, [`set_bg 3 ${field} ${value}`, "set_bg 3 checksum calc"]);
    const before = Deno.readFileSync(copy);
    assert.throws(
      () => openForWriting(copy),
      (error: FsError) => error.code === "EUCLEAN",
      `${field}`,
    );
    assert.deepEqual(Deno.readFileSync(copy), before, `${field}: the image was changed`);
  }
});

Deno.test("MetadataZones.of knows what no file may have", async () => {
  if (!requires("e2fsprogs")) return;
  for (const layout of ["ext2-1k", "ext4-1k", "ext4-meta-bg", "ext4-bigalloc-1k", "ext4-4k"]) {
    using opened = await openLayout(layout);
    const { fs, image } = opened;
    const { free, own } = await blocksByDumpe2fs(image);
    const zones = MetadataZones.of(fs);
    assert(own.size > 0);
    for (const block of own) assert(zones.touches(block, 1), `${layout}: ${block}`);
    for (const block of free) assert(!zones.touches(block, 1), `${layout}: ${block}`);
  }
});

/** Free blocks, and those that dumpe2fs names as parts of the file system. */
async function blocksByDumpe2fs(image: string) {
  const { stdout } = await run("dumpe2fs", [image]);
  const own = new Set<number>();
  const free = new Set<number>();
  const add = (set: Set<number>, range: string) => {
    const [start, end = start] = range.split("-").map(Number);
    for (let block = start; block <= end; block++) set.add(block);
  };
  const places =
    /(?:superblock|descriptors?|GDT blocks|bitmap|table) at (\d+(?:-\d+)?)(?:.*descriptors at (\d+(?:-\d+)?))?/g;
  for (const line of stdout.split("\n").filter((line) => line.startsWith("  "))) {
    for (const [, ...ranges] of line.matchAll(places)) {
      for (const range of ranges) if (range !== undefined) add(own, range);
    }
    const list = /^ {2}Free blocks: (.+)$/.exec(line)?.[1];
    for (const range of list?.split(", ") ?? []) add(free, range);
  }
  return { own, free };
}

Deno.test("GroupDescriptors.update refuses counts that cannot be", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await makeLayout("ext4-no-checksums", folder);
  await debugfs(image, ["set_bg 0 used_dirs_count 0"]);
  using opened = openForWriting(image);
  const { fs } = opened;
  const before = fs.groups.get(0);
  assert.throws(
    () => fs.change((handle) => fs.writing.inodes.free(handle, fileNamed(fs, "folder").ino, true)),
    (error: FsError) => error.code === "EUCLEAN",
  );
  assert.deepEqual(fs.groups.get(0), before);
  const ino = fs.change((handle) => fs.writing.inodes.allocate(handle, fs.root, S_IFDIR));
  assert(ino > 0);
});
