/**
 * Quota limits: Debian's kernel in a virtual machine sets them and runs into them, fuse4fs runs into
 * them on a copy, at the same places; and the kernel frees the orphans that fuse4fs left.
 */

import assert from "node:assert/strict";
import { evict } from "../src/ext4/inode/evict.ts";
import { makeTemporary } from "../src/ext4/directory/namespace.ts";
import { writeFile } from "../src/ext4/content/write.ts";
import { S_IFREG } from "../src/sys/stat.ts";
import { openForWriting } from "./support/allocation.ts";
import { mountFuse4fs } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";
import { EXT4_MODULES, Vm } from "./support/vm.ts";

/** Sets limits of user 1000, group 2000 and project 3000, by quotactl(2) on a device. */
const SET_LIMITS = `
import ctypes, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
for kind, number, soft, hard, files in (0, 1000, 40, 56, 5), (1, 2000, 0, 200, 9), (2, 3000, 0, 60, 0):
    limits = struct.pack("<8QI4x", hard, soft, 0, files, 0, 0, 0, 0, 5)
    if libc.quotactl(0x80000800 | kind, sys.argv[1].encode(), number, limits) != 0:
        raise OSError(ctypes.get_errno(), "quotactl")
`;

/** What users do, and what they are told: a line for each step. */
const RUN_INTO_LIMITS = `
import errno, fcntl, os, struct, sys, time
# For small files, ext4 has a range of blocks for each processor: a file whose writer moves from one
# to another becomes many extents, and the block that lists them counts as well.
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.chdir(sys.argv[1])
os.mkdir("work")
os.chmod("work", 0o1777)
os.chdir("work")
os.umask(0)
def attempt(what, act, user=1000, group=2000):
    child = os.fork()
    if child == 0:
        os.setgroups([2000])
        os.setresgid(group, group, group)
        os.setresuid(user, user, user)
        word = "ok"
        try:
            act()
        except OSError as error:
            word = errno.errorcode[error.errno]
        print(user, what, word)
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(child, 0)
def create(name):
    os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
def append(name, count=1):
    file = os.open(name, os.O_WRONLY | os.O_APPEND)
    for number in range(count):
        print(number, end=" ")
        os.write(file, b"x" * 4096)
        os.fsync(file)
def set_project(name):
    file = os.open(name, os.O_RDONLY)
    fcntl.ioctl(file, 0x401c5820, struct.pack("<7I", 0, 0, 0, 3000, 0, 0, 0))
for number in range(7):
    attempt(f"create {number}", lambda: create(f"file{number}"))
attempt("append", lambda: append("file1", 24))
attempt("append", lambda: append("file1"))
attempt("cut", lambda: os.truncate("file1", 30000))
attempt("append", lambda: append("file1", 6), user=1001, group=1001)
attempt("append", lambda: append("file2", 9))
attempt("unlink", lambda: os.unlink("file2"))
# A server hears later that nobody has the file open.
time.sleep(1)
attempt("create", lambda: create("file2"))
attempt("mkdir", lambda: os.mkdir("folder"))
attempt("symlink", lambda: os.symlink("x" * 200, "link"))
for number in range(6):
    attempt(f"create other {number}", lambda: create(f"other{number}"), user=1001)
for number in range(70):
    create(f"root{number}")
    attempt(f"append {number}", lambda: append(f"root{number}"), user=0, group=0)
attempt("chown", lambda: [os.chown(f"root{number}", 1000, 2000) for number in range(20)], user=0, group=0)
attempt("append", lambda: append("file3"))
attempt("project", lambda: [set_project(f"root{number}") for number in range(40, 55)], user=0, group=0)
attempt("chown", lambda: os.chown("root40", 1002, 1002), user=0, group=0)
attempt("append to project", lambda: append("root40", 3), user=1002)
attempt("chgrp", lambda: os.chown("other0", -1, 2000), user=1001)
os.sync()
`;

Deno.test("quota limits: fuse4fs and the kernel in the virtual machine refuse the same", async () => {
  if (!requires("root", "fuse", "e2fsprogs", "executable", "python3")) return;
  const vm = await Vm.prepare();
  if (vm === undefined) return;
  using folder = new TempDir();
  const [byKernel, byFuse4fs, left] = ["kernel", "fuse4fs", "left"].map((name) =>
    folder.join(`${name}.img`)
  );
  await run("mke2fs", [
    ...["-q", "-F", "-t", "ext4", "-b", "4096", "-O", "quota,project"],
    ...["-E", "quotatype=usrquota:grpquota:prjquota", byKernel, "64M"],
  ]);
  Deno.copyFileSync(byKernel, left);
  leaveOrphans(left);
  const [setLimits, steps] = ["limits.py", "steps.py"].map((name) => folder.join(name));
  Deno.writeTextFileSync(setLimits, SET_LIMITS);
  Deno.writeTextFileSync(steps, RUN_INTO_LIMITS);

  const options = "usrquota,grpquota,prjquota";
  Deno.writeFileSync(byFuse4fs, new Uint8Array());
  Deno.truncateSync(byFuse4fs, Deno.statSync(byKernel).size);
  const kernel = await vm.run(
    `set -e
    mkdir /mnt/a /mnt/b
    mount -t ext4 -o ${options} /dev/vda /mnt/a
    python3 ${setLimits} /dev/vda
    umount /mnt/a
    cat /dev/vda >/dev/vdc
    mount -t ext4 -o ${options} /dev/vda /mnt/a
    python3 ${steps} /mnt/a
    umount /mnt/a
    mount -t ext4 /dev/vdb /mnt/b
    umount /mnt/b`,
    { modules: EXT4_MODULES, disks: [byKernel, left, byFuse4fs] },
  );
  assert.equal(kernel.code, 0, kernel.console);

  let ours: string;
  {
    await using mount = await mountFuse4fs(byFuse4fs, folder.mkdir("mnt"), `kernel,${options}`);
    ours = (await run("python3", [steps, mount.dir])).stdout;
  }
  assert.match(kernel.stdout, /EDQUOT/);
  assert.equal(ours, kernel.stdout);
  for (const type of ["user", "group", "project"]) {
    const list = async (image: string) =>
      (await run("debugfs", ["-R", `list_quota ${type}`, image])).stdout;
    assert.equal(await list(byFuse4fs), await list(byKernel));
  }
  for (const image of [byKernel, byFuse4fs, left]) await run("e2fsck", ["-fn", image]);
});

/** As a crash leaves them: files without names, of users whom they are charged to. */
function leaveOrphans(image: string): void {
  using opened = openForWriting(image);
  const { fs } = opened;
  for (let number = 0; number < 40; number++) {
    const owner = { uid: 1000 + number % 3, gid: 2000, umask: 0 };
    const inode = makeTemporary(fs, fs.root, { mode: S_IFREG | 0o600, ...owner });
    writeFile(fs, inode, number * 10_000, new Uint8Array(30_000).fill(1));
    if (number % 7 === 0) evict(fs, inode);
  }
  fs.writing.transactions.commit();
}
