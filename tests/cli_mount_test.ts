/** Mounting and unmounting by the command line: background, exit codes, locks, signals. */

import assert from "node:assert/strict";
import { mountAt } from "../src/mount/mountinfo.ts";
import { commandLine, fuse4fs, fuse4fsJson } from "./support/command_line.ts";
import { attachLoop, mounted, mountKernel } from "./support/mount.ts";
import { exists, requires } from "./support/requirements.ts";
import { run, type RunResult, TempDir } from "./support/run.ts";
import { waitUntil } from "./support/wait.ts";

const CONTENT = "served by fuse4fs\n";

/** A folder with an image and a place to mount it; unmounts whatever is left at the end. */
class Bench implements AsyncDisposable {
  readonly folder = new TempDir();
  readonly image = this.folder.join("image.img");
  readonly dir = this.folder.mkdir("mnt");
  readonly #dirs = [this.dir];

  static async open(): Promise<Bench> {
    const bench = new Bench();
    const source = bench.folder.mkdir("source");
    Deno.writeTextFileSync(`${source}/file`, CONTENT);
    await run("mke2fs", ["-q", "-F", "-t", "ext4", "-d", source, bench.image, "16M"]);
    return bench;
  }

  anotherDir(name: string): string {
    const dir = this.folder.mkdir(name);
    this.#dirs.push(dir);
    return dir;
  }

  mount(...args: string[]): Promise<RunResult> {
    return fuse4fs([this.image, this.dir, ...args]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const dir of this.#dirs) {
      while (mountAt(dir) !== undefined) await run("umount", [dir]);
    }
    this.folder[Symbol.dispose]();
  }
}

const NEEDS = ["root", "fuse", "e2fsprogs"] as const;

Deno.test("mount: returns when the mount answers, with the right type and source", async () => {
  if (!requires(...NEEDS)) return;
  await using bench = await Bench.open();
  const { code, stdout, stderr } = await bench.mount("-o", "ro,noatime,discard,data=ordered");
  assert.deepEqual([code, stdout, stderr], [0, "", ""]);
  assert.equal(Deno.readTextFileSync(`${bench.dir}/file`), CONTENT);
  const { type, source, options } = mounted(bench.dir);
  assert.deepEqual([type, source], ["fuse.fuse4fs", bench.image]);
  assert.ok(options.includes("ro") && options.includes("noatime"), options.join());
});

Deno.test("mount: the subcommand, -oOPTIONS and several -o do the same", async () => {
  if (!requires(...NEEDS)) return;
  await using bench = await Bench.open();
  const { code } = await fuse4fs([
    "mount",
    "-oro",
    bench.image,
    bench.dir,
    "-o",
    "nodev,fsname=a\\,b",
  ]);
  assert.equal(code, 0);
  assert.equal(mounted(bench.dir).source, "a,b");
});

Deno.test("mount: relative paths stay good in the background", async () => {
  if (!requires(...NEEDS)) return;
  await using bench = await Bench.open();
  const words = commandLine().map((word) => `'${word}'`).join(" ");
  const lock = bench.folder.join("lock");
  await run("sh", [
    "-c",
    `cd ${bench.folder.path} && ${words} image.img mnt -o ro,lockfile=lock`,
  ]);
  assert.equal(mounted(bench.dir).source, bench.image);
  assert.equal(Deno.readTextFileSync(`${bench.dir}/file`), CONTENT);
  const pid = Deno.readTextFileSync(lock).trim();
  assert.equal(Deno.readLinkSync(`/proc/${pid}/cwd`), "/");
  for (const fd of [0, 1, 2]) assert.equal(Deno.readLinkSync(`/proc/${pid}/fd/${fd}`), "/dev/null");
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1].split(" ");
  assert.equal(stat[3], pid, "the server leads a session of its own");
});

Deno.test("mount: what fails says why and exits with the code of mount(8)", async () => {
  if (!requires(...NEEDS)) return;
  await using bench = await Bench.open();
  const failures: [string[], number, RegExp][] = [
    [["-o", "ro,nonsense=1"], 1, /nonsense=1/],
    [["-o", "ro,libfuse=/nonexistent"], 32, /\/nonexistent/],
    [["-o", "ro,lockfile=/nonexistent/lock"], 32, /lock file \/nonexistent\/lock/],
    [["-o", "ro,offset=1m"], 1, /^fuse4fs: Cannot open image /],
  ];
  for (const [args, expected, words] of failures) {
    for (const more of [[], ["-f"]]) {
      const { code, stderr } = await bench.mount(...args, ...more);
      assert.equal(code, expected, `${args.join(" ")}: ${stderr}`);
      assert.match(stderr, words);
      assert.match(stderr, /^[^\n]+\n$/, "one line");
      assert.equal(mountAt(bench.dir), undefined);
    }
  }
  const { code, stderr } = await fuse4fs([bench.image, bench.folder.join("none"), "-o", "ro"]);
  assert.equal(code, 32);
  assert.match(stderr, /^fuse4fs: Cannot mount at .*none: no such file or directory\n$/);
});

