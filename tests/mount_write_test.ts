/**
 * Mounts that write: what they leave on the image, at an unmount, a signal and a kill; who else may
 * have the image; and what damage does.
 */

import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import { mountAt } from "../src/mount/mountinfo.ts";
import { fuse4fs } from "./support/command_line.ts";
import { attachLoop, FUSE4FS, mounted, mountKernel } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { run, type RunResult, TempDir } from "./support/run.ts";
import { serverOf } from "./support/server_of.ts";
import { waitUntil } from "./support/wait.ts";

const NEEDS = ["root", "fuse", "e2fsprogs", "executable"] as const;

/** A folder with an image and a place to mount it; unmounts whatever is left at the end. */
class Bench implements AsyncDisposable {
  readonly folder = new TempDir();
  readonly image = this.folder.join("image.img");
  readonly dir = this.folder.mkdir("mnt");

  static async open(...mke2fs: string[]): Promise<Bench> {
    const bench = new Bench();
    const args = mke2fs.length === 0 ? ["-t", "ext4"] : mke2fs;
    await run("mke2fs", ["-q", "-F", ...args, bench.image, "32M"]);
    return bench;
  }

  path(name: string): string {
    return `${this.dir}/${name}`;
  }

  async mount(...args: string[]): Promise<RunResult> {
    return await fuse4fs([this.image, this.dir, ...args], { codes: [0] });
  }

  async umount(): Promise<void> {
    await fuse4fs(["umount", this.dir], { codes: [0] });
  }

  /** The server, which holds a lock on the image. */
  get pid(): number {
    const pid = serverOf(this.image);
    if (pid === undefined) throw new Error("nobody holds the image");
    return pid;
  }

  async check(): Promise<void> {
    await run("e2fsck", ["-f", "-n", this.image]);
  }

  /** The image's superblock as dumpe2fs prints it. */
  async superblock(): Promise<string> {
    return (await run("dumpe2fs", ["-h", this.image])).stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    while (mountAt(this.dir) !== undefined) await run("umount", ["-l", this.dir]);
    this.folder[Symbol.dispose]();
  }
}

/** A process whose parent has not asked for it yet is there, as a zombie, and so are its threads. */
function hasEnded(pid: number): boolean {
  try {
    return [...Deno.readDirSync(`/proc/${pid}/task`)].every(({ name }) =>
      /^State:\s+Z/m.test(Deno.readTextFileSync(`/proc/${pid}/task/${name}/status`))
    );
  } catch {
    return true;
  }
}

/** The children of a process, by what they were started with. */
function childrenOf(pid: number): string[] {
  return [...Deno.readDirSync("/proc")].flatMap(({ name }) => {
    try {
      const parent = Number(
        /^PPid:\s+(\d+)/m.exec(Deno.readTextFileSync(`/proc/${name}/status`))?.[1],
      );
      return parent === pid ? [Deno.readTextFileSync(`/proc/${name}/cmdline`)] : [];
    } catch {
      return [];
    }
  });
}

Deno.test("mount: writable by default; umount leaves a clean image with everything in it", async () => {
  if (!requires(...NEEDS)) return;
  for (const kind of [["-t", "ext4"], ["-t", "ext3"], ["-t", "ext2"]]) {
    await using bench = await Bench.open(...kind);
    const { stderr } = await bench.mount();
    assert.equal(stderr, "");
    assert.ok(mounted(bench.dir).options.includes("rw"));
    const content = crypto.getRandomValues(new Uint8Array(60_000));
    Deno.mkdirSync(bench.path("a/b/c"), { recursive: true });
    Deno.writeFileSync(bench.path("a/b/c/file"), content);
    Deno.symlinkSync("b/c/file", bench.path("a/link"));
    await run("cp", ["-a", bench.path("a"), bench.path("copy")]);
    await run("rm", ["-r", bench.path("a")]);
    await bench.umount();
    await bench.check();
    const facts = await bench.superblock();
    assert.match(facts, /^Filesystem state:\s+clean$/m);
    assert.doesNotMatch(facts, /needs_recovery/);
    await using kernel = await mountKernel(bench.image, bench.dir, "ro,noload");
    assert.deepEqual(Deno.readFileSync(`${kernel.dir}/copy/link`), content);
    assert.deepEqual([...Deno.readDirSync(kernel.dir)].map(({ name }) => name).sort(), [
      "copy",
      "lost+found",
    ]);
  }
});

