/** Inline data written: how much the inode holds, and what e2fsck and debugfs say of it. */

import assert from "node:assert/strict";
import { EXT4_EXTENTS_FL, EXT4_INLINE_DATA_FL } from "../src/disk/inode.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import { readInlineData } from "../src/ext4/content/inline_data.ts";
import {
  inlineCapacity,
  leaveInline,
  storeInlineData,
} from "../src/ext4/content/inline_data_write.ts";
import type { Inode } from "../src/ext4/inode/inode.ts";
import { FsError } from "../src/sys/fs_error.ts";
import { complaintsAfter, fileNamed, openForWriting } from "./support/allocation.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const FILES = ["empty", "short", "full", "over"];

/** An image with empty files, whose inline data have as much room as inodes of this size give. */
async function makeImage(folder: TempDir, inodeSize: number): Promise<string> {
  const image = folder.join("image");
  const content = folder.mkdir("content");
  for (const file of FILES) Deno.writeFileSync(`${content}/${file}`, new Uint8Array());
  const args = ["-q", "-t", "ext4", "-O", "inline_data", "-I", `${inodeSize}`, "-d", content];
  await run("mke2fs", [...args, image, "16M"]);
  return image;
}

function store(fs: FileSystem, inode: Inode, bytes: Uint8Array): void {
  fs.change((handle) => {
    storeInlineData(fs, handle, inode, bytes);
    inode.size = bytes.length;
  });
}

function contentOf(image: string, name: string): Promise<Uint8Array> {
  return new Deno.Command("debugfs", { args: ["-R", `cat /${name}`, image] }).output()
    .then(({ stdout }) => stdout);
}

// The fields take 160 bytes, the attribute's entry and its frame 28.
for (const [inodeSize, capacity] of [[256, 128], [512, 384], [1024, 896]]) {
  Deno.test(`storeInlineData fills inodes of ${inodeSize} bytes up to inlineCapacity`, async () => {
    if (!requires("e2fsprogs")) return;
    using folder = new TempDir();
    const image = await makeImage(folder, inodeSize);
    const random = new Random(inodeSize);
    const short = random.bytes(61);
    const full = random.bytes(capacity);
    {
      using opened = openForWriting(image);
      const { fs } = opened;
      for (const file of FILES) {
        assert.equal(inlineCapacity(fs, fileNamed(fs, file)), capacity);
      }
      store(fs, fileNamed(fs, "full"), full);
      store(fs, fileNamed(fs, "short"), full);
      store(fs, fileNamed(fs, "short"), short);
      const over = fileNamed(fs, "over");
      const before = over.bytes.slice();
      const code = (error: FsError) => error.code === "ENOSPC";
      assert.throws(() => store(fs, over, random.bytes(capacity + 1)), code);
      assert.deepEqual(over.bytes, before);
      assert.equal(inlineCapacity(fs, fileNamed(fs, "full")), capacity);
      assert.deepEqual(readInlineData(fileNamed(fs, "short")), short);
      assert.equal(await complaintsAfter(fs, image), "");
    }
    assert.deepEqual(await contentOf(image, "full"), full);
    assert.deepEqual(await contentOf(image, "short"), short);
  });
}

Deno.test("leaveInline returns what was inline and leaves an empty map, storeInlineData goes back", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await makeImage(folder, 256);
  const full = new Random(1).bytes(100);
  using opened = openForWriting(image);
  const { fs } = opened;
  const leave = (inode: Inode) =>
    fs.change((handle) => {
      const content = leaveInline(fs, handle, inode);
      inode.size = 0;
      return content;
    });
  const inode = fileNamed(fs, "full");
  store(fs, inode, full);
  assert.deepEqual(leave(inode), full);
  assert(!inode.hasInlineData);
  assert.equal(inode.flags & (EXT4_EXTENTS_FL | EXT4_INLINE_DATA_FL), EXT4_EXTENTS_FL);
  assert.equal(inlineCapacity(fs, inode), 128);
  const back = fileNamed(fs, "short");
  leave(back);
  store(fs, back, full);
  assert(back.hasInlineData);
  assert.equal(back.flags & (EXT4_EXTENTS_FL | EXT4_INLINE_DATA_FL), EXT4_INLINE_DATA_FL);
  assert.equal(await complaintsAfter(fs, image), "");
  assert.deepEqual(await contentOf(image, "short"), full);
  assert.deepEqual(await contentOf(image, "full"), new Uint8Array());
});

Deno.test("inlineCapacity is 0 where inodes have no room, or the feature is off", async () => {
  if (!requires("e2fsprogs")) return;
  for (const args of [["-I", "128"], ["-I", "256"]]) {
    using folder = new TempDir();
    const image = folder.join("image");
    await run("mke2fs", ["-q", "-t", "ext4", ...args, image, "16M"]);
    using opened = openForWriting(image);
    assert.equal(inlineCapacity(opened.fs, opened.fs.root), 0);
  }
});
