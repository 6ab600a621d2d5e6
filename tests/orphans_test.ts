/** Orphans: what the disk says of them at each point, and that they are cleaned up after a crash. */

import assert from "node:assert/strict";
import { mapNewBlocks } from "../src/ext4/map/block_map_write.ts";
import { createInode } from "../src/ext4/inode/create_inode.ts";
import { evict } from "../src/ext4/inode/evict.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import type { Inode } from "../src/ext4/inode/inode.ts";
import { makeNode, unlink } from "../src/ext4/directory/namespace.ts";
import { listOrphans } from "../src/ext4/orphans/orphans.ts";
import {
  addOrphan,
  dropUnlinked,
  keepUnlinked,
  removeOrphan,
} from "../src/ext4/orphans/orphans_write.ts";
import { setSize } from "../src/ext4/content/truncate.ts";
import type { Handle } from "../src/jbd2/handle.ts";
import { S_IFREG } from "../src/sys/stat.ts";
import { complaintsAfter, makeLayout, openForWriting, openLayout } from "./support/allocation.ts";
import { mountKernel } from "./support/mount.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const LAYOUTS_WITH_ORPHANS = ["ext2-1k", "ext3-2k", "ext4-1k", "ext4-orphan-file"] as const;

/** An inode without a name that is open, as open(2) with O_TMPFILE makes it. */
function makeOrphan(fs: FileSystem, handle: Handle): Inode {
  const inode = createInode(fs, handle, fs.root, { mode: S_IFREG | 0o600, uid: 1, gid: 2 });
  inode.linksCount = 0;
  keepUnlinked(fs, handle, inode);
  return inode;
}

/** What the disk has after a commit. */
function committedOrphans(fs: FileSystem): number[] {
  fs.writing.transactions.writeBack();
  return listOrphans(fs).sort((a, b) => a - b);
}

for (const layout of LAYOUTS_WITH_ORPHANS) {
  Deno.test(`Orphans: random ones come and go, and failed operations leave no trace: ${layout}`, async () => {
    if (!requires("e2fsprogs")) return;
    using opened = await openLayout(layout);
    const { fs, image } = opened;
    const random = new Random(7);
    const model = new Map<number, Inode>();
    const pick = () => random.pick([...model.values()]);
    for (let round = 0; round < 60; round++) {
      for (let step = 0; step < 20; step++) {
        const fails = random.below(4) === 0;
        const changes: (() => void)[] = [];
        const operation = (handle: Handle) => {
          changes.length = 0;
          const inode = makeOrphan(fs, handle);
          changes.push(() => model.set(inode.ino, inode));
          const gone = new Set<Inode>();
          for (let count = random.below(4); count > 0 && model.size > gone.size; count--) {
            const old = pick();
            if (gone.has(old)) continue;
            gone.add(old);
            fs.modifyInode(handle, old);
            old.linksCount = 1;
            dropUnlinked(fs, handle, old);
            old.linksCount = 0;
            keepUnlinked(fs, handle, old);
          }
          if (fails) throw new Error("undone");
        };
        if (fails) assert.throws(() => fs.change(operation), { message: "undone" });
        else {
          fs.change(operation);
          for (const change of changes) change();
        }
        if (model.size > 10 && random.below(3) > 0) {
          const inode = pick();
          model.delete(inode.ino);
          evict(fs, inode);
        }
      }
      assert.deepEqual(committedOrphans(fs), [...model.keys()].sort((a, b) => a - b));
    }
    for (const inode of model.values()) evict(fs, inode);
    assert.deepEqual(committedOrphans(fs), []);
    assert.deepEqual(opened.complaints, []);
    assert.equal(await complaintsAfter(fs, image), "");
  });

  Deno.test(`cleanOrphans frees what a crash left: ${layout}`, async () => {
    if (!requires("e2fsprogs")) return;
    using folder = new TempDir();
    const image = await makeLayout(layout, folder);
    {
      using opened = openForWriting(image);
      const { fs } = opened;
      for (let count = 0; count < 300; count++) fs.change((handle) => makeOrphan(fs, handle));
      const cut = fs.change((handle) => {
        const inode = createInode(fs, handle, fs.root, { mode: S_IFREG, uid: 1, gid: 2 });
        addOrphan(fs, handle, inode);
        return inode;
      });
      fs.change((handle) => removeOrphan(fs, handle, cut));
      fs.change((handle) => {
        fs.modifyInode(handle, cut);
        cut.linksCount = 0;
        keepUnlinked(fs, handle, cut);
      });
      fs.writing.transactions.commit();
    }
    using opened = openForWriting(image);
    const { fs } = opened;
    assert.equal(fs.unlinkedInodes.size, 0);
    assert.deepEqual(committedOrphans(fs), []);
    assert.equal(await complaintsAfter(fs, image), "");
  });
}

const ENCODER = new TextEncoder();
const WHO = { uid: 1, gid: 2, umask: 0 };

