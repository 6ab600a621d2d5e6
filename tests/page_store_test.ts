/** io_uring, and content that the kernel is given before it asks for it. */

import assert from "node:assert/strict";
import { IoUring } from "../src/sys/io_uring.ts";
import { close, O_RDWR, open } from "../src/sys/files.ts";
import { FUSE4FS, mountFuse4fs, unmountFuse4fs } from "./support/mount.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const ECANCELED = 125;

/** Results by tag, once there are so many. */
async function results(ring: IoUring, count: number): Promise<Map<number, number>> {
  const found = new Map<number, number>();
  for (let tries = 0; found.size < count; tries++) {
    assert.ok(tries < 2000, `only ${found.size} of ${count} finished`);
    ring.finished((tag, result) => found.set(tag, result));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return found;
}

Deno.test("IoUring: reads and writes, each behind the one that it is linked to", async () => {
  if (!requires("io_uring")) return;
  using ring = IoUring.open(8, 2);
  using folder = new TempDir();
  const bytes = new Random(1).bytes(70_000);
  Deno.writeFileSync(folder.join("from"), bytes);
  Deno.writeFileSync(folder.join("to"), new Uint8Array());
  const [from, to] = ["from", "to"].map((name) => open(folder.join(name), O_RDWR));
  const memory = new Uint8Array(70_000);
  const address = Number(Deno.UnsafePointer.value(Deno.UnsafePointer.of(memory)));
  for (let round = 0; round < 5; round++) {
    memory.fill(0);
    const piece = { address, length: 70_000, position: 0 };
    ring.add({ kind: "read", fd: from, ...piece, tag: 1, linksNext: true });
    ring.add({ kind: "write", fd: to, ...piece, tag: 2, linksNext: false });
    ring.submit();
    assert.deepEqual(await results(ring, 2), new Map([[1, 70_000], [2, 70_000]]));
    assert.deepEqual(Deno.readFileSync(folder.join("to")), bytes);
  }
  close(from);
  close(to);
});

Deno.test("IoUring: what is linked to a read that is cut short does not happen", async () => {
  if (!requires("io_uring")) return;
  using ring = IoUring.open(8, 2);
  using folder = new TempDir();
  Deno.writeFileSync(folder.join("from"), new Uint8Array(100));
  Deno.writeFileSync(folder.join("to"), new Uint8Array());
  const [from, to] = ["from", "to"].map((name) => open(folder.join(name), O_RDWR));
  const memory = new Uint8Array(200);
  const address = Number(Deno.UnsafePointer.value(Deno.UnsafePointer.of(memory)));
  const piece = { address, length: 200, position: 0 };
  ring.add({ kind: "read", fd: from, ...piece, tag: 1, linksNext: true });
  ring.add({ kind: "write", fd: to, ...piece, tag: 2, linksNext: false });
  ring.submit();
  assert.deepEqual(await results(ring, 2), new Map([[1, 100], [2, -ECANCELED]]));
  assert.equal(Deno.statSync(folder.join("to")).size, 0);
  close(from);
  close(to);
});

const FOLDERS = 12;
const FILES = 40;

/** An image of many small files, some of them with holes or in several pieces, and their content. */
async function imageOfSmallFiles(folder: TempDir): Promise<{ image: string; source: string }> {
  const source = folder.mkdir("source");
  const random = new Random(2);
  for (let number = 0; number < FOLDERS; number++) {
    Deno.mkdirSync(`${source}/${number}`);
    for (let file = 0; file < FILES; file++) {
      const bytes = random.bytes(random.below(random.oneIn(8) ? 150_000 : 9000));
      if (random.oneIn(5)) bytes.fill(0, 0, bytes.length / 2);
      Deno.writeFileSync(`${source}/${number}/${file}`, bytes);
    }
  }
  const image = folder.join("image");
  await run("mke2fs", ["-q", "-F", "-t", "ext4", "-d", source, image, "64M"]);
  return { image, source };
}

/** Reads all files in the order in which they are listed. */
async function requireSame(dir: string, source: string): Promise<void> {
  const command = 'cd "$0" && tar -cf - --sort=none [0-9]* | tar -df - -C "$1"';
  assert.equal((await run("sh", ["-c", command, dir, source])).stdout, "");
}

Deno.test("mount: files that are read in the order of their listing are there before", async () => {
  if (!requires("root", "fuse", "e2fsprogs", "executable", "io_uring")) return;
  using folder = new TempDir();
  const { image, source } = await imageOfSmallFiles(folder);
  const dir = folder.mkdir("mounted");
  const log = folder.join("log");
  const server = new Deno.Command("sh", {
    args: ["-c", 'exec "$0" "$@" 2>"$LOG"', FUSE4FS, image, dir, "-f", "-d", "-o", "ro"],
    env: { LOG: log },
  }).spawn();
  await run("sh", ["-c", `until mountpoint -q "$0"; do sleep 0.05; done`, dir]);
  try {
    await requireSame(dir, source);
  } finally {
    await unmountFuse4fs(dir);
    await server.status;
  }
  const reads = Deno.readTextFileSync(log).match(/\bread: node/g)?.length ?? 0;
  // On a busy machine the reader is often faster than the threads that are to be ahead of it.
  assert.ok(reads > 0 && reads < FOLDERS * FILES * 0.9, `${reads} reads`);
});

Deno.test("mount: many who read the same files at a time neither wait for ever nor read nonsense", async () => {
  if (!requires("root", "fuse", "e2fsprogs", "executable")) return;
  using folder = new TempDir();
  const { image, source } = await imageOfSmallFiles(folder);
  await using mount = await mountFuse4fs(image, folder.mkdir("mounted"), "ro");
  for (let round = 0; round < 4; round++) {
    const readers = Array.from({ length: 6 }, () => requireSame(mount.dir, source));
    const forget = run("sh", [
      "-c",
      "for i in 1 2 3; do echo 1 >/proc/sys/vm/drop_caches; sleep 0.05; done",
    ]);
    await Promise.all(readers);
    await forget;
  }
});