Deno.test("mount: what was synced outlives kill -9, by file and by folder", async () => {
  if (!requires(...NEEDS, "python3")) return;
  await using bench = await Bench.open();
  await bench.mount("-o", "commit=1000");
  await run("python3", [
    "-c",
    `import os, sys
os.chdir(sys.argv[1])
file = os.open("file", os.O_CREAT | os.O_RDWR)
os.write(file, b"content of the file")
os.fsync(file)
os.mkdir("folder")
os.rename("file", "folder/renamed")
os.fsync(os.open(".", os.O_RDONLY))
os.mkdir("lost")
`,
    bench.dir,
  ]);
  const { pid } = bench;
  Deno.kill(pid, "SIGKILL");
  await waitUntil(() => hasEnded(pid), "the server ended");
  await run("umount", ["-l", bench.dir]);
  const { stderr } = await bench.mount();
  assert.match(stderr, /^fuse4fs: [^\n]*: replayed \d+ transactions [^\n]*\n$/);
  assert.equal(Deno.readTextFileSync(bench.path("folder/renamed")), "content of the file");
  assert.throws(() => Deno.statSync(bench.path("lost")), Deno.errors.NotFound);
  await bench.umount();
  await bench.check();
});

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.test(`mount: ${signal} writes everything, also what the kernel still has`, async () => {
    if (!requires(...NEEDS)) return;
    await using bench = await Bench.open();
    await bench.mount("-o", "commit=1000");
    using file = Deno.openSync(bench.path("open"), { create: true, write: true });
    file.writeSync(new TextEncoder().encode("never closed"));
    Deno.writeTextFileSync(bench.path("closed"), "closed");
    const { pid } = bench;
    Deno.kill(pid, signal);
    await waitUntil(() => hasEnded(pid), "the server ended");
    assert.equal(mountAt(bench.dir), undefined);
    await bench.check();
    await using kernel = await mountKernel(bench.image, bench.dir, "ro,noload");
    assert.equal(Deno.readTextFileSync(`${kernel.dir}/open`), "never closed");
    assert.equal(Deno.readTextFileSync(`${kernel.dir}/closed`), "closed");
  });
}

Deno.test("mount: a server that is killed while it ends leaves nothing behind", async () => {
  if (!requires(...NEEDS)) return;
  for (let round = 0; round < 3; round++) {
    await using bench = await Bench.open();
    await bench.mount("-o", "commit=1000");
    using file = Deno.openSync(bench.path("file"), { create: true, write: true });
    file.writeSync(new Uint8Array(24 << 20));
    const { pid } = bench;
    Deno.kill(pid, "SIGTERM");
    await waitUntil(
      () => hasEnded(pid) || childrenOf(pid).some((words) => words.includes("\0sync\0")),
      "somebody syncs",
    );
    Deno.kill(pid, "SIGKILL");
    await waitUntil(() => hasEnded(pid), "the server ended");
  }
});

Deno.test("sync: what was written to an image is durable when it returns", async () => {
  if (!requires(...NEEDS)) return;
  await using bench = await Bench.open();
  await bench.mount("-o", "commit=1000");
  using file = Deno.openSync(bench.path("open"), { create: true, write: true });
  file.writeSync(new TextEncoder().encode("never closed"));
  await fuse4fs(["sync", bench.dir], { codes: [0] });
  const copy = bench.folder.join("copy.img");
  Deno.copyFileSync(bench.image, copy);
  assert.equal((await fuse4fs(["cat", copy, "/open"])).stdout, "never closed");
  const nothing = await fuse4fs(["sync", bench.folder.join("mnt2")]);
  assert.equal(nothing.code, 32);
  assert.match(nothing.stderr, /is not mounted/);
});

Deno.test("mount: umount(8) returns before the server has ended, which writes all the same", async () => {
  if (!requires(...NEEDS)) return;
  await using bench = await Bench.open();
  await bench.mount("-o", "commit=1000");
  Deno.writeTextFileSync(bench.path("file"), "content");
  const { pid } = bench;
  await run("umount", [bench.dir]);
  await waitUntil(() => hasEnded(pid), "the server ended");
  await bench.check();
  assert.match(await bench.superblock(), /^Filesystem state:\s+clean$/m);
});

