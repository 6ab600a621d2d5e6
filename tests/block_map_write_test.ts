/** Blocks for holes and holes for blocks, in maps of both kinds, against a model and e2fsck. */

import assert from "node:assert/strict";
import { mapNewBlocks, unmapBlocks } from "../src/ext4/map/block_map_write.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import type { Inode } from "../src/ext4/inode/inode.ts";
import { mapBlocks } from "../src/ext4/map/block_map.ts";
import type { Handle } from "../src/jbd2/handle.ts";
import { complaintsAfter, fileNamed, openLayout } from "./support/allocation.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";

const STEPS = 400;
const ON_PURPOSE = "undone on purpose";

const NAMES = [
  "ext2-1k",
  "ext3-2k",
  "ext4-1k",
  "ext4-4k",
  "ext4-64k",
  "ext4-no-extent",
  "ext4-uninit-bg",
  "ext4-bigalloc-1k",
  "ext4-bigalloc-4k",
];

/** What a file block should be: where it lies and whether it is written, or nothing for a hole. */
type Place = { readonly block: number; readonly unwritten: boolean };

class Trial {
  readonly places = new Map<number, Place>();
  readonly #fs: FileSystem;
  readonly #random: Random;
  readonly #blocks: number;

  constructor(fs: FileSystem, readonly inode: Inode, random: Random, blocks: number) {
    this.#fs = fs;
    this.#random = random;
    this.#blocks = blocks;
    for (let at = 0; at < 2; at++) this.#learn(at, 1);
  }

  step(): void {
    const random = this.#random;
    const start = random.below(random.oneIn(2) ? 40 : this.#blocks);
    const count = 1 + random.below(random.oneIn(3) ? 500 : 12);
    if (random.oneIn(30)) this.#fs.writing.transactions.commit();
    else if (random.oneIn(9)) this.#undone(start, count);
    else if (random.below(10) < 6) this.#map(start, count);
    else this.#unmap(start, start + count * 2);
  }

  check(): void {
    for (let at = 0; at < this.#blocks + 2000;) {
      const { kind, physicalBlock, count } = mapBlocks(this.#fs, this.inode, at, 1000);
      for (let into = 0; into < count; into++) {
        const actual = kind === "hole"
          ? undefined
          : { block: physicalBlock + into, unwritten: kind === "unwritten" };
        assert.deepEqual(actual, this.places.get(at + into), `file block ${at + into}`);
      }
      at += count;
    }
  }

  unmapAll(): void {
    this.#unmap(0, 2 ** 32);
    assert.equal(this.inode.blocks512(this.#fs.blockSize), 0);
    assert.equal(this.places.size, 0);
  }

  #learn(at: number, count: number): void {
    const found = mapBlocks(this.#fs, this.inode, at, count);
    if (found.kind === "hole") return;
    for (let into = 0; into < found.count; into++) {
      const block = found.physicalBlock + into;
      this.places.set(at + into, { block, unwritten: found.kind === "unwritten" });
    }
  }

  #undone(start: number, count: number): void {
    const act = (handle: Handle) => {
      if (!this.places.has(start)) this.#mapOnce(handle, start, count);
      unmapBlocks(this.#fs, handle, this.inode, 0, this.#blocks);
      throw new Error(ON_PURPOSE);
    };
    assert.throws(() => this.#fs.change(act), { message: ON_PURPOSE });
  }

  #map(start: number, count: number): void {
    for (let at = start; at < start + count;) {
      if (this.places.has(at)) at++;
      else {
        const { fileBlock, count: got } = this.#fs.change((handle) =>
          this.#mapOnce(handle, at, start + count - at)
        );
        assert.equal(fileBlock, at);
        assert(got >= 1 && got <= start + count - at);
        this.#learn(at, got);
        at += got;
      }
    }
  }

  #mapOnce(handle: Handle, fileBlock: number, count: number) {
    const unwritten = this.inode.usesExtents && this.#random.oneIn(3);
    const purpose = this.#random.oneIn(4) ? "metadata" : "data";
    return mapNewBlocks(this.#fs, handle, this.inode, { fileBlock, count, unwritten, purpose });
  }

  #unmap(start: number, end: number): void {
    let left = end;
    while (left > start) {
      const now = this.#fs.change((handle) =>
        unmapBlocks(this.#fs, handle, this.inode, start, left)
      );
      assert(now < left, "no progress");
      left = now;
    }
    for (const at of [...this.places.keys()]) {
      if (at >= start && at < end) this.places.delete(at);
    }
  }
}

for (const name of NAMES) {
  for (const seed of [1, 2]) {
    Deno.test(`mapNewBlocks and unmapBlocks keep maps in order: ${name}, seed ${seed}`, async () => {
      if (!requires("e2fsprogs")) return;
      using opened = await openLayout(name);
      const { fs, image } = opened;
      const blocks = Math.min(70_000, fs.superblock.blocksCount);
      const inode = fileNamed(fs, "first");
      fs.change((handle) => {
        fs.modifyInode(handle, inode);
        inode.size = (blocks + 2000) * fs.blockSize;
      });
      const trial = new Trial(fs, inode, new Random(seed), blocks);
      for (let step = 0; step < STEPS; step++) trial.step();
      trial.check();
      if (seed === 2) trial.unmapAll();
      trial.check();
      assert.equal(await complaintsAfter(fs, image), "");
      assert.deepEqual(opened.complaints, []);
    });
  }
}
