/** New inodes: what they inherit, compared with the kernel's; what e2fsck and debugfs say of them. */

import assert from "node:assert/strict";
import {
  EXT4_EXTENTS_FL,
  EXT4_INLINE_DATA_FL,
  EXT4_PROJINHERIT_FL,
  Ext4Inode,
} from "../src/disk/inode.ts";
import { createInode, type NewInode } from "../src/ext4/inode/create_inode.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import type { Inode } from "../src/ext4/inode/inode.ts";
import { FsError } from "../src/sys/fs_error.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK } from "../src/sys/stat.ts";
import {
  complaintsAfter,
  fileNamed,
  LAYOUTS,
  makeLayout,
  openForWriting,
  openLayout,
} from "./support/allocation.ts";
import { debugfs } from "./support/images.ts";
import { mountKernel } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const OWNER = { uid: 0x12345, gid: 0x23456 };

function create(fs: FileSystem, parent: Inode, file: Partial<NewInode>): Inode {
  return fs.change((handle) => createInode(fs, handle, parent, { mode: 0, ...OWNER, ...file }));
}

const SPECIAL: Readonly<Record<string, Partial<NewInode>>> = {
  regular: { mode: S_IFREG | 0o4751 },
  fifo: { mode: S_IFIFO | 0o600 },
  socket: { mode: S_IFSOCK | 0o777 },
  console: { mode: S_IFCHR | 0o620, rdev: { major: 5, minor: 1 } },
  disk: { mode: S_IFBLK | 0o660, rdev: { major: 259, minor: 0x12345 } },
};

// Where there is multiple mount protection, debugfs waits for others to show up.
for (const name of Object.keys(LAYOUTS).filter((name) => !name.includes("mmp"))) {
  Deno.test(`createInode makes inodes that e2fsck finds in order: ${name}`, async () => {
    if (!requires("e2fsprogs")) return;
    using opened = await openLayout(name);
    const { fs, image } = opened;
    const made = new Map(
      Object.entries(SPECIAL).map(([file, what]) => [file, create(fs, fs.root, what)]),
    );
    fs.stopWriting();
    await debugfs(image, [...made].map(([file, inode]) => `ln <${inode.ino}> /new-${file}`));
    assert.equal(await complaintsAfter(fs, image), "");
    const { stdout } = await run("debugfs", ["-R", "stat /new-disk", image]);
    assert.match(stdout, /Type: block special +Mode: +0660/);
    assert.match(stdout, /User: +74565 +Group: +144470/);
    assert.match(stdout, /\(New-style\) Device major\/minor number: 259:74565/);
  });
}

Deno.test("createInode fills in times, generation, version, owner and one link", async () => {
  if (!requires("e2fsprogs")) return;
  using opened = await openLayout("ext4-1k");
  const { fs } = opened;
  const inode = create(fs, fs.root, { mode: S_IFREG | 0o640 });
  const other = create(fs, fs.root, { mode: S_IFREG | 0o640 });
  assert.equal(inode.mode, S_IFREG | 0o640);
  assert.deepEqual({ uid: inode.uid, gid: inode.gid }, OWNER);
  assert.equal(inode.linksCount, 1);
  assert.equal(inode.size, 0);
  assert(inode.atime.sec >= 1_700_000_000);
  for (const time of [inode.mtime, inode.ctime, inode.crtime]) {
    assert.deepEqual(time, inode.atime);
  }
  assert.notEqual(inode.generation, other.generation);
  assert.equal(Ext4Inode.l_i_version.get(inode.view, 0), 1);
  assert.equal(fs.inode(inode.ino), inode);
});

Deno.test("createInode prepares inline data where files can have them, and else a tree of extents", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  using opened = openForWriting(await makeLayout("ext4-inline", folder));
  const flags = (mode: number) => create(opened.fs, opened.fs.root, { mode }).flags;
  assert.equal(flags(S_IFREG), EXT4_INLINE_DATA_FL);
  assert.equal(flags(S_IFDIR), EXT4_INLINE_DATA_FL);
  assert.equal(flags(S_IFLNK), EXT4_EXTENTS_FL);
  assert.equal(flags(S_IFIFO), 0);
  assert(create(opened.fs, opened.fs.root, { mode: S_IFREG }).hasInlineData);
});

