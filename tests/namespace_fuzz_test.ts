/**
 * Names are changed on file systems that are damaged, each by its seed: nothing but an FsError may
 * come of it. FUZZ_COUNT and FUZZ_SEED are as in fuzz_test.ts.
 */

import assert from "node:assert/strict";
import { MemoryDevice } from "../src/block/memory_device.ts";
import { readDirectory } from "../src/ext4/directory/directory.ts";
import { evict } from "../src/ext4/inode/evict.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import type { Inode } from "../src/ext4/inode/inode.ts";
import {
  link,
  makeDirectory,
  makeNode,
  makeSymlink,
  makeTemporary,
  removeDirectory,
  unlink,
} from "../src/ext4/directory/namespace.ts";
import { rename } from "../src/ext4/directory/rename.ts";
import { FsError } from "../src/sys/fs_error.ts";
import { S_IFDIR, S_IFREG } from "../src/sys/stat.ts";
import { openDeviceForWriting } from "./support/allocation.ts";
import { damage, fuzzBase } from "./support/fuzz.ts";
import { makeFuzzImages } from "./support/fuzz_images.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";
import { TempDir } from "./support/run.ts";

const COUNT = Number(Deno.env.get("FUZZ_COUNT") ?? 400);
const FIRST_SEED = Number(Deno.env.get("FUZZ_SEED") ?? 0);
const CHANGES = 120;
const MAX_MILLISECONDS = 20_000;
const OWNER = { uid: 0, gid: 0 };
const FILE = { ...OWNER, mode: S_IFREG | 0o644, umask: 0 };

Deno.test("operations on names of mutated images succeed or give clear errors", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const images = await makeFuzzImages(folder.path);
  const bases = [...images].map(([name, image]) => fuzzBase(name, Deno.readFileSync(image)));
  const codes = new Map<string, number>();
  for (let seed = FIRST_SEED; seed < FIRST_SEED + COUNT; seed++) {
    const base = bases[seed % bases.length];
    const start = performance.now();
    try {
      new Changes(new Random(seed), codes).run(new MemoryDevice(damage(base, seed)));
    } catch (error) {
      throw new Error(`seed ${seed} (${base.name})`, { cause: error });
    }
    const time = performance.now() - start;
    assert.ok(time < MAX_MILLISECONDS, `seed ${seed} (${base.name}): ${time} ms`);
  }
  if (COUNT < 400) return;
  for (const code of ["EUCLEAN", "EBADMSG"]) assert.ok((codes.get(code) ?? 0) > COUNT / 4, code);
});

/** Random changes to one file system. */
class Changes {
  readonly #random: Random;
  readonly #codes: Map<string, number>;
  readonly #directories: { readonly dir: Inode; readonly names: Uint8Array[] }[] = [];

  constructor(random: Random, codes: Map<string, number>) {
    this.#random = random;
    this.#codes = codes;
  }

  run(device: MemoryDevice): void {
    const opened = this.#attempt(() => openDeviceForWriting(device));
    if (opened === undefined) return;
    const { fs } = opened;
    this.#find(fs, fs.root, new Set());
    for (let index = 0; index < CHANGES; index++) {
      const changed = this.#attempt(() => this.#change(fs, index));
      if (changed?.linksCount !== 0) continue;
      this.#attempt(() => fs.unlinkedInodes.has(changed.ino) && evict(fs, changed));
    }
    this.#attempt(() => fs.stopWriting());
  }

  #find(fs: FileSystem, dir: Inode, seen: Set<number>): void {
    if (seen.has(dir.ino) || seen.size > 30) return;
    seen.add(dir.ino);
    const names: Uint8Array[] = [];
    this.#directories.push({ dir, names });
    const below: number[] = [];
    this.#attempt(() => {
      for (const { name, ino, type } of readDirectory(fs, dir, 0)) {
        if (names.push(name) > 500) break;
        if (type === S_IFDIR) below.push(ino);
      }
    });
    for (const ino of below) {
      const sub = this.#attempt(() => fs.inode(ino));
      if (sub?.isDirectory) this.#find(fs, sub, seen);
    }
  }

  #change(fs: FileSystem, index: number): Inode | undefined {
    const random = this.#random;
    const { dir, names } = random.pick(this.#directories);
    const to = random.pick(this.#directories);
    const fresh = new TextEncoder().encode(`${index}-`.padEnd(random.pick([4, 40, 200]), "y"));
    const any = (of: readonly Uint8Array[]) => of.length === 0 ? fresh : random.pick(of);
    // The directory may be gone, or known by an older copy.
    const inode = fs.inode(dir.ino);
    switch (random.below(9)) {
      case 0:
      case 1:
        names.push(fresh);
        return makeNode(fs, inode, fresh, FILE);
      case 2:
        names.push(fresh);
        return makeDirectory(fs, inode, fresh, FILE);
      case 3:
        return makeSymlink(fs, inode, fresh, new Uint8Array(random.pick([3, 100])).fill(1), OWNER);
      case 4:
        return unlink(fs, inode, any(names));
      case 5:
        return removeDirectory(fs, inode, any(names));
      case 6: {
        const newName = random.oneIn(2) ? fresh : any(to.names);
        const flags = random.pick([0, 0, 1, 2, 4]);
        return rename(fs, inode, any(names), fs.inode(to.dir.ino), newName, flags, OWNER);
      }
      case 7: {
        const rows = [...readDirectory(fs, inode, 0)];
        const victim = rows.length === 0 ? inode : fs.inode(random.pick(rows).ino);
        link(fs, victim, fs.inode(to.dir.ino), fresh);
        return undefined;
      }
      default:
        return makeTemporary(fs, inode, FILE);
    }
  }

  #attempt<Result>(act: () => Result): Result | undefined {
    try {
      return act();
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      this.#codes.set(error.code, (this.#codes.get(error.code) ?? 0) + 1);
      return undefined;
    }
  }
}
