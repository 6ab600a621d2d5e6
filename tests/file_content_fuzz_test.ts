/**
 * Changing files on damaged file systems: what comes out is an FsError or nothing, and soon.
 * CONTENT_FUZZ sets how many images are damaged, for each layout.
 */

import assert from "node:assert/strict";
import { MemoryDevice } from "../src/block/memory_device.ts";
import { copyRange } from "../src/ext4/content/copy_range.ts";
import { fallocate } from "../src/ext4/content/fallocate.ts";
import { readBytes } from "../src/ext4/content/read.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import { setSize } from "../src/ext4/content/truncate.ts";
import { writeFile } from "../src/ext4/content/write.ts";
import { FsError } from "../src/sys/fs_error.ts";
import {
  fileNamed,
  makeLayout,
  openDeviceForWriting,
  openForWriting,
} from "./support/allocation.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";
import { TempDir } from "./support/run.ts";

const COUNT = Number(Deno.env.get("CONTENT_FUZZ") ?? 50);
const STEPS = 60;
const MOST_MILLISECONDS = 10_000;
const EDGES = [0, 1, 2, 4, 5, 12, 255, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0xffffffff];
const MODES = [0, 1, 3, 0x10, 0x11, 8, 0x20];

class WatchedDevice extends MemoryDevice {
  readonly reads = new Set<number>();

  override read(buffer: Uint8Array<ArrayBuffer>, position: number): void {
    this.reads.add(position);
    super.read(buffer, position);
  }
}

/** Some hundred pieces, so that there are trees to be damaged. */
function fill(fs: FileSystem): void {
  const first = fileNamed(fs, "first");
  const bytes = new Uint8Array(fs.blockSize).fill(9);
  for (let at = 0; at < 700; at++) writeFile(fs, first, (at * 7 % 700) * 2 * fs.blockSize, bytes);
}

function change(fs: FileSystem, inos: readonly number[], random: Random): void {
  const inode = fs.inode(random.pick(inos));
  const place = random.below(1500 * fs.blockSize);
  const length = 1 + random.below(random.pick([100, 20_000, 300_000]));
  const unit = fs.blockSize * fs.superblock.clusterRatio;
  switch (random.below(6)) {
    case 0:
      return setSize(fs, inode, random.pick([0, place, place]));
    case 1: {
      const start = place - place % unit;
      return fallocate(fs, inode, random.pick(MODES), start, unit * (1 + random.below(30)));
    }
    case 2:
      return void copyRange(fs, fs.inode(random.pick(inos)), place >>> 1, inode, place, length);
    case 3:
      return fs.writing.transactions.commit();
    case 4:
      return void readBytes(fs, inode, place, length);
    default:
      return void writeFile(fs, inode, place, new Uint8Array(length).fill(3));
  }
}

/** Opens an image, changes files, and ends; errors of the file system are as good as none. */
function changeAll(device: MemoryDevice, inos: readonly number[], random: Random): number {
  let errors = 0;
  const attempt = (act: () => void) => {
    try {
      act();
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      errors++;
    }
  };
  attempt(() => {
    using opened = openDeviceForWriting(device);
    for (let step = 0; step < STEPS; step++) attempt(() => change(opened.fs, inos, random));
    attempt(() => opened.fs.stopWriting());
  });
  return errors;
}

function damage(bytes: Uint8Array, targets: readonly number[], random: Random): void {
  const view = new DataView(bytes.buffer);
  for (let left = 1 + random.below(4); left > 0; left--) {
    // What matters stands at the start of a block more often than elsewhere.
    const into = random.oneIn(2) ? random.below(64) : random.below(1020);
    const at = random.pick(targets) + into;
    switch (random.below(4)) {
      case 0:
        view.setUint8(at, view.getUint8(at) ^ (1 << random.below(8)));
        break;
      case 1:
        view.setUint16(at - at % 2, random.pick(EDGES) & 0xffff, true);
        break;
      case 2:
        view.setUint32(at - at % 4, random.pick(EDGES), true);
        break;
      default:
        view.setUint32(at - at % 4, random.below(30_000), true);
    }
  }
}

for (const name of ["ext2-1k", "ext4-no-checksums", "ext4-bigalloc-plain", "ext4-inline-plain"]) {
  Deno.test(`files on damaged file systems: ${name}`, async () => {
    if (!requires("e2fsprogs")) return;
    using folder = new TempDir();
    const image = await makeLayout(name, folder);
    let inos: readonly number[] = [];
    {
      using opened = openForWriting(image);
      fill(opened.fs);
      inos = ["first", "second"].map((file) => fileNamed(opened.fs, file).ino);
      opened.fs.stopWriting();
    }
    const whole = Deno.readFileSync(image);
    const watched = new WatchedDevice(whole.slice());
    changeAll(watched, inos, new Random(0));
    const targets = [...watched.reads].filter((at) => at + 1024 <= whole.length);
    let errors = 0;
    for (let seed = 1; seed <= COUNT; seed++) {
      const random = new Random(seed);
      const bytes = whole.slice();
      damage(bytes, targets, random);
      const started = performance.now();
      try {
        errors += changeAll(new MemoryDevice(bytes), inos, random);
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
      const took = performance.now() - started;
      assert(took < MOST_MILLISECONDS, `seed ${seed} took ${took} ms`);
    }
    assert(errors > COUNT, `${errors} errors`);
  });
}