Deno.test("mount: commits after commit= seconds without being asked", async () => {
  if (!requires(...NEEDS)) return;
  await using bench = await Bench.open();
  await bench.mount("-o", "commit=1");
  Deno.writeTextFileSync(bench.path("file"), "content");
  const copy = bench.folder.join("copy.img");
  await waitUntil(async () => {
    Deno.copyFileSync(bench.image, copy);
    return (await fuse4fs(["cat", copy, "/file"])).stdout === "content";
  }, "it is in the image");
  const { pid } = bench;
  Deno.kill(pid, "SIGKILL");
  await waitUntil(() => hasEnded(pid), "the server ended");
  await run("umount", ["-l", bench.dir]);
  await bench.mount();
  assert.equal(Deno.readTextFileSync(bench.path("file")), "content");
});

for (const options of ["sync", "dirsync"]) {
  Deno.test(`mount -o ${options}: changes of folders are durable at once`, async () => {
    if (!requires(...NEEDS)) return;
    await using bench = await Bench.open();
    await bench.mount("-o", `${options},commit=1000`);
    Deno.mkdirSync(bench.path("made"));
    Deno.renameSync(bench.path("made"), bench.path("renamed"));
    if (options === "sync") Deno.writeTextFileSync(bench.path("file"), "content");
    const { pid } = bench;
    Deno.kill(pid, "SIGKILL");
    await waitUntil(() => hasEnded(pid), "the server ended");
    await run("umount", ["-l", bench.dir]);
    await bench.mount();
    assert.ok(Deno.statSync(bench.path("renamed")).isDirectory);
    if (options === "sync") {
      assert.equal(Deno.readTextFileSync(bench.path("file")), "content");
    }
  });
}

Deno.test("mount: an image that cannot be written to is mounted read-only, with the reason", async () => {
  if (!requires(...NEEDS, "loop")) return;
  await using bench = await Bench.open();
  {
    await using loop = await attachLoop(bench.image, ["--read-only"]);
    const { stderr } = await fuse4fs([loop.path, bench.dir], { codes: [0] });
    assert.match(stderr, /cannot be opened for writing: mounting read-only/);
    assert.ok(mounted(bench.dir).options.includes("ro"));
    await bench.umount();
  }
  await run("debugfs", ["-w", "-R", "ssv state 2", bench.image]);
  const { stderr } = await bench.mount();
  assert.match(stderr, /read-only: errors were found in it before/);
  assert.ok(mounted(bench.dir).options.includes("ro"));
  assert.throws(() => Deno.mkdirSync(bench.path("x")), /os error 30/);
  await bench.umount();
  await bench.mount("-o", "errors=continue");
  Deno.mkdirSync(bench.path("x"));
  await bench.umount();
  await run("e2fsck", ["-f", "-y", bench.image], { codes: [0, 1] });
});

Deno.test("mount: a second writer is refused, whoever the first one is", async () => {
  if (!requires(...NEEDS, "loop")) return;
  await using bench = await Bench.open();
  const second = bench.folder.mkdir("second");
  {
    await bench.mount();
    const { code, stderr } = await fuse4fs([bench.image, second]);
    assert.equal(code, 32);
    assert.match(stderr, new RegExp(`already mounted on ${bench.dir} .*read-write`));
    await bench.umount();
  }
  {
    await using _kernel = await mountKernel(bench.image, second, "rw");
    const { code, stderr } = await fuse4fs([bench.image, bench.dir]);
    assert.equal(code, 32);
    assert.match(stderr, new RegExp(`already mounted on ${second} \\(ext4, read-write\\)`));
  }
  {
    // Mounts of another namespace are not to be seen, but their locks are.
    await using loop = await attachLoop(bench.image);
    const hidden = new Deno.Command("unshare", {
      args: ["--mount", FUSE4FS, bench.image, second, "-f"],
      ...{ stdout: "null", stderr: "null", stdin: "null" },
    }).spawn();
    await waitUntil(() => serverOf(bench.image) !== undefined, "the image is held");
    const { code, stderr } = await fuse4fs([bench.image, bench.dir]);
    assert.equal(code, 32);
    assert.match(stderr, /another server has it mounted/);
    hidden.kill("SIGTERM");
    await hidden.status;
    assert.ok(loop.path.startsWith("/dev/loop"));
  }
});

