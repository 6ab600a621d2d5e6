/**
 * Operations on names that fail half-way, for want of space, or because a block cannot be read,
 * leave everything as it was: every byte of the file system, and the inodes in memory.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { MemoryDevice } from "../src/block/memory_device.ts";
import { EXT4_INLINE_DATA_FL } from "../src/disk/inode.ts";
import { readDirectory } from "../src/ext4/directory/directory.ts";
import { isDotName } from "../src/ext4/directory/directory_block.ts";
import { evict } from "../src/ext4/inode/evict.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import type { Inode } from "../src/ext4/inode/inode.ts";
import { namedInode } from "../src/ext4/directory/lookup.ts";
import {
  link,
  makeDirectory,
  makeNode,
  makeSymlink,
  makeTemporary,
  removeDirectory,
  unlink,
} from "../src/ext4/directory/namespace.ts";
import { rename, RENAME_EXCHANGE, RENAME_WHITEOUT } from "../src/ext4/directory/rename.ts";
import type { ErrnoName } from "../src/sys/errno.ts";
import { fail, FsError } from "../src/sys/fs_error.ts";
import { S_IFCHR, S_IFREG } from "../src/sys/stat.ts";
import { complaintsOf, openDeviceForWriting } from "./support/allocation.ts";
import { bytes } from "./support/bytes.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const OWNER = { uid: 0, gid: 0 };
const FILE = { ...OWNER, mode: S_IFREG | 0o644, umask: 0 };

const LAYOUTS: Readonly<Record<string, string>> = {
  "ext2": "-t ext2 -b 1024",
  "ext4": "-t ext4 -b 1024",
  "ext4-inline": "-t ext4 -b 1024 -O inline_data",
  "ext4-no-extent": "-t ext4 -b 1024 -O ^extent,^64bit",
};

function long(index: number): Uint8Array<ArrayBuffer> {
  return bytes(`${index}-`.padEnd(240, "x"));
}

/** Makes the n-th call of everything that reads or gives out blocks and inodes fail. */
class Faults {
  #left = Infinity;
  #code: ErrnoName = "EIO";
  readonly #counts: "reads" | "allocations";

  constructor(fs: FileSystem, counts: "reads" | "allocations") {
    this.#counts = counts;
    const { cache, writing } = fs;
    this.#wrap(cache, "read", "reads");
    this.#wrap(cache, "create", "reads");
    this.#wrap(writing.blocks, "allocate", "allocations");
    this.#wrap(writing.inodes, "allocate", "allocations");
  }

  arm(call: number, code: ErrnoName): void {
    this.#left = call;
    this.#code = code;
  }

  disarm(): void {
    this.#left = Infinity;
  }

  #wrap<Name extends string>(
    // deno-lint-ignore no-explicit-any -- any method, which is called with what it was given
    object: { [Key in Name]: (...args: any[]) => any },
    name: Name,
    kind: "reads" | "allocations",
  ): void {
    const original = object[name];
    object[name] = (...args: unknown[]) => {
      if (kind === this.#counts && --this.#left <= 0) throw fail(this.#code, "injected");
      return original.apply(object, args);
    };
  }
}

/** All operations, each on a directory that is about to grow, and on others. */
function* operations(fs: FileSystem): Generator<[string, () => Inode | undefined | void]> {
  const dir = () => namedInode(fs, fs.root, bytes("dir"))!;
  const other = () => namedInode(fs, fs.root, bytes("other"))!;
  yield ["mkdir", () => makeDirectory(fs, fs.root, bytes("dir"), { ...FILE, mode: 0o755 })];
  yield ["mkdir", () => makeDirectory(fs, fs.root, bytes("other"), { ...FILE, mode: 0o755 })];
  for (let index = 0; index < 12; index++) {
    yield [`mknod ${index}`, () => makeNode(fs, dir(), long(index), FILE)];
  }
  yield ["device", () => makeNode(fs, dir(), bytes("device"), { ...FILE, mode: S_IFCHR | 0o600 })];
  yield ["fast symlink", () => makeSymlink(fs, dir(), bytes("fast"), bytes("target"), OWNER)];
  yield ["symlink", () => makeSymlink(fs, dir(), bytes("slow"), long(1), OWNER)];
  yield ["mkdir in dir", () => makeDirectory(fs, dir(), bytes("sub"), { ...FILE, mode: 0o755 })];
  yield ["mkdir in dir", () => makeDirectory(fs, dir(), bytes("sub2"), { ...FILE, mode: 0o755 })];
  for (let index = 0; index < 4; index++) {
    const name = long(index);
    yield ["link", () => link(fs, namedInode(fs, dir(), name)!, other(), name)];
  }
  yield ["tmpfile", () => makeTemporary(fs, dir(), FILE)];
  yield ["unlink", () => unlink(fs, dir(), long(3))];
  yield ["unlink the last", () => unlink(fs, other(), long(3))];
  yield ["unlink symlink", () => unlink(fs, dir(), bytes("slow"))];
  yield ["rename", () => rename(fs, dir(), long(4), dir(), long(40), 0, OWNER)];
  yield ["rename across", () => rename(fs, dir(), long(5), other(), long(5), 0, OWNER)];
  yield ["rename over", () => rename(fs, dir(), long(6), other(), long(5), 0, OWNER)];
  yield ["rename a directory", () => rename(fs, dir(), bytes("sub"), other(), long(7), 0, OWNER)];
  yield [
    "rename over a directory",
    () => rename(fs, other(), long(7), dir(), bytes("sub2"), 0, OWNER),
  ];
  yield [
    "exchange",
    () => rename(fs, dir(), bytes("sub2"), other(), long(1), RENAME_EXCHANGE, OWNER),
  ];
  yield ["whiteout", () => rename(fs, dir(), long(8), other(), long(8), RENAME_WHITEOUT, OWNER)];
  yield ["rmdir", () => removeDirectory(fs, other(), long(1))];
}