/** A file in so many pieces that it takes several operations to free them. */
function makeFragmented(fs: FileSystem, name: string, pieces: number): Inode {
  const inode = makeNode(fs, fs.root, ENCODER.encode(name), { mode: S_IFREG | 0o600, ...WHO });
  for (let piece = 0; piece < pieces;) {
    fs.change((handle) => {
      fs.modifyInode(handle, inode);
      for (let count = 0; count < 100 && piece < pieces; count++, piece++) {
        const wanted = { fileBlock: piece * 2, count: 1, purpose: "data" } as const;
        mapNewBlocks(fs, handle, inode, wanted);
      }
      inode.size = piece * 2 * fs.blockSize;
    });
  }
  return inode;
}

/** Calls `after` after each operation, when it is durable. */
function afterEachOperation(fs: FileSystem, after: () => void): void {
  const change = fs.change.bind(fs);
  fs.change = (operation) => {
    const result = change(operation);
    fs.writing.transactions.commit();
    after();
    return result;
  };
}

/** Cleans up a crashed image by fuse4fs, by e2fsck, and by the kernel; all must find it in order. */
async function cleanByAll(folder: TempDir, image: Uint8Array): Promise<void> {
  const path = folder.join("crashed.img");
  const check = async (codes: readonly number[], flags: string) => {
    const { stdout } = await run("e2fsck", [flags, path], { codes });
    return stdout;
  };
  Deno.writeFileSync(path, image);
  {
    using opened = openForWriting(path);
    assert.deepEqual(opened.complaints, []);
    assert.equal(await complaintsAfter(opened.fs, path), "");
  }
  Deno.writeFileSync(path, image);
  const said = await check([0, 1], "-fy");
  // This is how it empties the orphan file, and what it does to each tree that it has cut itself.
  const expected = /^(Orphan file .* not clean|Feature orphan_present .*)\.\nClear\?|Optimize\?/gm;
  assert.doesNotMatch(said.replace(expected, ""), /\?/, said);
  await check([0], "-fn");
  Deno.writeFileSync(path, image);
  {
    const dir = folder.join("cleaned");
    Deno.mkdirSync(dir, { recursive: true });
    await using mounted = await mountKernel(path, dir, "rw");
    Deno.statSync(mounted.dir);
  }
  await check([0], "-fn");
}

for (const layout of ["ext4-1k", "ext4-orphan-file"] as const) {
  Deno.test(`evict and setSize: a crash after any of their operations leaves orphans only: ${layout}`, async () => {
    if (!requires("e2fsprogs", "root", "loop")) return;
    using folder = new TempDir();
    const image = await makeLayout(layout, folder);
    const states: Uint8Array[] = [];
    {
      using opened = openForWriting(image);
      const { fs } = opened;
      const evicted = makeFragmented(fs, "evicted", 6000);
      const cut = makeFragmented(fs, "cut", 6000);
      unlink(fs, fs.root, ENCODER.encode("evicted"));
      afterEachOperation(fs, () => states.push(Deno.readFileSync(image)));
      evict(fs, evicted);
      assert.ok(states.length >= 2, `${states.length} operations`);
      setSize(fs, cut, 12345);
      assert.ok(states.length >= 4, `${states.length} operations`);
      assert.equal(await complaintsAfter(fs, image), "");
    }
    for (const state of states) await cleanByAll(folder, state);
  });
}

for (const features of ["^orphan_file", "orphan_file"]) {
  Deno.test(`cleanOrphans frees what the kernel left: ${features}`, async () => {
    if (!requires("e2fsprogs", "root", "loop", "python3")) return;
    using folder = new TempDir();
    const image = folder.join("kernel.img");
    const args = ["-t", "ext4", "-b", "1024", "-O", features, image, "40M"];
    await run("mke2fs", ["-q", "-F", ...args]);
    const copy = folder.join("copy.img");
    {
      await using mounted = await mountKernel(image, folder.mkdir("mnt"), "user_xattr");
      await run("python3", ["-c", LEAVE_ORPHANS, mounted.dir, image, copy]);
    }
    using opened = openForWriting(copy);
    assert.deepEqual(opened.complaints, []);
    assert.match(opened.messages.at(-1)!, /: 64 deleted or cut files cleaned up$/);
    assert.equal(await complaintsAfter(opened.fs, copy), "");
  });
}

/** Copies an image while files of all kinds are open on it that have no name any more. */
const LEAVE_ORPHANS = `
import os, shutil, socket, sys
source, image, copy = sys.argv[1:]
os.chdir(source)
for number in range(60):
    fd = os.open("file", os.O_CREAT | os.O_RDWR)
    for piece in range(number):
        os.pwrite(fd, b"x" * 3000, piece * 10000)
    if number % 7 == 0:
        os.setxattr(fd, "user.large", bytes(number * 10 + 200))
    os.unlink("file")
os.open(".", os.O_TMPFILE | os.O_RDWR)
os.mkdir("folder")
os.open("folder", os.O_RDONLY)
os.rmdir("folder")
os.mkfifo("fifo")
os.open("fifo", os.O_RDWR)
os.unlink("fifo")
os.symlink("t" * 500, "link")
os.open("link", os.O_PATH | os.O_NOFOLLOW)
os.unlink("link")
os.sync()
shutil.copyfile(image, copy)
`;
