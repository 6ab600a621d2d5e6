/** src/sys/libc.ts: results, and errors in words. */

import assert from "node:assert/strict";
import { Errno } from "../src/sys/errno.ts";
import * as libc from "../src/sys/libc.ts";
import { attachLoop } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

Deno.test("libc.open: an error has errno, the doing, and the path", () => {
  assert.throws(() => libc.open("/nowhere/at all", libc.O_RDONLY), {
    name: "FsError",
    errno: Errno.ENOENT,
    message: "Cannot open /nowhere/at all: No such file or directory",
  });
});

Deno.test("libc.open: descriptors do not outlive execve", () => {
  const fd = libc.open("/dev/null", libc.O_RDWR);
  try {
    assert.ok(libc.isCloseOnExec(fd));
  } finally {
    libc.close(fd);
  }
});

Deno.test("libc.preadFully: stops at the end of the file; beyond 4 GiB as well", () => {
  using folder = new TempDir();
  const path = folder.join("sparse");
  const start = 2 ** 32 + 12345;
  Deno.writeFileSync(path, new Uint8Array(0));
  const fd = libc.open(path, libc.O_RDWR);
  try {
    const bytes = Uint8Array.of(1, 2, 3, 4, 5);
    libc.pwriteFully(fd, bytes, start);
    libc.fdatasync(fd);
    assert.equal(libc.sizeOf(fd), start + 5);
    const buffer = new Uint8Array(8);
    assert.equal(libc.preadFully(fd, buffer, start + 1), 4);
    assert.deepEqual(buffer, Uint8Array.of(2, 3, 4, 5, 0, 0, 0, 0));
    assert.equal(libc.preadFully(fd, buffer, start + 5), 0);
  } finally {
    libc.close(fd);
  }
});

Deno.test("libc.pwriteFully: a descriptor for reading is EBADF with the place", () => {
  const fd = libc.open("/dev/null", libc.O_RDONLY);
  try {
    assert.throws(() => libc.pwriteFully(fd, new Uint8Array(7), 99), {
      errno: Errno.EBADF,
      message: /write 7 bytes at 99/,
    });
  } finally {
    libc.close(fd);
  }
});

Deno.test("libc.memoryFile: holds the bytes under its path", () => {
  const bytes = new TextEncoder().encode("in memory");
  const { fd, path } = libc.memoryFile("test", bytes);
  try {
    assert.deepEqual(Deno.readFileSync(path), bytes);
    assert.ok(libc.isCloseOnExec(fd));
  } finally {
    libc.close(fd);
  }
});

Deno.test("libc.waitReadable: true with something to read, false when the time is over", () => {
  const pipe = libc.makePipe(65536);
  try {
    const start = performance.now();
    assert.equal(libc.waitReadable(pipe.reader, 20), false);
    assert.ok(performance.now() - start >= 19);
    libc.write(pipe.writer, Uint8Array.of(1));
    assert.equal(libc.waitReadable(pipe.reader, 10_000), true);
    libc.drain(pipe.reader);
    assert.equal(libc.waitReadable(pipe.reader, 0), false);
    libc.close(pipe.writer);
    assert.equal(libc.waitReadable(pipe.reader, 10_000), true, "the end is something to read");
  } finally {
    libc.close(pipe.reader);
  }
});

Deno.test("libc.tryLock: readers share, a writer is alone", () => {
  using folder = new TempDir();
  const path = folder.join("lock");
  Deno.writeFileSync(path, new Uint8Array(0));
  const [first, second] = [0, 0].map(() => libc.open(path, libc.O_RDWR));
  assert.equal(libc.tryLock(first, "shared"), true);
  assert.equal(libc.tryLock(second, "shared"), true);
  assert.equal(libc.tryLock(second, "exclusive"), false);
  libc.close(first);
  assert.equal(libc.tryLock(second, "exclusive"), true);
  libc.close(second);
});

Deno.test("libc.sendMessage: an error in words", () => {
  const fd = libc.open("/dev/null", libc.O_RDONLY);
  assert.throws(() => libc.sendMessage(fd, new Uint8Array(4), 4), {
    errno: Errno.EBADF,
    message: /send 4 bytes/,
  });
  libc.close(fd);
});

Deno.test("libc.sizeOf: a block device's size", async () => {
  if (!requires("root", "loop")) return;
  using folder = new TempDir();
  const image = folder.join("image");
  Deno.writeFileSync(image, new Uint8Array(3 << 20));
  await using loop = await attachLoop(image);
  const fd = libc.open(loop.path, libc.O_RDONLY);
  assert.equal(libc.sizeOf(fd), 3 << 20);
  libc.close(fd);
});

Deno.test("libc.usableProcessors: those of the affinity mask", async () => {
  const module = new URL("../src/sys/libc.ts", import.meta.url).href;
  const code = `import { usableProcessors } from "${module}"; console.log(usableProcessors());`;
  const args = ["--cpu-list", "0", Deno.execPath(), "eval", "--no-check", code];
  const { stdout } = await run("taskset", args);
  assert.equal(stdout, "1\n");
  const nproc = await run("nproc", [], { env: { OMP_NUM_THREADS: "", OMP_THREAD_LIMIT: "" } });
  assert.equal(libc.usableProcessors(), Number(nproc.stdout));
});

Deno.test("libc.umount: what is not mounted is EINVAL with its path", () => {
  if (!requires("root")) return;
  using folder = new TempDir();
  assert.throws(() => libc.umount(folder.path), {
    errno: Errno.EINVAL,
    message: `Cannot unmount ${folder.path}: Invalid argument`,
  });
});