Deno.test("mount: a second writer is refused, whichever way it comes to the image", async () => {
  if (!requires(...NEEDS, "loop")) return;
  await using bench = await Bench.open();
  const second = bench.folder.mkdir("second");
  await using one = await attachLoop(bench.image);
  await using other = await attachLoop(bench.image);
  const refused = async (path: string) => {
    const { code, stderr } = await fuse4fs([path, second]);
    assert.equal(code, 32, path);
    assert.match(stderr, new RegExp(`already mounted on ${bench.dir} `), path);
  };
  await bench.mount();
  await refused(one.path);
  await bench.umount();
  for (const option of ["blkdev", "noblkdev"]) {
    await fuse4fs([one.path, bench.dir, "-o", option], { codes: [0] });
    await refused(bench.image);
    await refused(other.path);
    await bench.umount();
  }
  await using _kernel = await mountKernel(one.path, bench.dir, "rw");
  await refused(bench.image);
  await refused(other.path);
});

for (const [option, type] of [["blkdev", "fuseblk.fuse4fs"], ["noblkdev", "fuse.fuse4fs"]]) {
  Deno.test(`mount -o ${option}: a block device is ours alone`, async () => {
    if (!requires(...NEEDS, "loop")) return;
    await using bench = await Bench.open();
    await using loop = await attachLoop(bench.image);
    await fuse4fs([loop.path, bench.dir, "-o", option], { codes: [0] });
    assert.equal(mounted(bench.dir).type, type);
    Deno.writeTextFileSync(bench.path("file"), "content");
    const other = bench.folder.mkdir("other");
    const kernel = await run("mount", ["-t", "ext4", loop.path, other], { codes: [32] });
    assert.match(kernel.stderr, /already mounted|busy/);
    await bench.umount();
    await bench.check();
  });
}

Deno.test("mount: of a block device, sync(2) and umount(8) wait until all is written", async () => {
  if (!requires(...NEEDS, "loop")) return;
  await using bench = await Bench.open();
  await using loop = await attachLoop(bench.image);
  await fuse4fs([loop.path, bench.dir, "-o", "commit=1000"], { codes: [0] });
  assert.equal(mounted(bench.dir).type, "fuseblk.fuse4fs");
  Deno.writeTextFileSync(bench.path("file"), "content");
  await run("umount", [bench.dir]);
  await run("e2fsck", ["-f", "-n", loop.path]);
  assert.match(await bench.superblock(), /^Filesystem state:\s+clean$/m);
});

Deno.test("a file without a name lives as long as it is open, and no longer", async () => {
  if (!requires(...NEEDS)) return;
  await using bench = await Bench.open();
  await bench.mount();
  const free = () => fuse4fsFree(bench.dir);
  Deno.writeTextFileSync(bench.path("other"), "x");
  const before = await free();
  {
    using file = Deno.openSync(bench.path("file"), { create: true, read: true, write: true });
    file.writeSync(new Uint8Array(1 << 20).fill(7));
    file.syncSync();
    Deno.removeSync(bench.path("file"));
    assert.ok((await free()).blocks < before.blocks);
    file.seekSync(1000, Deno.SeekMode.Start);
    const bytes = new Uint8Array(10);
    assert.equal(file.readSync(bytes), 10);
    assert.deepEqual(bytes, new Uint8Array(10).fill(7));
  }
  // The kernel tells later that nobody has it open.
  await waitUntil(async () => isDeepStrictEqual(await free(), before), "its space is free");
  // One that is open to the end of the mount is freed with it.
  const last = Deno.openSync(bench.path("last"), { create: true, write: true });
  last.writeSync(new Uint8Array(5000));
  Deno.removeSync(bench.path("last"));
  const { pid } = bench;
  Deno.kill(pid, "SIGTERM");
  await waitUntil(() => hasEnded(pid), "the server ended");
  last.close();
  await bench.check();
});

async function fuse4fsFree(dir: string): Promise<{ blocks: number; inodes: number }> {
  const { stdout } = await run("stat", ["-f", "-c", "%f %d", dir]);
  const [blocks, inodes] = stdout.split(" ").map(Number);
  return { blocks, inodes };
}