/** What the device would hold if everything were written to its place. */
function stateOf(fs: FileSystem, device: MemoryDevice): Uint8Array {
  const state = device.bytes.slice();
  for (let number = 0; number < fs.superblock.blocksCount; number++) {
    const block = fs.cache.peek(number);
    if (block !== undefined) state.set(block.bytes, number * fs.blockSize);
  }
  return state;
}

/** Inodes in memory say what their records say. */
function verifyInodes(fs: FileSystem, dir: Inode): void {
  assert.deepEqual(dir.bytes, fs.rawInode(dir.ino).bytes);
  for (const { name, ino } of readDirectory(fs, dir, 0)) {
    if (isDotName(name)) continue;
    const inode = fs.inode(ino);
    if (inode.isDirectory) verifyInodes(fs, inode);
    else assert.deepEqual(inode.bytes, fs.rawInode(ino).bytes);
  }
}

for (const [name, mke2fs] of Object.entries(LAYOUTS)) {
  for (
    const [counts, codes] of [["reads", ["EIO"]], ["allocations", ["ENOSPC", "EDQUOT"]]] as const
  ) {
    Deno.test(`an operation on names that fails is undone: ${name}, ${counts}`, async () => {
      if (!requires("e2fsprogs")) return;
      using folder = new TempDir();
      const image = folder.join("image");
      await run("mke2fs", ["-q", "-F", ...mke2fs.split(" "), "-N", "128", image, "4M"]);
      const device = new MemoryDevice(Deno.readFileSync(image));
      using opened = openDeviceForWriting(device);
      const { fs } = opened;
      const faults = new Faults(fs, counts);
      let undone = 0;
      for (const [words, operation] of operations(fs)) {
        const { result, failures } = failUntilDone(fs, device, faults, codes, words, operation);
        undone += failures;
        if (result?.linksCount === 0) evict(fs, result);
      }
      assert.ok(undone > 25, `${undone} failures`);
      assert.equal(namedInode(fs, fs.root, bytes("other"))!.hasFlag(EXT4_INLINE_DATA_FL), false);
      fs.stopWriting();
      assert.deepEqual(opened.complaints, []);
      Deno.writeFileSync(image, device.bytes);
      assert.equal(await complaintsOf(image), "");
    });
  }
}

/**
 * Lets an operation fail at every call, until it succeeds. Returns what it returned then, and how
 * often it failed.
 */
function failUntilDone(
  fs: FileSystem,
  device: MemoryDevice,
  faults: Faults,
  codes: readonly ErrnoName[],
  words: string,
  operation: () => Inode | undefined | void,
): { readonly result: Inode | undefined | void; readonly failures: number } {
  fs.writing.transactions.commit();
  const before = stateOf(fs, device);
  for (let call = 1;; call++) {
    const code = codes[call % codes.length];
    const where = `${words}, ${code} at call ${call}`;
    faults.arm(call, code);
    try {
      return { result: operation(), failures: call - 1 };
    } catch (error) {
      assert.ok(error instanceof FsError, `${where}: ${error}`);
      assert.equal(error.code, code, where);
    } finally {
      faults.disarm();
    }
    assert.ok(Buffer.compare(before, stateOf(fs, device)) === 0, `${where}: not undone`);
    verifyInodes(fs, fs.root);
  }
}
