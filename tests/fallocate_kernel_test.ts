/** fallocate, truncate and writes at odd places: the kernel's ext4 does the same to the same file. */

import assert from "node:assert/strict";
import {
  FALLOC_FL_COLLAPSE_RANGE as COLLAPSE,
  FALLOC_FL_INSERT_RANGE as INSERT,
  FALLOC_FL_KEEP_SIZE as KEEP,
  FALLOC_FL_PUNCH_HOLE as PUNCH,
  FALLOC_FL_ZERO_RANGE as ZERO,
  fallocate,
} from "../src/ext4/content/fallocate.ts";
import { readBytes } from "../src/ext4/content/read.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import type { Inode } from "../src/ext4/inode/inode.ts";
import { mapBlocks } from "../src/ext4/map/block_map.ts";
import { setSize } from "../src/ext4/content/truncate.ts";
import { writeFile } from "../src/ext4/content/write.ts";
import { Errno } from "../src/sys/errno.ts";
import { FsError } from "../src/sys/fs_error.ts";
import { complaintsAfter, fileNamed, openForWriting } from "./support/allocation.ts";
import { equal } from "./support/file_model.ts";
import { mountKernel } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const K = 1024;

/** What is done to a file: fallocate's mode, or another call. */
type Case = readonly [act: number | "truncate" | "write", offset: number, length: number];

/** Each file has 100,000 bytes, a hole from 20 KiB to 60 KiB, and is as it was for each case. */
const CASES: readonly Case[] = [
  [0, 0, 10],
  [0, 30 * K, 5000],
  [0, 90 * K, 200 * K],
  [KEEP, 90 * K, 200 * K],
  [KEEP, 300 * K, 1],
  [0, 0, 0],
  [0, 0, 2 ** 50],
  [PUNCH, 0, 4096],
  [PUNCH | KEEP, 0, 4096],
  [PUNCH | KEEP, 100, 200],
  [PUNCH | KEEP, 1000, 70_000],
  [PUNCH | KEEP, 16 * K, 80 * K],
  [PUNCH | KEEP, 90 * K, 2 ** 30],
  [PUNCH | KEEP, 99_999, 1],
  [PUNCH | KEEP, 200 * K, 4096],
  [PUNCH | KEEP | ZERO, 0, 4096],
  [ZERO, 0, 4096],
  [ZERO, 3000, 3000],
  [ZERO, 25 * K, 100],
  [ZERO, 10_000, 60_000],
  [ZERO, 90_000, 90_000],
  [ZERO | KEEP, 90_000, 90_000],
  [COLLAPSE, 0, 4096],
  [COLLAPSE, 0, 64 * K],
  [COLLAPSE, 32 * K, 32 * K],
  [COLLAPSE, 4096, 100],
  [COLLAPSE, 64 * K, 64 * K],
  [COLLAPSE, 200 * K, 64 * K],
  [INSERT, 0, 4096],
  [INSERT, 16 * K, 4096],
  [INSERT, 64 * K, 64 * K],
  [INSERT, 32 * K, 128 * K],
  [INSERT, 0, 1000],
  [INSERT, 128 * K, 64 * K],
  [INSERT, 0, 2 ** 50],
  [4, 0, 4096],
  [0x100, 0, 4096],
  ["truncate", 0, 0],
  ["truncate", 1, 0],
  ["truncate", 40_000, 0],
  ["truncate", 99_999, 0],
  ["truncate", 400_000, 0],
  ["truncate", 2 ** 50, 0],
  ["write", 0, 10],
  ["write", 30_000, 10],
  ["write", 99_990, 20],
  ["write", 200_001, 3],
  ["write", 1000, 150_000],
];

const LAYOUTS: Readonly<Record<string, string>> = {
  "ext2-1k": "-t ext2 -b 1024",
  "ext3-4k": "-t ext3 -b 4096 -J size=4",
  "ext4-1k": "-t ext4 -b 1024",
  "ext4-4k": "-t ext4 -b 4096",
  "ext4-bigalloc": "-t ext4 -b 4096 -O bigalloc -C 65536",
  "ext4-inline": "-t ext4 -b 2048 -O inline_data -I 256",
};

