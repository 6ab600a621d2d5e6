/** FITRIM: what is discarded, and that nothing else is. */

import assert from "node:assert/strict";
import { FileDevice } from "../src/block/file_device.ts";
import { inodeGoal } from "../src/ext4/allocation/group_choice.ts";
import { trim } from "../src/ext4/allocation/trim.ts";
import { FsError } from "../src/sys/fs_error.ts";
import { complaintsAfter, fileNamed, makeLayout, openForWriting } from "./support/allocation.ts";
import { attachLoop } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const ALL = 2 ** 64;

/** Space that a file takes on the disk, in bytes. */
function spaceOf(path: string): number {
  return (Deno.statSync(path).blocks ?? 0) * 512;
}

/** Makes an image with garbage in all free blocks. */
async function garbage(layout: string, folder: TempDir): Promise<string> {
  const image = await makeLayout(layout, folder);
  using opened = openForWriting(image);
  const { fs } = opened;
  for (let group = 0; group < fs.superblock.groupCount; group++) {
    const end = fs.superblock.groupBlocks(group) / fs.superblock.clusterRatio;
    fs.writing.blocks.space.eachFreeRun(group, 0, end, 1, ({ start, length }) => {
      const ratio = fs.superblock.clusterRatio;
      const block = fs.superblock.groupStart(group) + start * ratio;
      const bytes = new Uint8Array(length * ratio * fs.blockSize).fill(0xa5);
      fs.device.write(bytes, block * fs.blockSize);
    });
  }
  fs.stopWriting();
  return image;
}

for (const layout of ["ext4-4k", "ext2-1k", "ext4-bigalloc-1k"]) {
  Deno.test(`trim gives back all free space, once: ${layout}`, async () => {
    if (!requires("e2fsprogs")) return;
    using folder = new TempDir();
    const image = await garbage(layout, folder);
    const before = spaceOf(image);
    using opened = openForWriting(image);
    const { fs } = opened;
    const free = fs.writing.blocks.freeClusters * fs.superblock.clusterRatio * fs.blockSize;
    assert.equal(trim(fs, 0, ALL, 0), free);
    // The file that the image is may have larger blocks.
    assert(before - spaceOf(image) > free * 0.8, `${before - spaceOf(image)} of ${free} bytes`);
    assert.equal(trim(fs, 0, ALL, 0), 0);

    const inode = fileNamed(fs, "first");
    const request = { inode, goal: inodeGoal(fs, inode), count: 64, purpose: "data" } as const;
    const { blocks } = fs.writing;
    const { block, count } = fs.change((handle) => blocks.allocate(handle, request));
    fs.change((handle) => blocks.free(handle, inode, block, count));
    const again = trim(fs, 0, ALL, 0);
    assert(again >= count * fs.blockSize && again < free, `${again}`);
    assert.equal(await complaintsAfter(fs, image), "");
    const { stdout } = await run("debugfs", ["-R", "cat /second", image]);
    assert.equal(stdout, "second");
  });
}

Deno.test("trim stays within its range and passes over short runs", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  using opened = openForWriting(await garbage("ext4-4k", folder));
  const { fs } = opened;
  const { blockSize, superblock } = fs;
  const start = superblock.groupStart(12) * blockSize;
  assert.equal(trim(fs, start + 5 * blockSize, 20 * blockSize, 0), 20 * blockSize);
  assert.equal(trim(fs, start, 100 * blockSize, 101 * blockSize), 0);
  assert.equal(trim(fs, start + 3, 2 * blockSize - 1, 0), blockSize);
  for (
    const [from, length, minimum] of [
      [0, blockSize - 1, 0],
      [superblock.blocksCount * blockSize, ALL, 0],
      [0, ALL, (superblock.clustersPerGroup + 1) * blockSize],
    ]
  ) {
    assert.throws(
      () => trim(fs, from, length, minimum),
      (error: FsError) => error.code === "EINVAL",
    );
  }
});

Deno.test("trim leaves what is not free before the commit, and reserved blocks are free", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  using opened = openForWriting(await garbage("ext4-4k", folder));
  const { fs } = opened;
  const inode = fileNamed(fs, "first");
  const { blocks } = fs.writing;
  let goal = inodeGoal(fs, inode);
  for (let times = 0; times < 3; times++) {
    const request = { inode, goal, count: 64, purpose: "data" } as const;
    const run = fs.change((handle) => blocks.allocate(handle, request));
    goal = run.block + run.count;
  }
  assert.equal(trim(fs, 0, ALL, 0), blocks.freeClusters * fs.blockSize);
});

Deno.test("FileDevice.discard empties a range of a file", () => {
  using folder = new TempDir();
  const path = folder.join("file");
  Deno.writeFileSync(path, new Uint8Array(2 ** 20).fill(1));
  const device = FileDevice.open(path, { readOnly: false, offset: 131072, size: 2 ** 18 });
  device.discard(0, 65536);
  const bytes = Deno.readFileSync(path);
  const expected = new Uint8Array(2 ** 20).fill(1).fill(0, 131072, 196608);
  assert.deepEqual(bytes, expected);
  for (const [position, length] of [[-1, 10], [2 ** 18, 1]]) {
    assert.throws(
      () => device.discard(position, length),
      (error: FsError) => error.code === "EIO",
    );
  }
  device.close();
  const readOnly = FileDevice.open(path, { readOnly: true });
  assert.throws(() => readOnly.discard(0, 1), (error: FsError) => error.code === "EROFS");
  readOnly.close();
});

Deno.test("FileDevice.discard on a block device", async () => {
  if (!requires("root", "loop")) return;
  using folder = new TempDir();
  const path = folder.join("disk");
  Deno.writeFileSync(path, new Uint8Array(2 ** 20).fill(1));
  await using loop = await attachLoop(path);
  const device = FileDevice.open(loop.path, { readOnly: false });
  device.discard(65536, 131072);
  const bytes = new Uint8Array(131072).fill(1);
  device.read(bytes, 65536);
  assert(bytes.every((byte) => byte === 0));
  device.close();
  assert(spaceOf(path) <= 2 ** 20 - 131072);
});
