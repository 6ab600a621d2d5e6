/** Orphans: what the disk says of them at each point, and that they are cleaned up after a crash. */

import assert from "node:assert/strict";
import { createInode } from "../src/ext4/create_inode.ts";
import { evict } from "../src/ext4/evict.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import type { Inode } from "../src/ext4/inode.ts";
import { listOrphans } from "../src/ext4/orphans.ts";
import { addOrphan, dropUnlinked, keepUnlinked, removeOrphan } from "../src/ext4/orphans_write.ts";
import type { Handle } from "../src/jbd2/handle.ts";
import { S_IFREG } from "../src/sys/stat.ts";
import { complaintsAfter, makeLayout, openForWriting } from "./support/allocation.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";
import { TempDir } from "./support/run.ts";

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
    using folder = new TempDir();
    const image = await makeLayout(layout, folder);
    using opened = openForWriting(image);
    const { fs } = opened;
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
