/** Flags, projects, generations and labels: as the kernel's ext4 takes them, and as e2fsck likes them. */

import assert from "node:assert/strict";
import {
  EXT4_CASEFOLD_FL,
  EXT4_DAX_FL,
  EXT4_EXTENTS_FL,
  EXT4_IMMUTABLE_FL,
  EXT4_JOURNAL_DATA_FL,
  EXT4_NODUMP_FL,
  EXT4_PROJINHERIT_FL,
  EXT4_VISIBLE_FLAGS,
  Ext4Inode,
} from "../src/disk/inode.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import type { Inode } from "../src/ext4/inode/inode.ts";
import { changeFileAttributes, setVersion } from "../src/ext4/inode/inode_flags.ts";
import { setLabel } from "../src/ext4/superblock/label.ts";
import { getXattr } from "../src/ext4/xattr/xattr.ts";
import { FsError } from "../src/sys/fs_error.ts";
import {
  complaintsAfter,
  fileNamed,
  LAYOUTS,
  makeLayout,
  openForWriting,
  openLayout,
} from "./support/allocation.ts";
import { throwsFsError } from "./support/errors.ts";
import { debugfs } from "./support/images.ts";
import { mountKernel } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

/** Sets each flag on a file and a folder, takes it away again, and prints what became of it. */
const TRY_FLAGS = `
import errno, fcntl, json, os, struct, sys
SET, GET = 0x40086602, 0x80086601
def get(fd):
    flags = bytearray(8)
    fcntl.ioctl(fd, GET, flags)
    return struct.unpack("<I4x", flags)[0]
def change(fd, flags):
    try:
        fcntl.ioctl(fd, SET, struct.pack("<I4x", flags))
        return "", get(fd)
    except OSError as error:
        return errno.errorcode[error.errno], get(fd)
result = {}
os.chdir(sys.argv[1])
for bit in range(32):
    for name in ("first", "folder"):
        fd = os.open(name, os.O_RDONLY)
        before = get(fd)
        on = change(fd, before | 1 << bit)
        off = change(fd, on[1] & ~(1 << bit))
        change(fd, before)
        os.close(fd)
        result[f"{name} {bit}"] = [before, *on, *off]
print(json.dumps(result))
`;

type Tried = [before: number, on: string, withIt: number, off: string, without: number];

function change(fs: FileSystem, inode: Inode, flags: number): [string, number] {
  let code = "";
  try {
    changeFileAttributes(fs, inode, { flags: flags >>> 0 });
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    code = error.code.replace("EOPNOTSUPP", "ENOTSUP");
  }
  return [code, visible(inode)];
}

function visible(inode: Inode): number {
  return (inode.flags & EXT4_VISIBLE_FLAGS) >>> 0;
}

/** The kernel changes the kind of map of files that have blocks, and journals data. */
const DIFFERENT = EXT4_EXTENTS_FL | EXT4_JOURNAL_DATA_FL;

for (const layout of ["ext4-1k", "ext4-no-extent", "ext4-inline", "ext4-inode128", "ext3-2k"]) {
  Deno.test(`changeFileAttributes takes and refuses the flags that the kernel does: ${layout}`, async () => {
    if (!requires("root", "loop", "e2fsprogs", "python3")) return;
    using folder = new TempDir();
    const image = await makeLayout(layout, folder);
    let theirs: Record<string, Tried>;
    {
      await using kernel = await mountKernel(image, folder.mkdir("mnt"), "user_xattr");
      const { stdout } = await run("python3", ["-c", TRY_FLAGS, kernel.dir]);
      theirs = JSON.parse(stdout);
    }
    using opened = openForWriting(image);
    const { fs } = opened;
    for (const [what, tried] of Object.entries(theirs)) {
      const [name, bit] = what.split(" ");
      const flag = 2 ** Number(bit);
      if ((flag & DIFFERENT) !== 0) continue;
      const inode = fileNamed(fs, name);
      const before = visible(inode);
      const on = change(fs, inode, before | flag);
      const off = change(fs, inode, on[1] & ~flag);
      change(fs, inode, before);
      assert.deepEqual([before, ...on, ...off], tried, what);
    }
    assert.equal(await complaintsAfter(fs, image), "");
  });
}

Deno.test("changeFileAttributes refuses what would need blocks moved or data journaled", async () => {
  if (!requires("e2fsprogs")) return;
  using opened = await openLayout("ext4-1k");
  const { fs, image } = opened;
  const file = fileNamed(fs, "first");
  const flags = visible(file);
  throwsFsError(
    "EOPNOTSUPP",
    () => changeFileAttributes(fs, file, { flags: flags & ~EXT4_EXTENTS_FL }),
  );
  throwsFsError(
    "EOPNOTSUPP",
    () => changeFileAttributes(fs, file, { flags: flags | EXT4_JOURNAL_DATA_FL }),
  );
  changeFileAttributes(fs, file, { flags: flags | EXT4_DAX_FL });
  assert.equal(await complaintsAfter(fs, image), "");
});

