/** Calls of the C library in src/sys: results, and errors in words. */

import assert from "node:assert/strict";
import { Errno } from "../src/sys/errno.ts";
import * as files from "../src/sys/files.ts";
import * as messages from "../src/sys/messages.ts";
import * as system from "../src/sys/system.ts";
import { attachLoop } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

Deno.test("files.open: an error has errno, the doing, and the path", () => {
  assert.throws(() => files.open("/nowhere/at all", files.O_RDONLY), {
    name: "FsError",
    errno: Errno.ENOENT,
    message: "Cannot open /nowhere/at all: No such file or directory",
  });
});

Deno.test("files.open: descriptors do not outlive execve", () => {
  const fd = files.open("/dev/null", files.O_RDWR);
  try {
    assert.ok(files.isCloseOnExec(fd));
  } finally {
    files.close(fd);
  }
});

Deno.test("files.preadFully: stops at the end of the file; beyond 4 GiB as well", () => {
  using folder = new TempDir();
  const path = folder.join("sparse");
  const start = 2 ** 32 + 12345;
  Deno.writeFileSync(path, new Uint8Array(0));
  const fd = files.open(path, files.O_RDWR);
  try {
    const bytes = Uint8Array.of(1, 2, 3, 4, 5);
    files.pwriteFully(fd, bytes, start);
    files.fdatasync(fd);
    assert.equal(files.sizeOf(fd), start + 5);
    const buffer = new Uint8Array(8);
    assert.equal(files.preadFully(fd, buffer, start + 1), 4);
    assert.deepEqual(buffer, Uint8Array.of(2, 3, 4, 5, 0, 0, 0, 0));
    assert.equal(files.preadFully(fd, buffer, start + 5), 0);
  } finally {
    files.close(fd);
  }
});

Deno.test("files.pwriteFully: a descriptor for reading is EBADF with the place", () => {
  const fd = files.open("/dev/null", files.O_RDONLY);
  try {
    assert.throws(() => files.pwriteFully(fd, new Uint8Array(7), 99), {
      errno: Errno.EBADF,
      message: /write 7 bytes at 99/,
    });
  } finally {
    files.close(fd);
  }
});

Deno.test("files.memoryFile: holds the bytes under its path", () => {
  const bytes = new TextEncoder().encode("in memory");
  const { fd, path } = files.memoryFile("test", bytes);
  try {
    assert.deepEqual(Deno.readFileSync(path), bytes);
    assert.ok(files.isCloseOnExec(fd));
  } finally {
    files.close(fd);
  }
});

Deno.test("messages.waitReadable: true with something to read, false when the time is over", () => {
  const pipe = messages.makePipe(65536);
  try {
    const start = performance.now();
    assert.equal(messages.waitReadable(pipe.reader, 20), false);
    assert.ok(performance.now() - start >= 19);
    files.write(pipe.writer, Uint8Array.of(1));
    assert.equal(messages.waitReadable(pipe.reader, 10_000), true);
    messages.drain(pipe.reader);
    assert.equal(messages.waitReadable(pipe.reader, 0), false);
    files.close(pipe.writer);
    assert.equal(messages.waitReadable(pipe.reader, 10_000), true, "the end is something to read");
  } finally {
    files.close(pipe.reader);
  }
});

Deno.test("files.tryLock: readers share, a writer is alone", () => {
  using folder = new TempDir();
  const path = folder.join("lock");
  Deno.writeFileSync(path, new Uint8Array(0));
  const [first, second] = [0, 0].map(() => files.open(path, files.O_RDWR));
  assert.equal(files.tryLock(first, "shared"), true);
  assert.equal(files.tryLock(second, "shared"), true);
  assert.equal(files.tryLock(second, "exclusive"), false);
  files.close(first);
  assert.equal(files.tryLock(second, "exclusive"), true);
  files.close(second);
});

Deno.test("messages.sendMessage: an error in words", () => {
  const fd = files.open("/dev/null", files.O_RDONLY);
  assert.throws(() => messages.sendMessage(fd, new Uint8Array(4), 4), {
    errno: Errno.EBADF,
    message: /send 4 bytes/,
  });
  files.close(fd);
});

Deno.test("files.sizeOf: a block device's size", async () => {
  if (!requires("root", "loop")) return;
  using folder = new TempDir();
  const image = folder.join("image");
  Deno.writeFileSync(image, new Uint8Array(3 << 20));
  await using loop = await attachLoop(image);
  const fd = files.open(loop.path, files.O_RDONLY);
  assert.equal(files.sizeOf(fd), 3 << 20);
  files.close(fd);
});

Deno.test("system.usableProcessors: those of the affinity mask", async () => {
  const module = new URL("../src/sys/system.ts", import.meta.url).href;
  const code = `import { usableProcessors } from "${module}"; console.log(usableProcessors());`;
  const args = ["--cpu-list", "0", Deno.execPath(), "eval", "--no-check", code];
  const { stdout } = await run("taskset", args);
  assert.equal(stdout, "1\n");
  const nproc = await run("nproc", [], { env: { OMP_NUM_THREADS: "", OMP_THREAD_LIMIT: "" } });
  assert.equal(system.usableProcessors(), Number(nproc.stdout));
});

Deno.test("system.umount: what is not mounted is EINVAL with its path", () => {
  if (!requires("root")) return;
  using folder = new TempDir();
  assert.throws(() => system.umount(folder.path), {
    errno: Errno.EINVAL,
    message: `Cannot unmount ${folder.path}: Invalid argument`,
  });
});