Deno.test("ENOSPC: told by write, fsync and close, and the file system is whole", async () => {
  if (!requires(...NEEDS)) return;
  await using bench = await Bench.open();
  await bench.mount();
  // Without an end of its own: it has to be told.
  const { stderr } = await run("timeout", [
    ...["60", "dd", "if=/dev/zero", `of=${bench.path("large")}`, "bs=1M", "conv=fsync"],
  ], { codes: [1] });
  assert.match(stderr, /error writing .*No space left on device/);
  Deno.removeSync(bench.path("large"));
  await run("sync", [bench.dir]);
  Deno.writeFileSync(bench.path("small"), new Uint8Array(1 << 20));
  await bench.umount();
  await bench.check();
});

Deno.test("ENOSPC: told by fsync, and not again once there is room", async () => {
  if (!requires(...NEEDS, "python3")) return;
  await using bench = await Bench.open();
  await bench.mount();
  const program = `
import errno, os, sys
os.chdir(sys.argv[1])
def attempt(act):
    try:
        act()
        print("ok")
    except OSError as error:
        print(errno.errorcode[error.errno])
def take(name):
    taken = os.open(name, os.O_CREAT | os.O_WRONLY)
    os.posix_fallocate(taken, 0, 10 << 20)
    os.close(taken)
take("first")
take("second")
file = os.open("file", os.O_CREAT | os.O_WRONLY)
for make_room in (lambda: os.unlink("first"), lambda: os.truncate("second", 0)):
    os.pwrite(file, bytes(12 << 20), os.fstat(file).st_size)
    attempt(lambda: os.fsync(file))
    make_room()
    attempt(lambda: os.pwrite(file, b"x", 0))
    attempt(lambda: os.fsync(file))
`;
  const { stdout } = await run("python3", ["-c", program, bench.dir]);
  assert.equal(stdout, "ENOSPC\nok\nok\nENOSPC\nok\nok\n");
  await bench.umount();
  await bench.check();
});

Deno.test("mount -o remount,ro lets nobody write, until remount,rw", async () => {
  if (!requires(...NEEDS)) return;
  await using bench = await Bench.open();
  await bench.mount();
  Deno.writeTextFileSync(bench.path("file"), "content");
  await bench.mount("-o", "remount,ro,nodev");
  assert.throws(() => Deno.mkdirSync(bench.path("folder")), /os error 30/);
  assert.equal(Deno.readTextFileSync(bench.path("file")), "content");
  await bench.mount("-o", "remount,rw");
  Deno.mkdirSync(bench.path("folder"));
  await bench.umount();
  const { code, stderr } = await fuse4fs([bench.image, bench.dir, "-o", "remount,ro"]);
  assert.equal(code, 32);
  assert.match(stderr, /Cannot remount/);
});

/** Makes a folder's block hold nonsense, in an image that is not mounted. */
async function damageFolder(bench: Bench, name: string): Promise<void> {
  const { stdout } = await run("debugfs", ["-R", `blocks /${name}`, bench.image]);
  using image = Deno.openSync(bench.image, { write: true });
  image.seekSync(Number(stdout.trim().split(" ")[0]) * 4096, Deno.SeekMode.Start);
  image.writeSync(new Uint8Array(4096).fill(0xee));
}

/** An image of blocks of 4 KiB with a folder that is damaged. */
async function damagedBench(): Promise<Bench> {
  const bench = await Bench.open("-t", "ext4", "-b", "4096");
  const commands = bench.folder.join("commands");
  Deno.writeTextFileSync(commands, "mkdir /bad\n");
  await run("debugfs", ["-w", "-f", commands, bench.image]);
  await damageFolder(bench, "bad");
  return bench;
}

Deno.test("errors=continue: damage is recorded in the superblock, and writing goes on", async () => {
  if (!requires(...NEEDS)) return;
  await using bench = await damagedBench();
  await bench.mount("-o", "errors=continue");
  assert.throws(() => Deno.statSync(bench.path("bad/file")));
  Deno.mkdirSync(bench.path("good"));
  await bench.umount();
  const facts = await bench.superblock();
  assert.match(facts, /^Filesystem state:\s+(clean )?with errors$/m);
  assert.match(facts, /^FS Error count:\s+[1-9]/m);
  await run("e2fsck", ["-f", "-y", bench.image], { codes: [1] });
});