Deno.test("changeFileAttributes: nothing of an immutable file changes but that it is", async () => {
  if (!requires("e2fsprogs")) return;
  using opened = await openLayout("ext4-project");
  const { fs } = opened;
  const file = fileNamed(fs, "first");
  const flags = visible(file);
  const immutable = flags | EXT4_IMMUTABLE_FL;
  changeFileAttributes(fs, file, { flags: immutable });
  throwsFsError(
    "EPERM",
    () => changeFileAttributes(fs, file, { flags: immutable | EXT4_NODUMP_FL }),
  );
  throwsFsError("EPERM", () => changeFileAttributes(fs, file, { projectId: 5 }));
  changeFileAttributes(fs, file, { flags: immutable });
  changeFileAttributes(fs, file, { flags: flags | EXT4_NODUMP_FL, projectId: 5 });
  assert.equal(file.projectId, 5);
  assert.equal(visible(file), flags | EXT4_NODUMP_FL);
});

Deno.test("changeFileAttributes: only empty folders begin to fold the case of names", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = folder.join("image");
  await run("mke2fs", [
    "-q",
    "-F",
    "-t",
    "ext4",
    "-O",
    "casefold",
    "-E",
    "encoding=utf8",
    image,
    "16M",
  ]);
  await debugfs(image, ["mkdir /empty", "mkdir /full", "mkdir /full/folder"]);
  using opened = openForWriting(image);
  const { fs } = opened;
  const add = (inode: Inode) => () =>
    changeFileAttributes(fs, inode, { flags: visible(inode) | EXT4_CASEFOLD_FL });
  throwsFsError("ENOTEMPTY", add(fileNamed(fs, "full")));
  const empty = fileNamed(fs, "empty");
  add(empty)();
  assert(empty.hasFlag(EXT4_CASEFOLD_FL));
  assert.equal(await complaintsAfter(fs, image), "");
});

Deno.test("changeFileAttributes: a project needs its feature, and room in the inode", async () => {
  if (!requires("e2fsprogs")) return;
  for (const layout of ["ext4-1k", "ext4-inode128"]) {
    using opened = await openLayout(layout);
    const { fs } = opened;
    const file = fileNamed(fs, "first");
    changeFileAttributes(fs, file, { projectId: 0 });
    throwsFsError("EOPNOTSUPP", () => changeFileAttributes(fs, file, { projectId: 5 }));
  }
});

Deno.test("changeFileAttributes makes room for the project of an older inode, beside its attributes", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await makeLayout("ext4-project", folder);
  await debugfs(image, [
    "sif first extra_isize 4",
    "sif second extra_isize 4",
    "ea_set first user.one value",
    "ea_set first user.two another",
    `ea_set second user.large ${"x".repeat(72)}`,
    "sif folder extra_isize 28",
  ]);
  using opened = openForWriting(image);
  const { fs } = opened;
  const [first, second, dir] = ["first", "second", "folder"].map((name) => fileNamed(fs, name));
  assert.equal(first.extraSize, 4);
  changeFileAttributes(fs, first, { projectId: 77 });
  changeFileAttributes(fs, dir, { projectId: 78, flags: visible(dir) | EXT4_PROJINHERIT_FL });
  throwsFsError("ENOSPC", () => changeFileAttributes(fs, second, { projectId: 5 }));
  assert.deepEqual([first.projectId, first.extraSize], [77, 32]);
  const value = (name: string) =>
    new TextDecoder().decode(getXattr(fs, first, new TextEncoder().encode(name)));
  assert.equal(value("user.one"), "value");
  assert.equal(value("user.two"), "another");
  assert.equal(await complaintsAfter(fs, image), "");
  const { stdout } = await run("debugfs", ["-R", "stat folder", image]);
  assert.match(stdout, /Project: +78 /);
});

Deno.test("setVersion changes the generation, but not where checksums depend on it", async () => {
  if (!requires("e2fsprogs")) return;
  for (const [layout, works] of [["ext4-no-checksums", true], ["ext4-1k", false]] as const) {
    using opened = await openLayout(layout);
    const { fs, image } = opened;
    const file = fileNamed(fs, "first");
    const { generation } = file;
    if (works) setVersion(fs, file, 4711);
    else throwsFsError("ENOTTY", () => setVersion(fs, file, 4711));
    assert.equal(Ext4Inode.i_generation.get(file.view, 0), works ? 4711 : generation);
    assert.equal(await complaintsAfter(fs, image), "");
  }
});

for (const layout of Object.keys(LAYOUTS).filter((name) => !name.includes("mmp"))) {
  Deno.test(`setLabel reaches the superblock and all its backups: ${layout}`, async () => {
    if (!requires("e2fsprogs")) return;
    using opened = await openLayout(layout);
    const { fs, image } = opened;
    setLabel(fs, new TextEncoder().encode("sixteen bytes ok"));
    setLabel(fs, new TextEncoder().encode("label"));
    assert.equal(await complaintsAfter(fs, image), "");
    assert.deepEqual(opened.complaints, []);
    const { blockSize, superblock } = fs;
    for (let group = 0; group < superblock.groupCount; group++) {
      if (!superblock.groupHasSuperblock(group)) continue;
      const number = Math.max(superblock.groupStart(group), blockSize === 1024 ? 1 : 0);
      const { stdout } = await run("dumpe2fs", [
        ...["-h", "-o", `superblock=${number}`, "-o", `blocksize=${blockSize}`, image],
      ]);
      assert.match(stdout, /^Filesystem volume name: +label$/m, `group ${group}`);
    }
  });
}