Deno.test("mount: a mounted image is refused to writers, and lent to readers with a warning", async () => {
  if (!requires(...NEEDS, "loop")) return;
  await using bench = await Bench.open();
  const second = bench.anotherDir("second");
  const attempts = async (): Promise<[RunResult, RunResult]> => [
    await fuse4fs([bench.image, second]),
    await fuse4fs([bench.image, second, "-o", "ro"]),
  ];
  {
    await using _kernel = await mountKernel(bench.image, bench.dir, "ro");
    const [writer, reader] = await attempts();
    assert.equal(writer.code, 32);
    assert.match(writer.stderr, /already mounted on .*mnt \(ext4, read-only\)/);
    assert.equal(reader.code, 0);
    assert.match(reader.stderr, /^fuse4fs: warning: .* is already mounted on .*\n$/);
    await fuse4fs(["umount", second], { codes: [0] });
  }
  await bench.mount("-o", "ro");
  const [writer, reader] = await attempts();
  assert.equal(writer.code, 32);
  assert.match(writer.stderr, /already mounted on .*fuse\.fuse4fs/);
  assert.equal(reader.code, 0);
  assert.equal(Deno.readTextFileSync(`${second}/file`), CONTENT);
});

Deno.test("mount: a loop device whose file is mounted, and the other way round, is noticed", async () => {
  if (!requires(...NEEDS, "loop")) return;
  await using bench = await Bench.open();
  await using loop = await attachLoop(bench.image);
  const second = bench.anotherDir("second");
  await fuse4fs([loop.path, bench.dir, "-o", "ro"], { codes: [0] });
  assert.equal(Deno.readTextFileSync(`${bench.dir}/file`), CONTENT);
  assert.equal((await fuse4fs([loop.path, second])).code, 32);
  await fuse4fs(["umount", bench.dir], { codes: [0] });
  await run("mount", ["-o", "ro", loop.path, bench.dir]);
  const { code, stderr } = await fuse4fs([loop.path, second]);
  assert.equal(code, 32);
  assert.match(stderr, /already mounted/);
});

/** The processes that have the image's path among their arguments, but for those that ended. */
function processesOf(image: string): string[] {
  return [...Deno.readDirSync("/proc")].map(({ name }) => name).filter((name) => {
    if (!/^[0-9]+$/.test(name) || !exists(`/proc/${name}/exe`)) return false;
    return Deno.readTextFileSync(`/proc/${name}/cmdline`).split("\0").includes(image);
  });
}

/** The fields of /proc/PID/stat that follow the name: state, parent, process group, session. */
function processState(pid: string): string[] {
  const text = Deno.readTextFileSync(`/proc/${pid}/stat`);
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
}

// The executable's entry stub divides the first of them; the last it leaves to the program.
for (const extra of [["-o", "ro"], ["-oro", "-o", "acl"], ["-s", "-o", "ro"]]) {
  Deno.test(`mount ${extra.join(" ")}: serves as a daemon of one process`, async () => {
    if (!requires(...NEEDS)) return;
    await using bench = await Bench.open();
    const { code, stderr } = await bench.mount(...extra);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
    const pids = processesOf(bench.image);
    assert.equal(pids.length, 1);
    const [, , group, session] = processState(pids[0]);
    assert.deepEqual({ group, session }, { group: pids[0], session: pids[0] });
    assert.equal(Deno.readLinkSync(`/proc/${pids[0]}/cwd`), "/");
    // The last thing that it does; whoever waits for the end of the output waits for it, too.
    const streams = () => [0, 1, 2].map((fd) => Deno.readLinkSync(`/proc/${pids[0]}/fd/${fd}`));
    await waitUntil(() => streams().every((path) => path === "/dev/null"), "it left its streams");
  });
}

Deno.test("mount: who ends the waiting process ends the one that mounts", async () => {
  if (!requires(...NEEDS)) return;
  await using bench = await Bench.open();
  // A pipe that nobody writes to keeps the server from getting ready.
  const fifo = bench.folder.join("fifo");
  await run("mkfifo", [fifo]);
  const [program, ...first] = commandLine();
  const child = new Deno.Command(program, {
    args: [...first, bench.image, bench.dir, "-o", `ro,journal_path=${fifo}`],
    stdout: "null",
    stderr: "null",
  }).spawn();
  await waitUntil(() => processesOf(bench.image).length === 2, "two processes");
  child.kill("SIGTERM");
  await child.status;
  await waitUntil(() => processesOf(bench.image).length === 0, "both have ended");
  assert.equal(mountAt(bench.dir), undefined);
});

