/** Hash trees of directories that grow: to every depth, with equal hashes, until they are full. */

import assert from "node:assert/strict";
import { EXT4_INDEX_FL } from "../src/disk/inode.ts";
import { readDirectory } from "../src/ext4/directory/directory.ts";
import { directoryHash, HashVersion } from "../src/ext4/directory/dirhash.ts";
import { evict } from "../src/ext4/inode/evict.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import type { Inode } from "../src/ext4/inode/inode.ts";
import { lookup, namedInode } from "../src/ext4/directory/lookup.ts";
import {
  link,
  makeDirectory,
  makeNode,
  removeDirectory,
  unlink,
} from "../src/ext4/directory/namespace.ts";
import { Errno } from "../src/sys/errno.ts";
import { FsError } from "../src/sys/fs_error.ts";
import { S_IFREG } from "../src/sys/stat.ts";
import { complaintsAfter, complaintsOf, openForWriting } from "./support/allocation.ts";
import { bytes } from "./support/bytes.ts";
import { mountKernel } from "./support/mount.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const FILE = { mode: S_IFREG | 0o644, umask: 0, uid: 0, gid: 0 };
/** Names that one file has before another one is linked to. */
const LINKS = 60_000;

async function makeImage(folder: TempDir, mke2fs: string, megabytes: number): Promise<string> {
  const image = folder.join("image");
  await run("mke2fs", ["-q", "-F", ...mke2fs.split(" "), "-N", "512", image, `${megabytes}M`]);
  return image;
}

function makeDir(fs: FileSystem, name: string): Inode {
  return makeDirectory(fs, fs.root, bytes(name), { ...FILE, mode: 0o755 });
}

/** Adds many names that lead to few files. */
class Filler {
  #file: Inode | undefined;
  readonly #fs: FileSystem;
  readonly #dir: Inode;
  count = 0;

  constructor(fs: FileSystem, dir: Inode) {
    this.#fs = fs;
    this.#dir = dir;
  }

