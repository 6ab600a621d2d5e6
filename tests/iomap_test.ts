/**
 * The iomap protocol against a kernel of our own (support/fake_kernel.ts), on a loop device. It does
 * what a kernel with FUSE iomap does: it writes data to the device where it is told to.
 */

import assert from "node:assert/strict";
import { iomapObstacle } from "../src/mount/iomap.ts";
import { Errno } from "../src/sys/errno.ts";
import { type Answer, DEVICE_COOKIE, FakeKernel, packed } from "./support/fake_kernel.ts";
import { attachLoop, mountKernel } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const [LOOKUP, GETATTR, SETATTR, INIT, MKNOD, FALLOCATE, UNLINK] = [1, 3, 4, 26, 8, 43, 10];
const [FREEZE, UNFREEZE, SHUTDOWN] = [4089, 4090, 4091];
const [CONFIG, IOEND, BEGIN, END] = [4092, 4093, 4094, 4095];

const BLOCK = 4096;
const NO_ADDRESS = 2n ** 64n - 1n;
const [HOLE, MAPPED, UNWRITTEN, INLINE, PURE_OVERWRITE] = [0, 2, 3, 4, 255];
const [OP_WRITE, OP_ZERO, OP_REPORT, OP_DIRECT, OP_OVERWRITE_ONLY] = [1, 2, 4, 16, 64];
const OP_WRITEBACK = 2 ** 31;
const [IOEND_UNWRITTEN, IOEND_APPEND] = [2, 16];

const FUSE_IOMAP = 1 << 11;
const FUSE_INIT_EXT = 1 << 30;
const S_IFREG = 0o100000;

const name = (text: string) => new TextEncoder().encode(`${text}\0`);

function join(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  parts.reduce((at, part) => (bytes.set(part, at), at + part.length), 0);
  return bytes;
}

/** fuse_init_in of a kernel that offers these. */
function init(kernel: FakeKernel, flags2 = FUSE_IOMAP): Answer {
  return kernel.must(
    INIT,
    0,
    join(
      packed([4, 7], [4, 99], [4, 131072], [4, FUSE_INIT_EXT | 0x7fff_ffff >>> 2], [4, flags2]),
      new Uint8Array(44),
    ),
  );
}

function config(kernel: FakeKernel, flags = 0x3f): Answer {
  const fields = packed([8, flags], [8, 2n ** 63n - 1n], [4, 0]);
  return kernel.must(CONFIG, 0, join(fields, new Uint8Array(44)));
}

/** Node id and flags of a name in the root. */
function lookup(kernel: FakeKernel, text: string): { nodeId: number; flags: number; size: number } {
  const { view } = kernel.must(LOOKUP, 1, name(text));
  return {
    nodeId: Number(view.getBigUint64(0, true)),
    size: Number(view.getBigUint64(40 + 8, true)),
    flags: view.getUint32(40 + 84, true),
  };
}

function sizeOf(kernel: FakeKernel, nodeId: number): number {
  return Number(kernel.must(GETATTR, nodeId, new Uint8Array(16)).view.getBigUint64(16 + 8, true));
}

function create(kernel: FakeKernel, text: string, uid = 0): number {
  const args = packed([4, S_IFREG | 0o644], [4, 0], [4, 0o022], [4, 0]);
  return Number(kernel.must(MKNOD, 1, join(args, name(text)), uid).view.getBigUint64(0, true));
}

function beginArguments(nodeId: number, pos: number, count: number, opflags: number) {
  return packed([4, opflags], [4, 0], [8, nodeId], [8, pos], [8, count]);
}

interface Io {
  readonly offset: number;
  readonly length: number;
  readonly addr: number | undefined;
  readonly type: number;
  readonly flags: number;
  readonly dev: number;
}

function ioAt(view: DataView, at: number): Io {
  const addr = view.getBigUint64(at + 16, true);
  return {
    offset: Number(view.getBigUint64(at, true)),
    length: Number(view.getBigUint64(at + 8, true)),
    addr: addr === NO_ADDRESS ? undefined : Number(addr),
    type: view.getUint16(at + 24, true),
    flags: view.getUint16(at + 26, true),
    dev: view.getUint32(at + 28, true),
  };
}

