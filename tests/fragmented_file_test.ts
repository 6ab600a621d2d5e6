/** Files in so many pieces that trees become deep, and operations have to be cut into several. */

import assert from "node:assert/strict";
import { MemoryDevice } from "../src/block/memory_device.ts";
import { EXT4_EXTENTS_FL } from "../src/disk/inode.ts";
import { rootNode } from "../src/ext4/map/extent_node.ts";
import { extentRuns } from "../src/ext4/map/extents.ts";
import {
  FALLOC_FL_COLLAPSE_RANGE,
  FALLOC_FL_INSERT_RANGE,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  fallocate,
} from "../src/ext4/content/fallocate.ts";
import { readBytes } from "../src/ext4/content/read.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import type { Inode } from "../src/ext4/inode/inode.ts";
import { setSize } from "../src/ext4/content/truncate.ts";
import { writeFile } from "../src/ext4/content/write.ts";
import {
  complaintsAfter,
  complaintsOf,
  fileNamed,
  makeLayout,
  openDeviceForWriting,
  openLayout,
} from "./support/allocation.ts";
import { Random } from "./support/random.ts";
import { RecordingDevice } from "./support/recording_device.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const UNITS = 12_000;
const CUT_UNITS = 36_000;

/** A file of units of one block, which are numbered, or zero where there is a hole. */
class Units {
  readonly #fs: FileSystem;
  readonly #file: Inode;
  readonly #unit: number;
  numbers: number[];

  constructor(fs: FileSystem, file: Inode) {
    this.#fs = fs;
    this.#file = file;
    this.#unit = fs.blockSize * fs.superblock.clusterRatio;
    setSize(fs, file, 0);
    this.numbers = [];
  }

