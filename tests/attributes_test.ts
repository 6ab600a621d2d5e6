/** Permissions, owners and times changed: as by the kernel's ext4. */

import assert from "node:assert/strict";
import { EXT4_APPEND_FL, EXT4_IMMUTABLE_FL } from "../src/disk/inode.ts";
import {
  type AttributeChange,
  dropPrivileges,
  setAttributes,
} from "../src/ext4/inode/attributes.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import { setXattr } from "../src/ext4/xattr/set_xattr.ts";
import { getXattr } from "../src/ext4/xattr/xattr.ts";
import { FsError } from "../src/sys/fs_error.ts";
import { complaintsAfter, fileNamed, openForWriting, setFlag } from "./support/allocation.ts";
import { bytes } from "./support/bytes.ts";
import * as libc from "./support/libc.ts";
import { SystemError } from "./support/libc.ts";
import { mountKernel } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const ROOT = { uid: 0, gid: 0 };
const CAPABILITY = "security.capability";
/** cap_net_raw+ep, of version 2 */
const CAP_NET_RAW = Uint8Array.fromHex("0100000200200000000000000000000000000000");

const FILES = ["file", "folder", "pipe", "immutable", "append"];
const FLAGS: Readonly<Record<string, number>> = {
  immutable: EXT4_IMMUTABLE_FL,
  append: EXT4_APPEND_FL,
};

interface Step {
  readonly file: string;
  readonly change: AttributeChange;
}

const TIMES = [
  [0, 0],
  [1_700_000_000, 999_999_999],
  [-1, 5],
  [-(2 ** 31), 0],
  [-(2 ** 31) - 1, 7],
  [2 ** 31 - 1, 1],
  [2 ** 31, 2],
  [2 ** 32, 3],
  [2 ** 34 - 2 ** 31 - 1, 4],
  [2 ** 34 - 2 ** 31, 6],
] as const;

const STEPS: readonly Step[] = [
  ...FILES.flatMap((file) => [
    ...[0o6777, 0o2767, 0o4711, 0o1644, 0].flatMap((mode) => [
      { file, change: { mode } },
      { file, change: { uid: mode + 1 } },
      { file, change: { mode } },
      { file, change: { gid: 70_000 + mode } },
      { file, change: { mode } },
      { file, change: { uid: 0, gid: 0 } },
    ]),
  ]),
  ...TIMES.map(([sec, nsec]) => ({
    file: "file",
    change: { atime: { sec, nsec }, mtime: { sec: sec + 1, nsec } },
  })),
  { file: "immutable", change: { mtime: { sec: 5, nsec: 5 } } },
  { file: "append", change: { atime: { sec: 5, nsec: 5 } } },
];

async function makeImage(folder: TempDir, inodeSize: number): Promise<string> {
  const image = folder.join("image");
  const content = folder.mkdir("content");
  for (const file of FILES) {
    if (file === "folder") Deno.mkdirSync(`${content}/${file}`);
    else if (file === "pipe") await run("mkfifo", [`${content}/${file}`]);
    else Deno.writeTextFileSync(`${content}/${file}`, file);
  }
  const args = ["-q", "-t", "ext4", "-I", `${inodeSize}`, "-d", content];
  await run("mke2fs", [...args, image, "16M"]);
  return image;
}

/** Makes the change with system calls; returns the errno of the first that fails. */
function stepOnMount(dir: string, { file, change }: Step): string {
  const path = `${dir}/${file}`;
  const { mode, uid, gid, atime, mtime } = change;
  const same = 0xffffffff;
  try {
    if (mode !== undefined) libc.chmod(path, mode);
    if (uid !== undefined || gid !== undefined) libc.lchown(path, uid ?? same, gid ?? same);
    if (atime !== undefined || mtime !== undefined) {
      const omitted = { sec: 0, nsec: 0x3ffffffe };
      const [a, m] = [atime ?? omitted, mtime ?? omitted];
      libc.setTimes(path, [a.sec, a.nsec], [m.sec, m.nsec]);
    }
    return "";
  } catch (error) {
    if (error instanceof SystemError) return error.code;
    throw error;
  }
}

function stepOnFileSystem(fs: FileSystem, { file, change }: Step): string {
  return codeOf(() => setAttributes(fs, fileNamed(fs, file), change, ROOT));
}

function codeOf(act: () => void): string {
  try {
    act();
    return "";
  } catch (error) {
    if (error instanceof FsError) return error.code;
    throw error;
  }
}

function factsOf(fs: FileSystem, file: string): Record<string, unknown> {
  const inode = fileNamed(fs, file);
  const { mode, uid, gid, atime, mtime } = inode;
  // Reading and the making of the image set the others' times.
  const times = file === "file" ? { atime, mtime } : {};
  const capability = getXattr(fs, inode, bytes(CAPABILITY))?.toHex();
  return { mode: mode.toString(8), uid, gid, capability, ...times };
}