/** The mapping for reading, with all that the kernel would check of both. */
function begin(kernel: FakeKernel, nodeId: number, pos: number, count: number, opflags = 0): Io {
  const { bytes, view } = kernel.must(BEGIN, nodeId, beginArguments(nodeId, pos, count, opflags));
  assert.equal(bytes.length, 64);
  const [read, write] = [ioAt(view, 0), ioAt(view, 32)];
  assert.ok(read.length > 0 && read.offset % BLOCK === 0 && read.length % BLOCK === 0);
  assert.ok(read.offset <= pos && pos < read.offset + read.length);
  const hasPlace = read.type === MAPPED || read.type === UNWRITTEN;
  assert.equal(read.dev, hasPlace ? DEVICE_COOKIE : 0);
  assert.equal(read.addr === undefined, !hasPlace);
  assert.equal(read.flags, 0);
  const { offset, length } = read;
  assert.deepEqual(write, {
    ...{ offset, length, addr: undefined, type: PURE_OVERWRITE, flags: 0, dev: 0 },
  });
  return read;
}

function ioend(
  kernel: FakeKernel,
  nodeId: number,
  pos: number,
  written: number,
  flags = IOEND_UNWRITTEN,
  error = 0,
): Answer | undefined {
  return kernel.ask(
    IOEND,
    nodeId,
    packed(
      ...[[4, flags], [4, -error], [8, nodeId], [8, pos], [8, NO_ADDRESS], [8, written]] as const,
      ...[[4, DEVICE_COOKIE], [4, 0]] as const,
    ),
  );
}

/** What write(2) comes to: BEGIN, data to the device, IOEND, until all is written. */
function write(kernel: FakeKernel, disk: string, nodeId: number, pos: number, bytes: Uint8Array) {
  using device = Deno.openSync(disk, { write: true });
  for (let done = 0; done < bytes.length;) {
    const at = pos + done;
    const map = begin(kernel, nodeId, at, bytes.length - done, OP_WRITE | OP_DIRECT);
    assert.ok(map.addr !== undefined);
    const piece = bytes.subarray(done, done + map.offset + map.length - at);
    device.seekSync(map.addr + at - map.offset, Deno.SeekMode.Start);
    assert.equal(device.writeSync(piece), piece.length);
    const flags = map.type === UNWRITTEN ? IOEND_UNWRITTEN : 0;
    const answer = ioend(kernel, nodeId, at, piece.length, flags | IOEND_APPEND);
    assert.equal(answer?.error, 0);
    assert.ok(Number(answer.view.getBigUint64(0, true)) >= at + piece.length);
    done += piece.length;
  }
}

function pattern(length: number, seed: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, index) => (index * 7 + seed + (index >>> 12) * 13) & 0xff);
}

interface Bench {
  readonly loop: string;
  readonly folder: TempDir;
  readonly image: string;
}

/** An image on a loop device, which is checked in the end. */
async function withDisk(
  body: (bench: Bench) => void | Promise<void>,
  mke2fsOptions: readonly string[] = [],
): Promise<void> {
  if (!requires("root", "loop", "e2fsprogs")) return;
  using folder = new TempDir();
  const content = folder.mkdir("content");
  Deno.writeFileSync(`${content}/big`, pattern(1_000_000, 1));
  Deno.writeTextFileSync(`${content}/small`, "tiny");
  Deno.symlinkSync("big", `${content}/link`);
  const image = folder.join("image");
  await run("mke2fs", [
    ...["-q", "-t", "ext4", "-b", "4096", ...mke2fsOptions, "-d", content, image, "64M"],
  ]);
  await run("debugfs", ["-w", "-R", "punch big 100 120", image]);
  {
    await using loop = await attachLoop(image);
    await body({ loop: loop.path, folder, image });
  }
  await run("e2fsck", ["-fn", image]);
}

