/** Files without a name that nobody has open: when they are freed, and when that must not wait. */

import assert from "node:assert/strict";
import { makeNode, unlink } from "../src/ext4/directory/namespace.ts";
import { writeFile } from "../src/ext4/content/write.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import { UnusedFiles } from "../src/mount/unused_files.ts";
import { fail } from "../src/sys/fs_error.ts";
import { S_IFREG } from "../src/sys/stat.ts";
import { complaintsAfter, openForWriting } from "./support/allocation.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const BLOCKS_OF_EACH = 4;

/** Makes files and takes their names away; their inode numbers. */
function unlinkedFiles(fs: FileSystem, count: number): number[] {
  return Array.from({ length: count }, (_, index) => {
    const name = new TextEncoder().encode(`file${index}`);
    const file = { mode: S_IFREG | 0o644, uid: 0, gid: 0, umask: 0 };
    const inode = makeNode(fs, fs.root, name, file);
    writeFile(fs, inode, 0, new Uint8Array(BLOCKS_OF_EACH * fs.blockSize).fill(7));
    unlink(fs, fs.root, name);
    return inode.ino;
  });
}

/** Runs `use` with ten files that wait on a file system of this size. */
async function withTenWaiting(
  mebibytes: number,
  use: (fs: FileSystem, unused: UnusedFiles, free: () => number) => void,
  mke2fs: readonly string[] = [],
): Promise<void> {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = folder.join("image");
  await run("mke2fs", ["-q", "-F", "-t", "ext4", "-b", "4096", ...mke2fs, image, `${mebibytes}M`]);
  using opened = openForWriting(image);
  const { fs } = opened;
  const before = fs.groups.totals.all.freeClusters;
  const unused = new UnusedFiles(fs, () => false);
  for (const ino of unlinkedFiles(fs, 10)) unused.add(ino);
  const free = () => fs.groups.totals.all.freeClusters - before;
  assert.equal(free(), -10 * BLOCKS_OF_EACH, "nothing is freed by itself");
  use(fs, unused, free);
  unused.freeAll();
  assert.equal(free(), 0);
  assert.equal(await complaintsAfter(fs, image), "");
}

Deno.test("UnusedFiles: where there is plenty of space, a request frees one file", () =>
  withTenWaiting(300, (_, unused, free) => {
    unused.makeRoom();
    assert.equal(free(), -9 * BLOCKS_OF_EACH);
    assert.equal(unused.freeOne(), true);
    assert.equal(free(), -8 * BLOCKS_OF_EACH);
  }));

Deno.test("UnusedFiles: where there is little space, a request frees them all", () =>
  withTenWaiting(100, (_, unused, free) => {
    unused.makeRoom();
    assert.equal(free(), 0);
    assert.equal(unused.freeOne(), false);
  }));

Deno.test("UnusedFiles: where there are few inodes, a request frees them all", () =>
  withTenWaiting(200, (fs, unused, free) => {
    assert.equal(fs.superblock.inodesCount, 32);
    unused.makeRoom();
    assert.equal(free(), 0);
  }, ["-N", "32"]));

Deno.test("UnusedFiles: with quotas, a request frees them all", () =>
  withTenWaiting(300, (_, unused, free) => {
    unused.makeRoom();
    assert.equal(free(), 0);
  }, ["-O", "quota"]));

Deno.test("UnusedFiles: files that are in use again, or have a name, stay", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = folder.join("image");
  await run("mke2fs", ["-q", "-F", "-t", "ext4", image, "50M"]);
  using opened = openForWriting(image);
  const { fs } = opened;
  const [first, second] = unlinkedFiles(fs, 2);
  const unused = new UnusedFiles(fs, (ino) => ino === first);
  for (const ino of [first, second, fs.root.ino]) unused.add(ino);
  unused.freeAll();
  assert.deepEqual([...fs.unlinkedInodes], [first]);
  assert.equal(fs.inode(fs.root.ino).isDirectory, true);
});

Deno.test("UnusedFiles: after the end of writing, and after a failure, nothing is freed", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  for (const end of ["stop", "fail"]) {
    const image = folder.join(end);
    await run("mke2fs", ["-q", "-F", "-t", "ext4", image, "50M"]);
    using opened = openForWriting(image);
    const { fs, complaints } = opened;
    const unused = new UnusedFiles(fs, () => false);
    for (const ino of unlinkedFiles(fs, 2)) unused.add(ino);
    if (end === "stop") fs.stopWriting();
    else fs.writing.transactions.abort(fail("EIO", "a commit failed"));
    assert.equal(unused.freeOne(), true);
    unused.freeAll();
    assert.equal(fs.unlinkedInodes.size, 2);
    assert.deepEqual(complaints, []);
  }
});

Deno.test("UnusedFiles: a file that cannot be freed is reported, and the others are freed", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = folder.join("image");
  await run("mke2fs", ["-q", "-F", "-t", "ext4", image, "50M"]);
  using opened = openForWriting(image);
  const { fs, complaints } = opened;
  const [first, second, third] = unlinkedFiles(fs, 3);
  const unused = new UnusedFiles(fs, () => false);
  for (const ino of [first, second, third]) unused.add(ino);
  const inode = fs.inode;
  fs.inode = (ino) => {
    if (ino === first) throw fail("EIO", "no inode");
    if (ino === second) throw new TypeError("a mistake");
    return inode.call(fs, ino);
  };
  unused.freeAll();
  fs.inode = inode;
  assert.deepEqual([...fs.unlinkedInodes], [first, second]);
  assert.deepEqual(complaints.length, 2);
  assert.match(complaints.join(), /fuse4fs itself: TypeError: a mistake.*no inode/);
});