Deno.test("mount: with -o debug it stays in front, and its caller waits", async () => {
  if (!requires(...NEEDS)) return;
  await using bench = await Bench.open();
  const mount = bench.mount("-o", "ro,debug");
  await waitUntil(() => mountAt(bench.dir) !== undefined, "mounted");
  let hasEnded = false;
  mount.then(() => hasEnded = true);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(hasEnded, false);
  await fuse4fs(["umount", bench.dir], { codes: [0] });
  assert.equal((await mount).code, 0);
});

Deno.test("mount: lockfile is held while the server runs, and gone afterwards", async () => {
  if (!requires(...NEEDS)) return;
  await using bench = await Bench.open();
  const lock = bench.folder.join("lock");
  // One that a crash left behind is taken over.
  Deno.writeTextFileSync(lock, "99999999\n");
  await fuse4fs([bench.image, bench.dir, "-o", `ro,lockfile=${lock}`], { codes: [0] });
  const second = bench.anotherDir("second");
  const { code, stderr } = await fuse4fs([bench.image, second, "-o", `ro,lockfile=${lock}`]);
  assert.equal(code, 32);
  assert.match(stderr, /Another server holds the lock file/);
  await fuse4fs(["umount", bench.dir], { codes: [0] });
  assert.throws(() => Deno.statSync(lock), Deno.errors.NotFound);
});

Deno.test("umount: waits until the server has ended, and gives a receipt", async () => {
  if (!requires(...NEEDS)) return;
  await using bench = await Bench.open();
  await bench.mount("-o", "ro");
  const receipt = await fuse4fsJson(["umount", bench.dir]) as Record<string, unknown>;
  assert.equal(receipt.mountpoint, bench.dir);
  assert.equal(receipt.source, bench.image);
  assert.equal(receipt.imageClosed, true);
  const ended = "a process that is gone, or waits for its parent";
  assert.ok(!exists(`/proc/${receipt.serverPid}/exe`), ended);
  assert.equal(mountAt(bench.dir), undefined);
});

Deno.test("umount: refuses what is not mounted, in use, or not ours", async () => {
  if (!requires(...NEEDS, "loop")) return;
  await using bench = await Bench.open();
  const nothing = await fuse4fs(["umount", bench.dir]);
  assert.equal(nothing.code, 32);
  assert.match(nothing.stderr, /is not mounted/);
  {
    await using _kernel = await mountKernel(bench.image, bench.dir, "ro");
    const foreign = await fuse4fs(["umount", bench.dir]);
    assert.equal(foreign.code, 32);
    assert.match(foreign.stderr, /is a mount of ext4/);
  }
  await bench.mount("-o", "ro");
  {
    using _open = Deno.openSync(`${bench.dir}/file`);
    const busy = await fuse4fs(["umount", bench.dir]);
    assert.equal(busy.code, 32);
    assert.match(busy.stderr, /busy/);
  }
});

Deno.test("the server ends by itself after umount(8)", async () => {
  if (!requires(...NEEDS)) return;
  await using bench = await Bench.open();
  const lock = bench.folder.join("lock");
  await fuse4fs([bench.image, bench.dir, "-o", `ro,lockfile=${lock}`], { codes: [0] });
  await run("umount", [bench.dir]);
  await waitUntil(() => !exists(lock), "the server ended");
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.test(`${signal} unmounts a mount in the foreground`, async () => {
    if (!requires(...NEEDS)) return;
    await using bench = await Bench.open();
    const [program, ...first] = commandLine();
    const child = new Deno.Command(program, {
      args: [...first, "-f", bench.image, bench.dir, "-o", "ro"],
      stdin: "null",
    }).spawn();
    await waitUntil(() => mountAt(bench.dir) !== undefined, "the mount came");
    assert.equal(Deno.readTextFileSync(`${bench.dir}/file`), CONTENT);
    child.kill(signal);
    const { code } = await child.status;
    assert.equal(code, 0);
    assert.equal(mountAt(bench.dir), undefined);
  });
}

Deno.test("doctor: this machine can mount, and every finding that lacks has advice", async () => {
  if (!requires(...NEEDS)) return;
  const report = await fuse4fsJson(["doctor"]) as {
    canMount: boolean;
    findings: { name: string; state: string; value: string; advice?: string }[];
  };
  assert.equal(report.canMount, true);
  for (const { name, state, advice } of report.findings) {
    assert.equal(advice === undefined, state === "ok", name);
  }
  const protocol = report.findings.find(({ name }) => name === "fuseProtocol");
  assert.match(protocol?.value ?? "", /^7\.\d+/);
});