function started(loop: string, options = {}): FakeKernel {
  const kernel = new FakeKernel(loop, options);
  init(kernel);
  config(kernel);
  return kernel;
}

Deno.test("INIT: FUSE_IOMAP is echoed where it is offered and wanted", async () => {
  await withDisk(({ loop }) => {
    const answered = (offered: number, options = {}) => {
      using kernel = new FakeKernel(loop, { readOnly: true, ...options });
      const { view } = init(kernel, offered);
      assert.equal(kernel.session.isReady, (view.getUint32(28 + 4, true) & FUSE_IOMAP) === 0);
      return [view.getUint32(12, true) & FUSE_INIT_EXT, view.getUint32(32, true)];
    };
    assert.deepEqual(answered(FUSE_IOMAP | 1 << 3), [FUSE_INIT_EXT, FUSE_IOMAP]);
    assert.deepEqual(answered(1 << 3), [FUSE_INIT_EXT, 0]);
    assert.deepEqual(answered(FUSE_IOMAP, { iomap: false }), [FUSE_INIT_EXT, 0]);
  });
});

Deno.test("CONFIG: registers the device, and tells what the kernel takes", async () => {
  await withDisk(({ loop }) => {
    using kernel = new FakeKernel(loop);
    init(kernel);
    assert.equal(kernel.session.isReady, false);
    const { bytes, view } = config(kernel);
    assert.equal(kernel.session.isReady, true);
    assert.equal(kernel.registered.length, 1);
    const [{ fuseFd, fd }] = kernel.registered;
    assert.equal(fuseFd, kernel.session.fd);
    assert.equal(Deno.readLinkSync(`/proc/self/fd/${fd}`), loop);
    const flags = Number(
      /^flags:\s*0(\d+)$/m.exec(
        Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`),
      )?.[1] ?? 0,
    );
    assert.equal(parseInt(String(flags), 8) & 0o40000, 0o40000, "O_DIRECT from now on");
    assert.equal(bytes.length, 104);
    assert.equal(view.getBigUint64(0, true), 0x3fn);
    const id = new TextDecoder().decode(bytes.subarray(8, 40)).replace(/\0+$/, "");
    assert.equal(id, loop.split("/").at(-1));
    assert.deepEqual(bytes.slice(40, 56), kernel.fs.superblock.uuid.slice());
    assert.deepEqual([...bytes.subarray(56, 60)], [16, 0, 0, 0]);
    assert.deepEqual([60, 64, 68].map((at) => view.getUint32(at, true)), [4096, 65000, 1]);
    assert.deepEqual(
      [72, 80].map((at) => view.getBigInt64(at, true)),
      [-(2n ** 31n), 2n ** 34n - 2n ** 31n - 1n],
    );
    assert.equal(view.getBigInt64(88, true), (2n ** 32n - 1n) * 4096n);
    assert.deepEqual([...bytes.subarray(96)], [0, 0, 0, 0, 0, 0, 0, 0]);
    assert.equal(config(kernel, 0x4).view.getBigUint64(0, true), 4n, "no flag it did not offer");
    kernel.unmount();
  });
});

Deno.test("CONFIG: without a registered device, files go through the server as ever", async () => {
  await withDisk(({ loop }) => {
    using kernel = new FakeKernel(loop, { registerDevice: undefined });
    init(kernel);
    assert.equal(config(kernel).error, 0);
    assert.match(kernel.warnings.join(), /file I\/O goes through the server: Cannot do ioctl/);
    assert.equal(lookup(kernel, "big").flags, 0);
    kernel.unmount();
  });
});

Deno.test("fuse_attr.flags: regular files are the kernel's", async () => {
  await withDisk(async ({ loop, image }) => {
    await run("debugfs", ["-w", "-R", "sif small flags 0x80038", image]);
    using kernel = started(loop);
    assert.equal(lookup(kernel, "big").flags, 0b1100);
    assert.equal(lookup(kernel, "small").flags, 0b1110_1100, "sync, immutable, append");
    assert.equal(lookup(kernel, "lost+found").flags, 0);
    assert.equal(lookup(kernel, "link").flags, 0);
    const { nodeId } = lookup(kernel, "big");
    const attributes = kernel.must(GETATTR, nodeId, new Uint8Array(16)).view;
    assert.equal(attributes.getUint32(16 + 84, true), 0b1100);
    kernel.unmount();
  });
});

Deno.test("BEGIN: reads and reports get the whole run, and change nothing", async () => {
  await withDisk(async ({ loop }) => {
    const { stdout } = await run("debugfs", ["-R", "bmap big 0", loop]);
    using kernel = started(loop);
    const { nodeId } = lookup(kernel, "big");
    for (const opflags of [0, OP_REPORT, OP_DIRECT, OP_ZERO | OP_WRITE]) {
      assert.deepEqual(begin(kernel, nodeId, 5000, 100, opflags), {
        offset: BLOCK,
        length: 99 * BLOCK,
        addr: (Number(stdout) + 1) * BLOCK,
        ...{ type: MAPPED, flags: 0, dev: DEVICE_COOKIE },
      });
    }
    const hole = begin(kernel, nodeId, 100 * BLOCK, BLOCK, OP_REPORT);
    assert.deepEqual([hole.type, hole.length], [HOLE, 21 * BLOCK]);
    const behind = begin(kernel, nodeId, 245 * BLOCK, BLOCK, OP_REPORT);
    assert.deepEqual([behind.type, behind.offset], [HOLE, 245 * BLOCK]);
    for (const opflags of [OP_WRITE | OP_OVERWRITE_ONLY, OP_WRITE | OP_ZERO]) {
      assert.equal(begin(kernel, nodeId, 100 * BLOCK, BLOCK, opflags).type, HOLE);
    }
    assert.equal(kernel.fs.writing.transactions.isDirty, false);
    kernel.unmount();
  });
});

Deno.test("BEGIN: places are those of the whole device, wherever the file system begins", async () => {
  if (!requires("root", "loop", "e2fsprogs")) return;
  using folder = new TempDir();
  const content = folder.mkdir("content");
  Deno.writeFileSync(`${content}/big`, pattern(100_000, 1));
  const [image, disk] = [folder.join("image"), folder.join("disk")];
  await run("mke2fs", ["-q", "-t", "ext4", "-b", "4096", "-d", content, image, "32M"]);
  const offset = 1 << 20;
  Deno.writeFileSync(disk, join(new Uint8Array(offset), Deno.readFileSync(image)));
  await using loop = await attachLoop(disk);
  using kernel = started(loop.path, { offset });
  const { nodeId } = lookup(kernel, "big");
  const { addr = 0 } = begin(kernel, nodeId, 0, 1);
  using device = Deno.openSync(loop.path);
  device.seekSync(addr, Deno.SeekMode.Start);
  const bytes = new Uint8Array(BLOCK);
  device.readSync(bytes);
  assert.deepEqual(bytes, pattern(BLOCK, 1));
  write(kernel, loop.path, create(kernel, "new"), 0, pattern(50_000, 2));
  kernel.unmount();
  await run("e2fsck", ["-fn", `${loop.path}?offset=${offset}`]);
});

Deno.test("iomap wants a block device, its own blocks, and extents", async () => {
  await withDisk(async ({ loop, image, folder }) => {
    const obstacle = (path: string, options = {}) => {
      using kernel = new FakeKernel(path, { readOnly: true, iomap: false, ...options });
      return iomapObstacle(kernel.fs);
    };
    assert.equal(obstacle(loop), undefined);
    assert.match(obstacle(image) ?? "", /a block device: losetup/);
    for (
      const [options, words] of [["-b 1024", /blocks of 4096/], [
        "-O ^extent,^64bit",
        /extents/,
      ]] as const
    ) {
      const other = folder.join(options);
      const style = ["-q", "-t", "ext4", "-b", "4096", ...options.split(" ")];
      await run("mke2fs", [...style, other, "32M"]);
      await using device = await attachLoop(other);
      assert.match(obstacle(device.path) ?? "", words);
    }
  });
});

Deno.test("BEGIN: inline data is the server's to read, and moves to a block to be written", async () => {
  await withDisk(({ loop }) => {
    using kernel = started(loop);
    const { nodeId, flags } = lookup(kernel, "small");
    assert.equal(flags, 0b1100);
    const inline = begin(kernel, nodeId, 0, 4);
    assert.deepEqual([inline.type, inline.offset, inline.length], [INLINE, 0, BLOCK]);
    assert.equal(begin(kernel, nodeId, 4, 4, OP_WRITE | OP_DIRECT).type, MAPPED);
    write(kernel, loop, nodeId, 4, new TextEncoder().encode(" and more"));
    kernel.unmount();
    using again = started(loop, { readOnly: true });
    assert.equal(lookup(again, "small").size, 13);
  }, ["-O", "inline_data", "-I", "256"]);
});

Deno.test("BEGIN of a write allocates unwritten blocks, IOEND makes them the file's", async () => {
  await withDisk(async ({ loop, folder }) => {
    using kernel = started(loop);
    const nodeId = create(kernel, "new", 0);
    const map = begin(kernel, nodeId, 10_000, 50_000, OP_WRITE);
    assert.deepEqual([map.type, map.offset, map.length], [UNWRITTEN, 2 * BLOCK, 13 * BLOCK]);
    assert.equal(sizeOf(kernel, nodeId), 0, "no size before the data");
    assert.deepEqual(begin(kernel, nodeId, 10_000, 50_000, OP_WRITE), map, "the same again");
    assert.equal(begin(kernel, nodeId, 9000, 10, OP_REPORT).type, UNWRITTEN);
    const answer = ioend(kernel, nodeId, 10_000, 20_000, IOEND_UNWRITTEN | IOEND_APPEND);
    assert.equal(answer?.view.getBigUint64(0, true), 30_000n);
    assert.equal(sizeOf(kernel, nodeId), 30_000);
    assert.equal(begin(kernel, nodeId, 10_000, 10).type, MAPPED);
    assert.equal(begin(kernel, nodeId, 10_000, 10).length, 6 * BLOCK);
    assert.equal(begin(kernel, nodeId, 8 * BLOCK, 10).type, UNWRITTEN, "what was not written yet");

    const bytes = pattern(3_000_000, 9);
    write(kernel, loop, nodeId, 0, bytes);
    const { nodeId: big } = lookup(kernel, "big");
    write(kernel, loop, big, 100 * BLOCK + 17, pattern(70_000, 5));
    write(kernel, loop, big, 5000, pattern(3000, 6));
    kernel.unmount();

    const dir = folder.mkdir("mnt");
    await using mount = await mountKernel(loop, dir, "ro");
    assert.deepEqual(Deno.readFileSync(`${mount.dir}/new`), bytes);
    const expected = pattern(1_000_000, 1);
    expected.fill(0, 100 * BLOCK, 121 * BLOCK);
    expected.set(pattern(70_000, 5), 100 * BLOCK + 17);
    expected.set(pattern(3000, 6), 5000);
    assert.deepEqual(Deno.readFileSync(`${mount.dir}/big`), expected);
  });
});

Deno.test("IOEND: of several extents, each with its size; failures change nothing", async () => {
  await withDisk(({ loop }) => {
    using kernel = started(loop);
    const nodeId = create(kernel, "pieces");
    for (const block of [0, 2, 1]) {
      begin(kernel, nodeId, block * BLOCK, BLOCK, OP_WRITEBACK | OP_WRITE);
    }
    assert.equal(ioend(kernel, nodeId, 0, 3 * BLOCK, IOEND_UNWRITTEN, Errno.EIO)?.error, 0);
    assert.equal(sizeOf(kernel, nodeId), 0);
    assert.equal(begin(kernel, nodeId, 0, 1).type, UNWRITTEN);
    assert.equal(ioend(kernel, nodeId, 0, 0)?.view.getBigUint64(0, true), 0n);
    assert.equal(ioend(kernel, nodeId, 0, 2 * BLOCK + 5)?.view.getBigUint64(0, true), 8197n);
    assert.equal(ioend(kernel, nodeId, 100, 5)?.view.getBigUint64(0, true), 8197n, "no smaller");
    assert.equal(ioend(kernel, nodeId, 50 * BLOCK, 10)?.error, Errno.EIO, "nothing was mapped");
    assert.equal(sizeOf(kernel, nodeId), 8197);
    kernel.unmount();
  });
});

Deno.test("END: answered, and what was not written stays unwritten", async () => {
  await withDisk(({ loop }) => {
    using kernel = started(loop);
    const nodeId = create(kernel, "short");
    const map = begin(kernel, nodeId, 0, 5 * BLOCK, OP_WRITE);
    const io = packed(
      ...[[8, map.offset], [8, map.length], [8, map.addr ?? 0], [2, map.type], [2, 0]] as const,
      [4, DEVICE_COOKIE],
    );
    const end = packed([4, OP_WRITE], [4, 0], [8, nodeId], [8, 0], [8, 5 * BLOCK], [8, -5]);
    const answer = kernel.must(END, nodeId, join(end, io));
    assert.equal(answer.bytes.length, 0);
    assert.equal(begin(kernel, nodeId, 0, BLOCK).type, UNWRITTEN);
    kernel.unmount();
  });
});

Deno.test("a crash at any moment leaves no foreign data in a file, and a sound file system", async () => {
  await withDisk(async ({ loop, folder }) => {
    // What lies in free blocks must not be seen.
    {
      await using mount = await mountKernel(loop, folder.mkdir("fill"), "rw");
      Deno.writeFileSync(`${mount.dir}/secret`, new Uint8Array(20 << 20).fill(0x55));
      await run("sync", ["-f", mount.dir]);
      Deno.removeSync(`${mount.dir}/secret`);
    }
    {
      using kernel = started(loop);
      const nodeId = create(kernel, "victim");
      begin(kernel, nodeId, 0, 64 * BLOCK, OP_WRITE);
      kernel.upkeep?.commit();
      // Half of it was written and told of, and committed; then the server is gone.
      ioend(kernel, nodeId, 16 * BLOCK, 16 * BLOCK, IOEND_UNWRITTEN | IOEND_APPEND);
      using device = Deno.openSync(loop, { write: true });
      const { addr = 0 } = begin(kernel, nodeId, 16 * BLOCK, BLOCK);
      device.seekSync(addr, Deno.SeekMode.Start);
      device.writeSync(new Uint8Array(16 * BLOCK).fill(0x11));
      kernel.upkeep?.commit();
      begin(kernel, nodeId, 64 * BLOCK, 64 * BLOCK, OP_WRITE);
    }
    await using mount = await mountKernel(loop, folder.mkdir("look"), "rw");
    const bytes = Deno.readFileSync(`${mount.dir}/victim`);
    assert.equal(bytes.length, 32 * BLOCK);
    assert.ok(bytes.subarray(0, 16 * BLOCK).every((byte) => byte === 0));
    assert.ok(bytes.subarray(16 * BLOCK).every((byte) => byte === 0x11));
  });
});

Deno.test("space: reserved for root, refused when it is over, given back by truncation", async () => {
  await withDisk(({ loop }) => {
    using kernel = started(loop);
    const nodeId = create(kernel, "full", 1000);
    let position = 0;
    let answer: Answer | undefined;
    for (;; position += 4 << 20) {
      answer = kernel.ask(BEGIN, nodeId, beginArguments(nodeId, position, 4 << 20, OP_WRITE), 1000);
      if (answer?.error !== 0) break;
      position = ioAt(answer.view, 0).offset + ioAt(answer.view, 0).length - (4 << 20);
    }
    assert.equal(answer?.error, Errno.ENOSPC);
    assert.ok(position > 20 << 20);
    assert.equal(begin(kernel, nodeId, position, BLOCK, OP_WRITE).type, UNWRITTEN, "root may");
    const size = join(packed([4, 1 << 3], [4, 0], [8, 0], [8, 0]), new Uint8Array(64));
    kernel.must(SETATTR, nodeId, size);
    assert.equal(begin(kernel, nodeId, 0, BLOCK, OP_REPORT).type, HOLE);
    kernel.must(FALLOCATE, nodeId, packed([8, 0], [8, 0], [8, 100_000], [4, 0], [4, 0]));
    assert.equal(begin(kernel, nodeId, 0, BLOCK, OP_REPORT).type, UNWRITTEN);
    kernel.must(UNLINK, 1, name("full"));
    kernel.unmount();
  });
});

Deno.test("what makes no sense is an error, and the server lives on", async () => {
  await withDisk(({ loop }) => {
    using kernel = started(loop);
    const { nodeId } = lookup(kernel, "big");
    const refused = (opcode: number, id: number, args: Uint8Array) => {
      const error = kernel.ask(opcode, id, args)?.error;
      assert.ok(error !== undefined && error > 0, `${opcode} ${error}`);
      return error;
    };
    assert.equal(refused(BEGIN, nodeId, new Uint8Array(31)), Errno.EINVAL);
    assert.equal(refused(IOEND, nodeId, new Uint8Array(47)), Errno.EINVAL);
    assert.equal(refused(BEGIN, 1, beginArguments(1, 0, BLOCK, 0)), Errno.EINVAL);
    refused(BEGIN, 4_000_000, beginArguments(1, 0, BLOCK, 0));
    assert.equal(refused(BEGIN, nodeId, beginArguments(nodeId, 2 ** 52, 1, 0)), Errno.EFBIG);
    assert.equal(refused(BEGIN, nodeId, beginArguments(nodeId, 2 ** 44 - 1, 1, 1)), Errno.EFBIG);
    assert.equal(refused(4088, nodeId, new Uint8Array(64)), Errno.ENOSYS);
    assert.equal(begin(kernel, nodeId, 0, 1).type, MAPPED);
    kernel.unmount();
    using reader = started(loop, { readOnly: true });
    assert.equal(begin(reader, nodeId, 0, 1).type, MAPPED);
    const write = reader.ask(BEGIN, nodeId, beginArguments(nodeId, 0, BLOCK, OP_WRITE));
    assert.equal(write?.error, Errno.EROFS);
  });
});

Deno.test("a kernel to which iomap was not promised gets ENOSYS", async () => {
  await withDisk(({ loop }) => {
    using kernel = new FakeKernel(loop, { readOnly: true, iomap: false });
    init(kernel);
    for (const opcode of [FREEZE, SHUTDOWN, CONFIG, IOEND, BEGIN, END]) {
      assert.equal(kernel.ask(opcode, 1, new Uint8Array(72))?.error, Errno.ENOSYS);
    }
  });
});

Deno.test("FREEZE_FS: the device can be copied as it is; UNFREEZE_FS; SHUTDOWN_FS", async () => {
  await withDisk(async ({ loop, folder, image }) => {
    using kernel = started(loop);
    const nodeId = create(kernel, "frozen");
    write(kernel, loop, nodeId, 0, pattern(100_000, 3));
    kernel.must(FREEZE, 1, packed([8, 0]));
    const copy = folder.join("copy");
    await run("sync", ["-f", image]);
    await run("cp", [loop, copy]);
    const { stdout } = await run("debugfs", ["-R", "stat frozen", copy]);
    assert.match(stdout, /Size: 100000/, "not only in the log");
    kernel.must(UNFREEZE, 1, packed([8, 0]));
    create(kernel, "later");
    kernel.must(SHUTDOWN, 1, packed([8, 0]));
    assert.equal(kernel.ask(LOOKUP, 1, name("later"))?.error, Errno.EIO);
    kernel[Symbol.dispose]();
    using again = started(loop);
    assert.ok(lookup(again, "later").nodeId > 0);
    again.unmount();
  });
});