  add(name: Uint8Array): void {
    if (this.#file === undefined || this.count % LINKS === 0) {
      this.#file = makeNode(this.#fs, this.#fs.root, bytes(`file${this.count}`), FILE);
    }
    link(this.#fs, this.#file, this.#dir, name);
    this.count++;
  }
}

function longName(index: number): Uint8Array<ArrayBuffer> {
  return bytes(`${index}-`.padEnd(250, "x"));
}

async function htreeDump(image: string, dir: string): Promise<string> {
  return (await run("debugfs", ["-R", `htree_dump ${dir}`, image])).stdout;
}

async function countByKernel(image: string, folder: TempDir, dir: string): Promise<number> {
  await using mounted = await mountKernel(image, folder.mkdir("kernel"), "ro");
  let count = 0;
  for (const { name } of Deno.readDirSync(`${mounted.dir}/${dir}`)) {
    count++;
    if (count % 500 === 0) Deno.lstatSync(`${mounted.dir}/${dir}/${name}`);
  }
  return count;
}

for (const checksums of ["metadata_csum", "^metadata_csum"]) {
  Deno.test(`addName grows a tree to three levels with large_dir: ${checksums}`, async () => {
    if (!requires("root", "loop", "e2fsprogs")) return;
    using folder = new TempDir();
    const image = await makeImage(folder, `-t ext4 -b 1024 -O large_dir,${checksums}`, 60);
    const count = 50_000;
    {
      using opened = openForWriting(image);
      const { fs } = opened;
      const dir = makeDir(fs, "deep");
      const filler = new Filler(fs, dir);
      while (filler.count < count) filler.add(longName(filler.count));
      for (let index = 0; index < count; index += 97) {
        assert.ok(lookup(fs, dir, longName(index)) !== undefined, `name ${index}`);
      }
      assert.equal([...readDirectory(fs, dir, 0)].length, count + 2);
      assert.throws(() => filler.add(longName(count - 1)), hasErrno(Errno.EEXIST));
      assert.equal(await complaintsAfter(fs, image), "");
      assert.deepEqual(opened.complaints, []);
    }
    assert.match(await htreeDump(image, "/deep"), /Indirect levels: 2/);
    assert.equal(await countByKernel(image, folder, "deep"), count);
    using opened = openForWriting(image);
    const { fs } = opened;
    const dir = namedInode(fs, fs.root, bytes("deep"))!;
    for (let index = 0; index < count; index++) unlink(fs, dir, longName(index));
    assert.equal([...readDirectory(fs, dir, 0)].length, 2);
    assert.equal(removeDirectory(fs, fs.root, bytes("deep")).linksCount, 0);
  });
}

Deno.test("addName throws ENOSPC when the tree has all its levels, and leaves all as it was", async () => {
  if (!requires("root", "loop", "e2fsprogs")) return;
  using folder = new TempDir();
  const image = await makeImage(folder, "-t ext4 -b 1024", 60);
  using opened = openForWriting(image);
  const { fs } = opened;
  const dir = makeDir(fs, "full");
  const filler = new Filler(fs, dir);
  let refused = 0;
  for (let index = 0; refused < 100; index++) {
    try {
      filler.add(longName(index));
    } catch (error) {
      assert.ok(error instanceof FsError && error.errno === Errno.ENOSPC, `${error}`);
      assert.equal(lookup(fs, dir, longName(index)), undefined);
      refused++;
    }
  }
  // Each of 123 nodes is at least half full when they cannot be divided any more.
  assert.ok(filler.count > 15_000, `${filler.count} names`);
  // There may still be room elsewhere, and there is again where something is removed.
  for (let index = 0; index < 5000; index++) unlink(fs, dir, longName(index));
  for (let index = 0; index < 5000; index++) filler.add(longName(index));
  const { count } = filler;
  assert.equal(await complaintsAfter(fs, image), "");
  assert.match(await htreeDump(image, "/full"), /Indirect levels: 1/);
  assert.equal(await countByKernel(image, folder, "full"), count - 5000);
});

Deno.test("addName: names of one hash go on from leaf to leaf, and are found and removed", async () => {
  if (!requires("root", "loop", "e2fsprogs")) return;
  using folder = new TempDir();
  const image = await makeImage(folder, "-t ext4 -b 1024", 20);
  await run("tune2fs", ["-E", "hash_alg=legacy", image]);
  const random = new Random(20261003);
  const same = Array.from({ length: 12 }, () => nameOfHash(random, 0x12345678));
  const others = Array.from({ length: 300 }, (_, index) => longName(index));
  const names = [...same.slice(0, 6), ...others, ...same.slice(6)];
  {
    using opened = openForWriting(image);
    const { fs } = opened;
    const dir = makeDir(fs, "same");
    const filler = new Filler(fs, dir);
    for (const name of names) {
      filler.add(name);
      assert.throws(() => filler.add(name), hasErrno(Errno.EEXIST));
    }
    for (const name of names) assert.ok(lookup(fs, dir, name) !== undefined);
    assert.equal(await complaintsAfter(fs, image), "");
  }
  {
    await using mounted = await mountKernel(image, folder.mkdir("mnt"), "ro");
    const seen = [...Deno.readDirSync(`${mounted.dir}/same`)].map(({ name }) => name);
    assert.equal(seen.length, names.length);
    for (const name of names) {
      Deno.lstatSync(`${mounted.dir}/same/${new TextDecoder().decode(name)}`);
    }
  }
  using opened = openForWriting(image);
  const { fs } = opened;
  const dir = namedInode(fs, fs.root, bytes("same"))!;
  for (const name of same) {
    unlink(fs, dir, name);
    assert.equal(lookup(fs, dir, name), undefined);
  }
  for (const name of others) assert.ok(lookup(fs, dir, name) !== undefined);
  assert.equal(await complaintsAfter(fs, image), "");
});

Deno.test("addName takes a directory of 200,000 names, which the kernel lists whole", async () => {
  if (!requires("root", "loop", "e2fsprogs")) return;
  using folder = new TempDir();
  const image = await makeImage(folder, "-t ext4 -b 4096", 64);
  const count = 200_000;
  using opened = openForWriting(image);
  const { fs } = opened;
  const dir = makeDir(fs, "large");
  const filler = new Filler(fs, dir);
  while (filler.count < count) filler.add(bytes(`name-${filler.count}`));
  assert.ok(dir.hasFlag(EXT4_INDEX_FL));
  for (let index = 0; index < count; index += 2) unlink(fs, dir, bytes(`name-${index}`));
  for (let index = 0; index < count; index++) {
    const found = lookup(fs, dir, bytes(`name-${index}`)) !== undefined;
    assert.equal(found, index % 2 === 1);
  }
  assert.equal(await complaintsAfter(fs, image), "");
  assert.equal(await countByKernel(image, folder, "large"), count / 2);
});

Deno.test("the kernel goes on with trees that were written here, and the other way round", async () => {
  if (!requires("root", "loop", "e2fsprogs")) return;
  for (const features of ["metadata_csum", "^metadata_csum", "inline_data"]) {
    using folder = new TempDir();
    const image = folder.join("image");
    const options = ["-t", "ext4", "-b", "1024", "-N", "8000", "-O", features];
    await run("mke2fs", ["-q", "-F", ...options, image, "40M"]);
    const mnt = folder.mkdir("mnt");
    const random = new Random(20261004);
    const there = new Set<string>();
    /** As many names are added as a third of them are removed. */
    const change = (count: number, add: (name: string) => void, remove: (name: string) => void) => {
      for (let index = 0; index < count; index++) {
        const name = `${random.below(1e6)}`.padEnd(8 + random.below(200), "n");
        if (!there.has(name)) add(name);
        there.add(name);
        if (index % 3 !== 0) continue;
        const gone = random.pick([...there]);
        remove(gone);
        there.delete(gone);
      }
    };
    for (const count of [2, 20, 300, 800]) {
      {
        using opened = openForWriting(image);
        const { fs } = opened;
        const dir = namedInode(fs, fs.root, bytes("dir")) ?? makeDir(fs, "dir");
        change(
          count,
          (name) => makeNode(fs, dir, bytes(name), FILE),
          (name) => evict(fs, unlink(fs, dir, bytes(name))),
        );
        assert.equal(await complaintsAfter(fs, image), "");
      }
      {
        await using mounted = await mountKernel(image, mnt, "rw");
        const path = (name: string) => `${mounted.dir}/dir/${name}`;
        const listed = [...Deno.readDirSync(`${mounted.dir}/dir`)].map(({ name }) => name);
        assert.deepEqual(listed.sort(), [...there].sort());
        change(
          count,
          (name) => Deno.writeTextFileSync(path(name), ""),
          (name) => Deno.removeSync(path(name)),
        );
      }
      assert.equal(await complaintsOf(image), "");
    }
  }
});

function hasErrno(errno: number): (error: unknown) => boolean {
  return (error) => error instanceof FsError && error.errno === errno;
}

// ---------------------------------------------------------------- names of a chosen hash

const LEGACY_FACTOR = 7152373;
/** LEGACY_FACTOR * LEGACY_INVERSE = 1 modulo 2^32. */
const LEGACY_INVERSE = inverse(LEGACY_FACTOR);
const LEGACY_MODULUS = 0x7fffffff;
const LEGACY_START = [0x12a3fe2d, 0x37abe8f9];
const LETTERS = Array.from({ length: 26 }, (_, index) => index + 0x61);
/** Letters of a name that are not varied. */
const HEAD = 242;

/** One step of the legacy hash: the new value from the last two. */
function legacyStep(last: number, before: number, letter: number): number {
  const sum = (before + (last ^ Math.imul(letter, LEGACY_FACTOR))) >>> 0;
  return sum >= 2 ** 31 ? sum - LEGACY_MODULUS : sum;
}

/** A long name with a given major hash: the last letter but one is tried, the last worked out. */
function nameOfHash(random: Random, major: number): Uint8Array<ArrayBuffer> {
  const wanted = major / 2;
  const name = new Uint8Array(250).map(() => random.pick(LETTERS));
  let [last, before] = LEGACY_START;
  const step = (letter: number) => [last, before] = [legacyStep(last, before, letter), last];
  name.subarray(0, HEAD).forEach(step);
  const [headLast, headBefore] = [last, before];
  for (let count = 0;; count++) {
    // Digits to the base 26.
    for (let at = HEAD, rest = count; at < 248; at++, rest = Math.floor(rest / 26)) {
      name[at] = LETTERS[rest % 26];
    }
    last = headLast;
    before = headBefore;
    for (let at = HEAD; at < 248; at++) {
      const next = legacyStep(last, before, name[at]);
      before = last;
      last = next;
    }
    for (const letter of LETTERS) {
      const next = legacyStep(last, before, letter);
      for (let sum = wanted; sum < 2 ** 32; sum += LEGACY_MODULUS) {
        const final = Math.imul((sum - last) ^ next, LEGACY_INVERSE);
        if (final < 0x21 || final > 0x7e || final === 0x2f) continue;
        name.set([letter, final], 248);
        const { major: found } = directoryHash(HashVersion.LEGACY, new Uint32Array(4), name);
        if (found === major) return name;
      }
    }
  }
}

/** Newton's iteration doubles the bits that are right. */
function inverse(odd: number): number {
  let found = odd;
  for (let round = 0; round < 5; round++) found = Math.imul(found, 2 - Math.imul(odd, found));
  return found;
}