for (const inodeSize of [128, 256]) {
  Deno.test(`setAttributes does what the kernel's ext4 does, inodes of ${inodeSize}`, async () => {
    if (!requires("root", "loop", "e2fsprogs")) return;
    using folder = new TempDir();
    const image = await makeImage(folder, inodeSize);
    const theirs = folder.join("theirs");
    const dir = folder.mkdir("mnt");
    {
      await using _mount = await mountKernel(image, dir, "rw");
      for (const file of FILES) {
        if (file !== "folder") libc.setXattr(`${dir}/${file}`, CAPABILITY, CAP_NET_RAW);
        if (FLAGS[file] !== undefined) libc.setInodeFlags(`${dir}/${file}`, FLAGS[file]);
      }
    }
    await Deno.copyFile(image, theirs);
    // State is compared by what fuse4fs reads, after each number of steps.
    for (const count of [3, 8, 14, STEPS.length]) {
      const steps = STEPS.slice(0, count);
      let expected: string[];
      {
        await using _mount = await mountKernel(theirs, dir, "rw");
        expected = steps.map((step) => stepOnMount(dir, step));
      }
      using opened = openForWriting(image);
      const { fs } = opened;
      for (const [index, step] of steps.entries()) {
        assert.equal(stepOnFileSystem(fs, step), expected[index], JSON.stringify(step));
      }
      using reference = openForWriting(theirs);
      for (const file of FILES) {
        assert.deepEqual(factsOf(fs, file), factsOf(reference.fs, file), `${count}: ${file}`);
      }
      reference.fs.stopWriting();
      assert.equal(await complaintsAfter(fs, image), "");
    }
  });
}

Deno.test("setAttributes sets the time of change, to now or what it is told", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  using opened = openForWriting(await makeImage(folder, 256));
  const { fs } = opened;
  const inode = fileNamed(fs, "file");
  setAttributes(fs, inode, { mode: 0o600 }, ROOT);
  assert(inode.ctime.sec >= 1_700_000_000);
  const ctime = { sec: 77, nsec: 7 };
  setAttributes(fs, inode, { mtime: { sec: 1, nsec: 2 }, ctime }, ROOT);
  assert.deepEqual(inode.ctime, ctime);
});

Deno.test("setAttributes lets an append-only file be touched, an immutable one not", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  using opened = openForWriting(await makeImage(folder, 256));
  const { fs } = opened;
  const touch = { atime: { sec: 9, nsec: 9 }, isTouch: true };
  for (const file of ["immutable", "append"]) setFlag(fs, fileNamed(fs, file), FLAGS[file]);
  assert.equal(codeOf(() => setAttributes(fs, fileNamed(fs, "append"), touch, ROOT)), "");
  assert.equal(codeOf(() => setAttributes(fs, fileNamed(fs, "immutable"), touch, ROOT)), "EPERM");
});

Deno.test("setAttributes: chown by somebody outside the group takes set-group-ID away", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  using opened = openForWriting(await makeImage(folder, 256));
  const { fs } = opened;
  const inode = fileNamed(fs, "file");
  const modeAfter = (caller: { uid: number; gid: number }) => {
    setAttributes(fs, inode, { mode: 0o2767, uid: 1000, gid: 1000 }, ROOT);
    setAttributes(fs, inode, { gid: 2000 }, caller);
    return inode.mode & 0o7777;
  };
  assert.equal(modeAfter(ROOT), 0o2767);
  assert.equal(modeAfter({ uid: 1000, gid: 1000 }), 0o2767);
  assert.equal(modeAfter({ uid: 1000, gid: 2000 }), 0o767);
});

Deno.test("dropPrivileges takes capabilities away, and set-ID bits from those who may not keep them", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await makeImage(folder, 256);
  using opened = openForWriting(image);
  const { fs } = opened;
  const inode = fileNamed(fs, "file");
  setAttributes(fs, inode, { mode: 0o6755 }, ROOT);
  setXattr(fs, inode, bytes(CAPABILITY), CAP_NET_RAW, 0);
  assert.equal(dropPrivileges(fs, inode, undefined), true);
  assert.equal(getXattr(fs, inode, bytes(CAPABILITY)), undefined);
  assert.equal(inode.mode & 0o7777, 0o6755);
  assert.equal(dropPrivileges(fs, inode, undefined), false);
  assert.equal(dropPrivileges(fs, inode, inode), true);
  assert.equal(inode.mode & 0o7777, 0o755);
  assert.equal(dropPrivileges(fs, inode, inode), false);
  assert.equal(await complaintsAfter(fs, image), "");
});