/** Does to the files of a folder what their names say; prints an errno for each. */
const PYTHON = `
import ctypes, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
folder, cases = sys.argv[1], json.loads(sys.argv[2])
def content(length, first):
    return bytes(1 + (first + at) % 255 for at in range(length))
def attempt(act, fd, offset, length):
    if act == "truncate": os.ftruncate(fd, offset)
    elif act == "write": os.pwrite(fd, content(length, 77), offset)
    else:
        args = [ctypes.c_int(fd), ctypes.c_int(act), ctypes.c_int64(offset), ctypes.c_int64(length)]
        if libc.fallocate(*args) != 0: raise OSError(ctypes.get_errno(), "fallocate")
results = []
for number, (act, offset, length) in enumerate(cases):
    fd = os.open(f"{folder}/{number}", os.O_RDWR | os.O_CREAT)
    if len(sys.argv) > 3:
        os.pwrite(fd, content(20480, 0), 0)
        os.pwrite(fd, content(100000 - 61440, 61440), 61440)
    else:
        try:
            attempt(act, fd, offset, length)
            results.append(0)
        except OSError as error:
            results.append(error.errno)
    os.close(fd)
print(json.dumps(results))
`;

async function byKernel(image: string, dir: string, makeFiles: boolean): Promise<number[]> {
  await using _mount = await mountKernel(image, dir, "rw");
  const more = makeFiles ? ["make"] : [];
  const args = ["-c", PYTHON, dir, JSON.stringify(CASES), ...more];
  return JSON.parse((await run("python3", args)).stdout);
}

function act(fs: FileSystem, file: Inode, [act, offset, length]: Case): number {
  try {
    if (act === "truncate") setSize(fs, file, offset);
    else if (act === "write") {
      const bytes = Uint8Array.from({ length }, (_, at) => 1 + (77 + at) % 255);
      writeFile(fs, file, offset, bytes);
    } else fallocate(fs, file, act, offset, length);
    return 0;
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    return error.errno;
  }
}

/** What a file looks like. Whether blocks without data are unwritten or zeros is left open. */
function describe(fs: FileSystem, file: Inode) {
  const holes: number[] = [];
  const end = Math.min(2000, Math.ceil(file.size / fs.blockSize) + 200);
  for (let at = 0; at < end; at++) {
    if (mapBlocks(fs, file, at, 1).kind === "hole") holes.push(at);
  }
  // The kernel's trees of extents are not always as flat as ours.
  const sectors = file.usesExtents ? undefined : file.blocks512(fs.blockSize);
  return { size: file.size, sectors, holes };
}

for (const [name, mke2fs] of Object.entries(LAYOUTS)) {
  Deno.test(`fallocate, setSize and writeFile do what the kernel does: ${name}`, async () => {
    if (!requires("root", "loop", "python3", "e2fsprogs")) return;
    using folder = new TempDir();
    const [ours, theirs] = [folder.join("ours.img"), folder.join("theirs.img")];
    await run("mke2fs", ["-q", "-F", ...mke2fs.split(" "), ours, "64M"]);
    const dir = folder.mkdir("mnt");
    await byKernel(ours, dir, true);
    Deno.copyFileSync(ours, theirs);
    const errnos = await byKernel(theirs, dir, false);
    using opened = openForWriting(ours);
    using expected = openForWriting(theirs);
    for (const [number, errno] of errnos.entries()) {
      const words = `case ${CASES[number]}`;
      const file = fileNamed(opened.fs, `${number}`);
      const other = fileNamed(expected.fs, `${number}`);
      assert.equal(act(opened.fs, file, CASES[number]), errno, words);
      assert.deepEqual(describe(opened.fs, file), describe(expected.fs, other), words);
      const content = readBytes(opened.fs, file, 0, 1 << 20);
      assert(equal(content, readBytes(expected.fs, other, 0, 1 << 20)), words);
    }
    assert.equal(Errno.EINVAL, errnos[5]);
    assert.equal(await complaintsAfter(opened.fs, ours), "");
  });
}