Deno.test("errors=remount-ro: after damage nothing is written any more, but read", async () => {
  if (!requires(...NEEDS)) return;
  await using bench = await damagedBench();
  await bench.mount("-o", "errors=remount-ro");
  Deno.mkdirSync(bench.path("before"));
  assert.throws(() => Deno.statSync(bench.path("bad/file")));
  assert.throws(() => Deno.mkdirSync(bench.path("after")), /os error 30/);
  assert.ok(Deno.statSync(bench.path("before")).isDirectory);
  await bench.umount();
  assert.match(await bench.superblock(), /^FS Error count:\s+[1-9]/m);
  await run("e2fsck", ["-f", "-y", bench.image], { codes: [1] });
});

Deno.test("errors=panic: damage ends the server, with a message and a code", async () => {
  if (!requires(...NEEDS)) return;
  await using bench = await damagedBench();
  const server = new Deno.Command(FUSE4FS, {
    args: [bench.image, bench.dir, "-f", "-o", "errors=panic"],
    ...{ stdin: "null", stdout: "null", stderr: "piped" },
  }).spawn();
  await waitUntil(() => mountAt(bench.dir) !== undefined, "the mount came");
  assert.throws(() => Deno.statSync(bench.path("bad/file")));
  const { code, stderr } = await server.output();
  assert.equal(code, 32);
  assert.match(new TextDecoder().decode(stderr), /ended because of damage \(errors=panic\)/);
  assert.equal(mountAt(bench.dir), undefined);
});

/** Prints the permissions of a file after each thing that may take set-ID bits from it. */
const SET_ID_SCRIPT = `
import os, sys, subprocess
os.chdir(sys.argv[1])
OWNER, OTHER = 1000, 1001

def attempt(mode, what, act, uid=OWNER, groups=()):
    file = os.open("file", os.O_CREAT | os.O_TRUNC | os.O_RDWR)
    os.write(file, b"content" * 1000)
    os.close(file)
    os.chown("file", OWNER, OWNER)
    os.chmod("file", mode)
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(groups)
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            act()
        except OSError as error:
            print(what, "failed with", error.errno)
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(child, 0)
    print(what, oct(mode), "by", uid, "->", oct(os.stat("file").st_mode & 0o7777))
    sys.stdout.flush()

def write(flags=0):
    file = os.open("file", os.O_WRONLY | flags)
    os.write(file, b"x")
    os.close(file)

def allocate():
    file = os.open("file", os.O_WRONLY)
    os.posix_fallocate(file, 0, 20000)
    os.close(file)

def copy():
    file = os.open("file", os.O_RDWR)
    os.copy_file_range(file, file, 10, 0, 5000)
    os.close(file)

for mode in 0o6777, 0o2767, 0o4777:
    for uid in 0, OWNER, OTHER:
        attempt(mode, "write", write, uid)
        attempt(mode, "append", lambda: write(os.O_APPEND), uid)
        attempt(mode, "open and truncate", lambda: write(os.O_TRUNC), uid)
        attempt(mode, "truncate", lambda: os.truncate("file", 3), uid)
        attempt(mode, "fallocate", allocate, uid)
        attempt(mode, "copy_file_range", copy, uid)
    attempt(mode, "chown", lambda: os.chown("file", OTHER, -1), 0)
    attempt(mode, "chgrp", lambda: os.chown("file", -1, OTHER), 0)
    attempt(mode, "chgrp", lambda: os.chown("file", -1, 2000), OWNER, (2000,))
    attempt(mode, "chown to nobody", lambda: os.chown("file", -1, -1), 0)
    attempt(mode, "chown to nobody", lambda: os.chown("file", -1, -1), OWNER)
    attempt(mode, "utime", lambda: os.utime("file"), OWNER)
    attempt(mode, "chmod", lambda: os.chmod("file", 0o6755), OWNER)
os.chown("file", OWNER, 2000)
`;

Deno.test("set-user-ID and set-group-ID bits go as with the kernel's ext4", async () => {
  if (!requires(...NEEDS, "loop", "python3")) return;
  await using bench = await Bench.open();
  const play = async (dir: string) => {
    Deno.chmodSync(dir, 0o777);
    return (await run("python3", ["-c", SET_ID_SCRIPT, dir])).stdout;
  };
  let expected: string;
  {
    await using kernel = await mountKernel(bench.image, bench.dir, "rw");
    expected = await play(kernel.dir);
    Deno.removeSync(`${kernel.dir}/file`);
  }
  Deno.chmodSync(bench.folder.path, 0o755);
  await bench.mount("-o", "allow_other");
  assert.equal(await play(bench.dir), expected);
  await bench.umount();
  await bench.check();
});
