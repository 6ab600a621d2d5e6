/** What a mount decides when it opens a file system: whether it writes, and what it tells of. */

import assert from "node:assert/strict";
import { FileDevice } from "../src/block/file_device.ts";
import { makeTemporary } from "../src/ext4/directory/namespace.ts";
import { openFileSystem } from "../src/mount/open_file_system.ts";
import { parseMountOptions } from "../src/mount/options.ts";
import { corrupt } from "../src/sys/fs_error.ts";
import { S_IFREG } from "../src/sys/stat.ts";
import { openForWriting } from "./support/allocation.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

async function makeImage(folder: TempDir, ...args: string[]): Promise<string> {
  const image = folder.join("image");
  await run("mke2fs", ["-q", "-F", "-t", "ext4", "-b", "1024", ...args, image, "16M"]);
  return image;
}

/** Opens and closes an image as a mount does. */
function open(image: string, options: string): { isReadOnly: boolean; told: string } {
  const told: string[] = [];
  const note = (message: string) => void told.push(message);
  const fs = openFileSystem({
    device: FileDevice.open(image, { readOnly: false }),
    source: image,
    mountpoint: "/mnt",
    settings: parseMountOptions([options]),
    log: { error: note, warn: note, info: note, debug: () => {} },
  });
  const { isReadOnly } = fs;
  fs.stopWriting();
  fs.close();
  return { isReadOnly, told: told.join("\n") };
}

Deno.test("openFileSystem: errors of before are read-only, unless errors=continue asks for more", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await makeImage(folder);
  assert.deepEqual(open(image, "rw"), { isReadOnly: false, told: "" });
  {
    // The journal knows of it, and the superblock does not.
    using opened = openForWriting(image);
    opened.fs.change((handle) => opened.fs.modifyInode(handle, opened.fs.root));
    opened.fs.writing.transactions.abort(corrupt("something"));
  }
  const first = open(image, "errors=remount-ro");
  assert.ok(first.isReadOnly);
  assert.match(first.told, /an earlier mount ended with an error/);
  assert.match(first.told, /read-only: errors were found in it before/);
  const second = open(image, "rw");
  assert.ok(second.isReadOnly);
  assert.match(second.told, /\(with errors=continue it is writable all the same\)/);
  assert.equal(open(image, "errors=continue").isReadOnly, false);
  await run("e2fsck", ["-fy", image], { codes: [0, 1] });
  assert.deepEqual(open(image, "rw"), { isReadOnly: false, told: "" });
});

Deno.test("openFileSystem: quotas that cannot be kept up are read-only, limits that are none are told of", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const plain = await makeImage(folder);
  const old = open(plain, "usrjquota=aquota.user,jqfmt=vfsv0");
  assert.ok(old.isReadOnly);
  assert.match(old.told, /read-only: the quota files of usrjquota and grpjquota are not kept up/);
  assert.deepEqual(open(plain, "usrjquota=,noquota"), { isReadOnly: false, told: "" });
  const without = open(plain, "usrquota,prjquota");
  assert.ok(!without.isReadOnly);
  assert.match(without.told, /it has no quota of users and projects, so there are no limits/);

  const image = await makeImage(folder, "-O", "quota", "-E", "quotatype=usrquota");
  assert.deepEqual(open(image, "usrquota"), { isReadOnly: false, told: "" });
  assert.match(open(image, "grpquota").told, /it has no quota of groups/);
  const { stdout } = await run("debugfs", ["-R", "blocks <3>", image]);
  const bytes = Deno.readFileSync(image);
  bytes[Number(stdout.trim().split(" ")[0]) * 1024] ^= 1;
  Deno.writeFileSync(image, bytes);
  const damaged = open(image, "rw");
  assert.ok(damaged.isReadOnly);
  assert.match(
    damaged.told,
    /read-only: its quota cannot be kept up .*quota file of the users: magic/,
  );
});

Deno.test("openFileSystem: tells of a check that is due, and of what was cleaned up", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await makeImage(folder);
  await run("tune2fs", ["-c", "2", image]);
  assert.equal(open(image, "rw").told, "");
  assert.equal(open(image, "rw").told, "");
  assert.match(open(image, "rw").told, /it was mounted 2 times: e2fsck should check it/);
  await run("tune2fs", ["-c", "0", "-i", "1d", "-T", "20200101", image]);
  assert.match(open(image, "rw").told, /its last check was too long ago: e2fsck should check it/);
  await run("tune2fs", ["-i", "0", image]);
  {
    using opened = openForWriting(image);
    const { fs } = opened;
    const file = { mode: S_IFREG | 0o600, uid: 0, gid: 0, umask: 0 };
    for (let count = 0; count < 3; count++) makeTemporary(fs, fs.root, file);
    fs.writing.transactions.commit();
  }
  assert.match(open(image, "rw").told, /: 3 deleted or cut files cleaned up$/);
  await run("e2fsck", ["-fn", image]);
});
