/**
 * The requests that change something, as the kernel sends them to a server with a writeback cache
 * (support/memory_server.ts): what arrives of system calls, and what callers hear of failures.
 */

import assert from "node:assert/strict";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";
import { waitUntil } from "./support/wait.ts";

const SERVER = new URL("./support/memory_server.ts", import.meta.url).pathname;

type Line = readonly [string, Record<string, unknown>];

class Mount {
  readonly dir: string;
  readonly #journal: string;
  #read = 0;

  constructor(dir: string, journal: string) {
    this.dir = dir;
    this.#journal = journal;
  }

  path(name: string): string {
    return `${this.dir}/${name}`;
  }

  /** The requests since the last call, without those that the kernel sends when it likes. */
  requests(): Line[] {
    const lines = Deno.readTextFileSync(this.#journal).trimEnd().split("\n");
    const fresh = lines.slice(this.#read);
    this.#read = lines.length;
    return fresh.filter((line) => line !== "").map((line) => JSON.parse(line));
  }

  /** The requests since the last call that have this name. */
  only(name: string): Record<string, unknown>[] {
    return this.requests().filter((line) => line[0] === name).map((line) => line[1]);
  }

  /** Runs a line of Python, which has the system calls; returns what it prints. */
  async python(program: string): Promise<string> {
    const setup = "import os, errno, sys\nos.chdir(sys.argv[1])\n";
    const { stdout } = await run("python3", ["-c", setup + program, this.dir]);
    return stdout;
  }
}

async function withServer(body: (mount: Mount) => Promise<void>): Promise<void> {
  using folder = new TempDir();
  const dir = folder.mkdir("mnt");
  const journal = folder.join("journal");
  Deno.writeTextFileSync(journal, "");
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--no-check", SERVER, dir, journal],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const output = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const messages = new Response(child.stderr).text();
  assert.equal((await output.read()).value, "ready\n");
  try {
    await body(new Mount(dir, journal));
  } finally {
    await run("umount", [dir]);
  }
  assert.equal((await output.read()).value, "ended\n");
  await output.cancel();
  assert.doesNotMatch(await messages, /internal error/);
  assert.equal((await child.status).code, 0);
}

Deno.test("create, mkdir, mknod, symlink, link and tmpfile arrive with modes and owner", async () => {
  if (!requires("root", "fuse", "python3")) return;
  await withServer(async (mount) => {
    await mount.python(`
os.umask(0o027)
os.close(os.open("file", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
os.mkdir("folder", 0o1777)
os.mknod("device", 0o020640, os.makedev(4095, 0xfffff))
os.symlink("where to", "link")
os.link("file", "folder/second")
os.close(os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600))
`);
    const requests = mount.requests().filter(([name]) => !["setattr", "forgotten"].includes(name));
    const owner = { uid: 0, gid: 0 };
    assert.deepEqual(requests, [
      ["create", { parent: 1, name: "file", mode: 0o100666, umask: 0o027, ...owner }],
      ["mkdir", { parent: 1, name: "folder", mode: 0o041777, umask: 0o027, ...owner }],
      ["mknod", {
        ...{ parent: 1, name: "device", mode: 0o020640, umask: 0o027 },
        ...{ rdev: 0xffffffff, ...owner },
      }],
      ["symlink", { parent: 1, name: "link", target: "where to", ...owner }],
      ["link", { name: "file", newParent: 3, newName: "second" }],
      ["tmpfile", { parent: 1, name: "", mode: 0o100600, umask: 0o027, ...owner }],
    ]);
    const { stdout } = await run("stat", ["-c", "%t %T", mount.path("device")]);
    assert.equal(stdout, "fff fffff\n");
  });
});

Deno.test("setattr: times before 1970 and now, sizes, modes and owners arrive", async () => {
  if (!requires("root", "fuse", "python3")) return;
  await withServer(async (mount) => {
    Deno.mkdirSync(mount.path("dir"));
    mount.requests();
    await mount.python(`
os.utime("dir", ns=(-1, 15 * 10 ** 18 + 7))
os.utime("dir")
os.chmod("dir", 0o2751)
os.chown("dir", 70000, -1)
os.chown("dir", -1, 80000)
`);
    const killSetIds = false;
    assert.deepEqual(mount.only("setattr"), [
      {
        ...{ name: "dir", killSetIds, atime: { sec: -1, nsec: 999_999_999 } },
        mtime: { sec: 15e9, nsec: 7 },
      },
      { name: "dir", atime: "now", mtime: "now", killSetIds },
      { name: "dir", mode: 0o042751, killSetIds },
      { name: "dir", uid: 70000, killSetIds },
      { name: "dir", gid: 80000, killSetIds },
    ]);
    await mount.python(`open("file", "w").close(); os.truncate("file", 2 ** 25 + 1)`);
    const sizes = mount.only("setattr").filter((change) => "size" in change);
    assert.equal(sizes.length, 1);
    assert.equal(sizes[0].size, 2 ** 25 + 1);
  });
});

Deno.test("write: the kernel gathers small writes, and writes at the close", async () => {
  if (!requires("root", "fuse", "python3")) return;
  await withServer(async (mount) => {
    await mount.python(`
f = open("file", "wb", buffering=0)
for _ in range(1000): f.write(bytes(3000))
`);
    const writes = mount.only("write");
    assert.ok(writes.length <= 4, `${writes.length} writes`);
    assert.equal(writes.reduce((sum, { length }) => sum + Number(length), 0), 3_000_000);
    assert.equal(Deno.readFileSync(mount.path("file")).length, 3_000_000);
  });
});

Deno.test("O_TRUNC arrives as a change of size, since opens do not arrive", async () => {
  if (!requires("root", "fuse", "python3")) return;
  await withServer(async (mount) => {
    Deno.writeTextFileSync(mount.path("file"), "content");
    mount.requests();
    await mount.python(`os.close(os.open("file", os.O_TRUNC | os.O_WRONLY))`);
    assert.deepEqual(mount.only("setattr").map(({ size }) => size), [0]);
  });
});

Deno.test("set-user-ID bits: taken by writes and chown, and the kernel hears of it", async () => {
  if (!requires("root", "fuse", "python3")) return;
  await withServer(async (mount) => {
    const mode = () => Deno.statSync(mount.path("file")).mode! & 0o7777;
    Deno.writeTextFileSync(mount.path("file"), "content");
    Deno.chmodSync(mount.path("file"), 0o6775);
    // Root keeps the bits.
    Deno.writeTextFileSync(mount.path("file"), "more", { append: true });
    assert.equal(mode(), 0o6775);
    mount.requests();
    const unprivileged = ["--bounding-set=-fsetid", "--inh-caps=-fsetid"];
    await run("setpriv", [...unprivileged, "sh", "-c", 'echo x >> "$0"', mount.path("file")]);
    assert.deepEqual(mount.only("write").map(({ killSetIds }) => killSetIds), [true]);
    assert.equal(mode(), 0o775);
    Deno.chmodSync(mount.path("file"), 0o4755);
    Deno.chownSync(mount.path("file"), 1, null);
    assert.equal(mode(), 0o755);
  });
});

Deno.test("a write that fails in the cache is told by fsync, or else by close", async () => {
  if (!requires("root", "fuse", "python3")) return;
  await withServer(async (mount) => {
    const outcome = await mount.python(`
def attempt(what, act):
    try:
        act()
        print(what, "fine")
    except OSError as error:
        print(what, errno.errorcode[error.errno])

for name, sync in ("full-1", True), ("full-2", False), ("broken-1", True), ("broken-2", False):
    file = os.open(name, os.O_CREAT | os.O_RDWR)
    attempt("write", lambda: os.write(file, bytes(9000)))
    if sync: attempt("fsync", lambda: os.fsync(file))
    attempt("close", lambda: os.close(file))
`);
    assert.deepEqual(outcome.trim().split("\n"), [
      ...["write fine", "fsync ENOSPC", "close fine", "write fine", "close ENOSPC"],
      ...["write fine", "fsync EIO", "close fine", "write fine", "close EIO"],
    ]);
  });
});

Deno.test("fsync of files and folders is a commit; those that wait share one", async () => {
  if (!requires("root", "fuse", "python3")) return;
  await withServer(async (mount) => {
    await mount.python(`
os.mkdir("dir")
for name in "dir", ".":
    file = os.open(name, os.O_RDONLY)
    os.fsync(file)
    os.close(file)
file = os.open("file", os.O_CREAT | os.O_RDWR)
os.write(file, b"x")
os.fdatasync(file)
`);
    assert.equal(mount.only("commit").length, 3);
    await mount.python(`
import multiprocessing
def writer(number):
    file = os.open(f"file-{number}", os.O_CREAT | os.O_RDWR)
    for _ in range(50):
        os.pwrite(file, b"y", 0)
        os.fsync(file)
writers = [multiprocessing.Process(target=writer, args=(number,)) for number in range(8)]
for each in writers: each.start()
for each in writers: each.join()
`);
    const commits = mount.only("commit").length;
    assert.ok(commits > 0 && commits < 300, `${commits} commits for 400 calls`);
  });
});

Deno.test("a commit that fails is the failure of fsync", async () => {
  if (!requires("root", "fuse", "python3")) return;
  await withServer(async (mount) => {
    const outcome = await mount.python(`
file = os.open("no-commit", os.O_CREAT | os.O_RDWR)
try:
    os.fsync(file)
    print("fine")
except OSError as error:
    print(errno.errorcode[error.errno])
`);
    assert.equal(outcome, "EIO\n");
  });
});

Deno.test("rename with flags, unlink, rmdir; a file is forgotten when it is closed", async () => {
  if (!requires("root", "fuse", "python3")) return;
  await withServer(async (mount) => {
    Deno.mkdirSync(mount.path("dir"));
    Deno.writeTextFileSync(mount.path("file"), "content");
    Deno.renameSync(mount.path("file"), mount.path("dir/new"));
    await run("mv", ["-n", mount.path("dir/new"), mount.path("last")]);
    const renames = mount.only("rename");
    assert.deepEqual(renames[0], {
      ...{ parent: 1, newParent: 2, name: "file", newName: "new", flags: 0 },
    });
    assert.deepEqual(renames.slice(1), [
      { parent: 2, newParent: 1, name: "new", newName: "last", flags: 1 },
    ]);
    {
      using file = Deno.openSync(mount.path("last"));
      Deno.removeSync(mount.path("last"));
      const before = mount.requests().map(([name]) => name);
      assert.ok(before.includes("unlink") && !before.includes("forgotten"));
      assert.equal(file.statSync().size, 7);
    }
    Deno.removeSync(mount.path("dir"));
    // Forgetting is not waited for.
    const after: Line[] = [];
    await waitUntil(() => {
      after.push(...mount.requests());
      return after.some(([name, facts]) => name === "forgotten" && facts.links === 0);
    }, "the file is forgotten");
    assert.ok(after.some(([name]) => name === "rmdir"));
  });
});

Deno.test("references: what is listed, looked up and made is forgotten as often", async () => {
  if (!requires("root", "fuse", "python3")) return;
  await withServer(async (mount) => {
    await mount.python(`
for number in range(500): os.close(os.open(f"file-{number}", os.O_CREAT | os.O_RDWR))
`);
    for (let round = 0; round < 5; round++) {
      await run("ls", ["-l", mount.dir]);
      // The kernel lets go of what it knows, and learns it anew.
      Deno.writeTextFileSync("/proc/sys/vm/drop_caches", "2");
    }
    await mount.python(`
for number in range(500): os.unlink(f"file-{number}")
`);
    const requests: Line[] = [];
    await waitUntil(() => {
      requests.push(...mount.requests());
      const forgotten = requests.filter(([name, { links }]) => name === "forgotten" && links === 0);
      return new Set(forgotten.map(([, { name }]) => name)).size === 500;
    }, "all files are forgotten");
    assert.deepEqual(requests.filter(([name]) => name === "forgotten too often"), []);
  });
});

Deno.test("fallocate, copy_file_range, setxattr and removexattr arrive", async () => {
  if (!requires("root", "fuse", "python3", "acl")) return;
  await withServer(async (mount) => {
    await mount.python(`
file = os.open("file", os.O_CREAT | os.O_RDWR)
os.posix_fallocate(file, 100, 2 ** 20)
other = os.open("other", os.O_CREAT | os.O_RDWR)
print(os.copy_file_range(file, other, 5000, 10, 20))
os.setxattr("file", "user.a", b"value", os.XATTR_CREATE)
os.removexattr("file", "user.a")
`);
    const names = ["fallocate", "copy_file_range", "setxattr", "removexattr"];
    assert.deepEqual(mount.requests().filter(([name]) => names.includes(name)), [
      ["fallocate", { name: "file", mode: 0, position: 100, length: 2 ** 20 }],
      ["copy_file_range", {
        ...{ name: "file", to: "other", position: 10, toPosition: 20, length: 5000 },
      }],
      ["setxattr", {
        ...{ file: "file", name: "user.a", value: "value", flags: 1, killSetGid: false },
      }],
      ["removexattr", { file: "file", name: "user.a" }],
    ]);
    await run("setfacl", ["-m", "u:1:r", mount.path("file")]);
    const [acl] = mount.only("setxattr");
    assert.equal(acl.name, "system.posix_acl_access");
  });
});