  write(at: number): void {
    const bytes = new Uint8Array(this.#fs.blockSize);
    const number = this.numbers.length * 7 + at + 1;
    new DataView(bytes.buffer).setUint32(0, number);
    writeFile(this.#fs, this.#file, at * this.#unit, bytes);
    while (this.numbers.length <= at) this.numbers.push(0);
    this.numbers[at] = number;
  }

  cut(count: number): void {
    setSize(this.#fs, this.#file, count * this.#unit);
    this.numbers.length = count;
  }

  punch(start: number, end: number): void {
    this.#fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start, end);
    this.numbers.fill(0, start, end);
  }

  zero(start: number, end: number): void {
    this.#fallocate(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, start, end);
    this.numbers.fill(0, start, end);
  }

  collapse(start: number, end: number): void {
    this.#fallocate(FALLOC_FL_COLLAPSE_RANGE, start, end);
    this.numbers.splice(start, end - start);
  }

  insert(start: number, end: number): void {
    this.#fallocate(FALLOC_FL_INSERT_RANGE, start, end);
    this.numbers.splice(start, 0, ...new Array(end - start).fill(0));
  }

  check(): void {
    for (const [at, number] of this.numbers.entries()) {
      const bytes = readBytes(this.#fs, this.#file, at * this.#unit, 4);
      if (bytes.length === 0) assert.equal(number, 0);
      else assert.equal(new DataView(bytes.buffer).getUint32(0), number, `unit ${at}`);
    }
  }

  #fallocate(mode: number, start: number, end: number): void {
    fallocate(this.#fs, this.#file, mode, start * this.#unit, (end - start) * this.#unit);
  }
}

/** Every other unit, in an order that makes neighbours come at different times. */
function scatter(units: Units, random: Random, count: number): void {
  const places = Array.from({ length: count / 2 }, (_, index) => index * 2);
  for (let at = places.length - 1; at > 0; at--) {
    const other = random.below(at + 1);
    [places[at], places[other]] = [places[other], places[at]];
  }
  for (const at of places) units.write(at);
}

for (const name of ["ext4-1k", "ext4-bigalloc-1k", "ext3-2k"]) {
  Deno.test(`a file in thousands of pieces grows, changes and shrinks: ${name}`, async () => {
    if (!requires("e2fsprogs")) return;
    using opened = await openLayout(name);
    const { fs, complaints, image } = opened;
    const file = fileNamed(fs, "first");
    const usesExtents = file.hasFlag(EXT4_EXTENTS_FL);
    const random = new Random(3);
    const units = new Units(fs, file);
    scatter(units, random, UNITS);
    units.check();
    if (usesExtents) {
      assert(rootNode(file).depth >= 2);
      units.insert(100, 140);
      units.insert(5001, 5002);
      units.collapse(31, 77);
      units.zero(2000, 2500);
      units.collapse(6000, 6600);
      units.check();
    }
    units.punch(7000, 9000);
    for (let count = 0; count < 200; count++) {
      const start = random.below(6000);
      units.punch(start, start + 1 + random.below(4));
    }
    units.check();
    for (let at = 0; at < 5000; at++) if (units.numbers[at] === 0) units.write(at);
    units.check();
    units.cut(6000);
    units.check();
    units.cut(random.below(3000));
    units.cut(1);
    if (usesExtents) assert.equal(rootNode(file).depth, 0);
    units.cut(0);
    assert.equal(file.blocks512(fs.blockSize), 0);
    scatter(units, random, 2000);
    units.check();
    assert.equal(await complaintsAfter(fs, image), "");
    assert.deepEqual(complaints, []);
  });
}

Deno.test("extents that are written in random order join", async () => {
  if (!requires("e2fsprogs")) return;
  using opened = await openLayout("ext4-1k");
  const { fs, image } = opened;
  const file = fileNamed(fs, "first");
  const units = new Units(fs, file);
  units.write(0);
  scatter(units, new Random(1), 6000);
  for (let at = 1; at < 6000; at += 2) units.write(at);
  units.check();
  const count = [...extentRuns(fs, file)].length;
  assert(count < 300, `${count} extents`);
  assert.equal(await complaintsAfter(fs, image), "");
});

for (const name of ["ext4-1k", "ext4-no-extent"]) {
  Deno.test(`a cut that takes several commits is finished after a crash: ${name}`, async () => {
    if (!requires("e2fsprogs")) return;
    using folder = new TempDir();
    const image = await makeLayout(name, folder);
    const device = new RecordingDevice(Deno.readFileSync(image));
    using opened = openDeviceForWriting(device);
    const { fs } = opened;
    const file = fileNamed(fs, "first");
    const units = new Units(fs, file);
    scatter(units, new Random(4), CUT_UNITS);
    fs.writing.transactions.commit();
    const started = device.log.length;
    // Each operation of the cut becomes durable on its own.
    const { transactions } = fs.writing;
    const run1 = transactions.run.bind(transactions);
    let operations = 0;
    transactions.run = (operation) => {
      const result = run1(operation);
      operations++;
      transactions.commit();
      return result;
    };
    units.cut(10);
    assert(operations > 2, `${operations} operations`);
    const ends = device.log.flatMap(({ kind }, at) => kind === "flush" && at > started ? [at] : []);
    const random = new Random(8);
    for (let state = 0; state < 6; state++) {
      const crashed = device.imageAt(random.pick(ends) + random.below(2), () => random.oneIn(2));
      const copy = folder.join("crashed.img");
      Deno.writeFileSync(copy, crashed);
      await run("e2fsck", ["-fy", copy], { codes: [0, 1] });
      assert.equal(await complaintsOf(copy), "");
      const memory = new MemoryDevice(crashed);
      using again = openDeviceForWriting(memory);
      const found = fileNamed(again.fs, "first");
      assert([10, CUT_UNITS - 1].includes(found.size / fs.blockSize), `${found.size} bytes`);
      again.fs.stopWriting();
      Deno.writeFileSync(copy, memory.bytes);
      assert.equal(await complaintsOf(copy), "");
    }
  });
}
