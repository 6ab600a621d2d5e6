/**
 * Attributes, ACLs, permissions and owners on a mount, where the kernel asks in its own way: as on
 * the kernel's ext4.
 */

import assert from "node:assert/strict";
import { mountFuse4fs, mountKernel } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

/** Prints all that it can find out. What the kernel opens without asking is not told by touch(1). */
const SCRIPT = String.raw`
cd $1
umask 027
mkdir d
setfacl -d -m u:1000:rwx,g:50:r-x,o::r-- d
mkdir d/sub
touch d/f
mkfifo d/p
ln -s f d/l
mkdir -m 700 d/sub2
umask 0
touch d/f0
mkdir d/sub3 plain
touch plain/x

chmod 640 d/f
chmod 2755 d/sub
setfacl -m u:7:r d/f0
setfacl -x u:7 d/f0
setfacl -b d/sub3
setfacl -m m::x d/f0
setfacl -k d/sub2
touch d/sub2/y
setfacl -m u::rw,g::r,o::- plain/x
setfacl -d -m u::rwx plain
setfacl -d -m u::rwx plain/x
chmod g-w plain

chown 5:6 d/f
chmod 6755 d/f0
chown 7 d/f0

setfattr -n user.a -v b d/f
setfattr -n trusted.t -v x -h d/l
setfattr -x user.nothing d/f
setfattr -n user. -v x d/f
setfattr -n foo.x -v x d/f
setfattr -n system.x -v x d/f
setfattr -n user.x -v x -h d/l
setfattr -n user.y -v x d/p
python3 - <<END
import os
def attempt(what, act):
    try:
        act()
        print(what, "done")
    except OSError as error:
        print(what, error.errno)
for flags, name in (1, "a"), (2, "zz"), (1, "c"), (2, "c"):
    attempt((flags, name), lambda: os.setxattr("d/f", "user." + name, b"v", flags))
for size in 3000, 65536, 65537:
    attempt(size, lambda: os.setxattr("d/f", "user.s", b"v" * size))
for length in 250, 251:
    attempt(length, lambda: os.setxattr("d/f", "user." + "n" * length, b"v"))
END

touch imm app
chattr +i imm
chattr +a app
setfattr -n user.a -v b imm
setfattr -n user.a -v b app
setfacl -m u:1:r imm
chmod 600 imm
chown 1 app
touch imm 2>/dev/null || echo "touch failed"
touch app 2>/dev/null || echo "touch failed"
touch -d 2001-01-01 app 2>/dev/null || echo "touch failed"
echo x >> app
chattr -i imm
chattr -a app

for file in written cut given kept emptied grown copied; do
  touch $file
  setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 $file
done
echo x >> written
truncate -s 5 cut
chown 1 given
chmod 4755 kept
: > emptied
fallocate -l 20000 grown
python3 - <<END
import os
source = os.open("written", os.O_RDONLY)
target = os.open("copied", os.O_WRONLY)
os.copy_file_range(source, target, 1)
END

mkdir group.d
touch group.f
chown 1000:50 group.*
chmod 2755 group.*
as_owner="setpriv --reuid=1000 --regid=1000 --clear-groups"
$as_owner setfacl -d -m u:5:r group.d
stat -c %a group.d
$as_owner setfacl -m u:5:r group.*

getfacl -RPn .
getfattr -dRPhm - .
stat -c '%n %a %u %g %b' d/* plain/* imm app kept given group.*
`;

const LAYOUTS: Readonly<Record<string, readonly string[]>> = {
  "inodes of 128 bytes": ["-t", "ext4", "-I", "128", "-b", "1024"],
  "inline data and ea_inode": ["-t", "ext4", "-O", "inline_data,ea_inode"],
};

for (const [layout, mke2fs] of Object.entries(LAYOUTS)) {
  Deno.test(`mount: attributes and ACLs are as with the kernel's ext4: ${layout}`, async () => {
    if (!requires("root", "fuse", "loop", "e2fsprogs", "acl", "python3", "executable")) return;
    using folder = new TempDir();
    const image = folder.join("image");
    const theirs = folder.join("theirs");
    const dir = folder.mkdir("mnt");
    await run("mke2fs", ["-q", ...mke2fs, image, "96M"]);
    await Deno.copyFile(image, theirs);
    const play = async () => {
      const { stdout, stderr } = await run("bash", ["-c", SCRIPT, "bash", dir]);
      return stdout + stderr;
    };
    let expected: string;
    {
      await using _kernel = await mountKernel(theirs, dir, "acl,user_xattr");
      expected = await play();
    }
    {
      await using _fuse = await mountFuse4fs(image, dir, "allow_other");
      assert.equal(await play(), expected);
    }
    await run("e2fsck", ["-fn", image]);
  });
}