Deno.test("createInode passes a project on where the directory says so", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await makeLayout("ext4-project", folder);
  await debugfs(image, ["sif /folder projid 4711"]);
  using opened = openForWriting(image);
  const { fs } = opened;
  const parent = fileNamed(fs, "folder");
  assert.equal(create(fs, parent, { mode: S_IFREG }).projectId, 0);
  fs.change((handle) => {
    fs.modifyInode(handle, parent);
    parent.setFlag(EXT4_PROJINHERIT_FL, true);
  });
  assert.equal(create(fs, parent, { mode: S_IFREG }).projectId, 4711);
  assert(!create(fs, parent, { mode: S_IFREG }).hasFlag(EXT4_PROJINHERIT_FL));
  assert(create(fs, parent, { mode: S_IFDIR }).hasFlag(EXT4_PROJINHERIT_FL));
});

Deno.test("createInode gives files the directory's group where the superblock says so", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await makeLayout("ext4-1k", folder);
  await run("tune2fs", ["-o", "bsdgroups", image]);
  await debugfs(image, ["sif /folder gid 77"]);
  using opened = openForWriting(image);
  const inode = create(opened.fs, fileNamed(opened.fs, "folder"), { mode: S_IFDIR | 0o755 });
  assert.equal(inode.gid, 77);
  assert.equal(inode.mode, S_IFDIR | 0o755);
});

Deno.test("createInode refuses encrypted directories, and leaves nothing behind", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await makeLayout("ext4-1k", folder);
  using opened = openForWriting(image);
  const { fs } = opened;
  const parent = fileNamed(fs, "folder");
  const free = fs.writing.inodes.freeInodes;
  const flags = parent.flags;
  parent.flags = flags | 0x800;
  assert.throws(
    () => create(fs, parent, { mode: S_IFREG }),
    (error: FsError) => error.code === "ENOKEY",
  );
  parent.flags = flags;
  assert.throws(() =>
    fs.change((handle) => {
      createInode(fs, handle, parent, { mode: S_IFDIR, ...OWNER });
      throw new Error("undone");
    }), { message: "undone" });
  assert.equal(fs.writing.inodes.freeInodes, free);
  assert.equal(await complaintsAfter(fs, image), "");
});

/** Flags that directories can have and files can inherit, and some more. */
const PARENTS: Readonly<Record<string, readonly string[]>> = {
  plain: [],
  setgid: ["mode 0042755", "gid 4242"],
  sync: ["flags 0x80008"],
  all: ["flags 0x209c4cf"],
  topdir: ["flags 0xa0000"],
  dirsync: ["flags 0x90000"],
  append: ["flags 0x80020"],
};

Deno.test("createInode makes the records that the kernel makes", async () => {
  if (!requires("root", "loop", "e2fsprogs")) return;
  for (const layout of ["ext4-1k", "ext4-inode128", "ext4-inode1024"]) {
    using folder = new TempDir();
    const image = await makeLayout(layout, folder);
    await debugfs(
      image,
      Object.entries(PARENTS).flatMap(([name, fields]) => [
        `mkdir /${name}`,
        ...fields.map((field) => `sif /${name} ${field}`),
      ]),
    );
    {
      await using mounted = await mountKernel(image, folder.mkdir("mnt"), "user_xattr,acl");
      for (const parent of Object.keys(PARENTS)) {
        const path = `${mounted.dir}/${parent}`;
        Deno.writeFileSync(`${path}/file`, new Uint8Array(), { mode: 0o644 });
        Deno.mkdirSync(`${path}/directory`, { mode: 0o755 });
        await run("mkfifo", ["-m", "0644", `${path}/fifo`]);
      }
    }
    using opened = openForWriting(image);
    const { fs } = opened;
    const types = { file: S_IFREG | 0o644, directory: S_IFDIR | 0o755, fifo: S_IFIFO | 0o644 };
    for (const parent of Object.keys(PARENTS)) {
      const dir = fileNamed(fs, parent);
      for (const [name, mode] of Object.entries(types)) {
        const theirs = fileNamed(fs, name, dir);
        const ours = create(fs, dir, { mode, uid: 0, gid: 0 });
        assert.deepEqual(factsOf(ours), factsOf(theirs), `${layout}: ${parent}/${name}`);
      }
    }
  }
});

/** What does not depend on time, chance and content. */
function factsOf(inode: Inode): Record<string, unknown> {
  return {
    mode: inode.mode.toString(8),
    uid: inode.uid,
    gid: inode.gid,
    flags: inode.flags.toString(16),
    extraSize: inode.extraSize,
    projectId: inode.projectId,
    generationIsSet: inode.generation !== 0,
    // Directories have blocks.
    map: inode.isDirectory ? "" : inode.iBlock.join(" "),
  };
}
