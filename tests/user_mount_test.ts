/**
 * Mounting as an ordinary user, through fusermount3: in a mount namespace with a /dev/fuse that
 * everybody may open, whatever this machine's own one allows.
 */

import assert from "node:assert/strict";
import { FUSE4FS } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

/** nobody: fusermount3 wants a user that has a name. */
const USER = "65534";
const NEEDS = ["root", "fuse", "executable", "e2fsprogs"] as const;

/** Runs a shell script in a namespace of its own; `$U` runs a command as the user. */
async function inNamespace(folder: TempDir, script: string): Promise<string> {
  const prepare = [
    "set -e",
    `mknod "$1/fuse" c 10 229; chmod 666 "$1/fuse"; mount --bind "$1/fuse" /dev/fuse`,
    `U="setpriv --reuid=${USER} --regid=${USER} --clear-groups"`,
  ].join("\n");
  const arguments_ = ["-m", "sh", "-c", `${prepare}\n${script}`, "sh", folder.path, FUSE4FS];
  return (await run("unshare", arguments_)).stdout;
}

async function imageOfUser(folder: TempDir): Promise<void> {
  const source = folder.mkdir("source");
  Deno.writeTextFileSync(`${source}/file`, "for the user\n");
  await run("mke2fs", ["-q", "-F", "-t", "ext4", "-d", source, folder.join("image"), "16M"]);
  folder.mkdir("mnt");
  await run("chown", ["-R", `${USER}:${USER}`, folder.path]);
}

Deno.test("mount: an ordinary user mounts his image for himself", async () => {
  if (!requires(...NEEDS)) return;
  using folder = new TempDir();
  await imageOfUser(folder);
  const output = await inNamespace(
    folder,
    `$U "$2" "$1/image" "$1/mnt" -o ro
     $U cat "$1/mnt/file"
     grep " $1/mnt " /proc/mounts
     ls "$1/mnt" 2>/dev/null || echo not for others
     $U "$2" umount "$1/mnt"
     grep " $1/mnt " /proc/mounts || echo gone`,
  );
  const [content, mount, others, gone] = output.trimEnd().split("\n");
  assert.equal(content, "for the user");
  assert.match(mount, new RegExp(`fuse\\.fuse4fs .*nosuid,nodev.*user_id=${USER}`));
  assert.equal(others, "not for others");
  assert.equal(gone, "gone");
});

Deno.test("mount: with fakeroot the user's files look like root's", async () => {
  if (!requires(...NEEDS)) return;
  using folder = new TempDir();
  await imageOfUser(folder);
  const output = await inNamespace(
    folder,
    `$U "$2" "$1/image" "$1/mnt" -o ro,fakeroot
     $U stat -c "%u %g" "$1/mnt/file"
     $U fusermount3 -u "$1/mnt"`,
  );
  assert.equal(output, "0 0\n");
});
