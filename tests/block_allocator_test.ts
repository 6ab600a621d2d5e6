/** Allocating and freeing blocks, against a model in memory and against e2fsprogs. */

import assert from "node:assert/strict";
import type { BlockRequest, BlockRun } from "../src/ext4/allocation/block_allocator.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import { inodeGoal } from "../src/ext4/allocation/group_choice.ts";
import type { Inode } from "../src/ext4/inode/inode.ts";
import { heldBackClusters, reservedClusters } from "../src/ext4/allocation/space_limits.ts";
import { usage } from "../src/ext4/superblock/statfs.ts";
import type { Handle } from "../src/jbd2/handle.ts";
import { FsError } from "../src/sys/fs_error.ts";
import {
  complaintsAfter,
  fileNamed,
  freeByDumpe2fs,
  LAYOUTS,
  openLayout,
} from "./support/allocation.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";

const STEPS = 1500;
const ON_PURPOSE = "undone on purpose";

/** A run, and the number of the inode that paid for it. */
interface Allocated extends BlockRun {
  readonly payer: number | undefined;
}

/** What the file system should say is free. Clusters are numbered through all groups. */
class Model {
  readonly free: Set<number>;
  readonly waiting = new Set<number>();
  readonly runs: Allocated[] = [];

  constructor(readonly fs: FileSystem, free: ReadonlySet<number>) {
    this.free = new Set(free);
    fs.writing.transactions.onAfterCommit(() => this.waiting.clear());
  }

  clustersOf({ block, count }: BlockRun): number[] {
    const { firstDataBlock, clusterRatio } = this.fs.superblock;
    const first = (block - firstDataBlock) / clusterRatio;
    assert(Number.isInteger(first), `block ${block} begins no cluster`);
    return Array.from({ length: Math.ceil(count / clusterRatio) }, (_, index) => first + index);
  }

  allocated(run: Allocated): void {
    for (const cluster of this.clustersOf(run)) {
      assert(this.free.has(cluster), `cluster ${cluster} was in use`);
      assert(!this.waiting.has(cluster), `cluster ${cluster} is not free before the commit`);
      this.free.delete(cluster);
    }
    this.runs.push(run);
  }

  freed(run: BlockRun): void {
    for (const cluster of this.clustersOf(run)) {
      this.free.add(cluster);
      this.waiting.add(cluster);
    }
  }
}

/** One run of the model test. */
class Trial {
  readonly model: Model;
  readonly #files: readonly Inode[];

  constructor(
    readonly fs: FileSystem,
    free: ReadonlySet<number>,
    readonly random: Random,
  ) {
    this.model = new Model(fs, free);
    this.#files = ["first", "second", "folder"].map((name) => fileNamed(fs, name));
  }

  step(): void {
    const { random } = this;
    if (random.oneIn(60)) this.commit();
    else if (random.oneIn(8)) this.#undone();
    else if (random.oneIn(40)) this.fs.writing.blocks.dropReservation(random.pick(this.#files).ino);
    else if (random.below(10) < 6) this.#allocate();
    else this.#free();
    assert.equal(this.fs.writing.blocks.freeClusters, this.model.free.size);
  }

  commit(): void {
    this.fs.writing.transactions.commit();
  }

  /** Nothing that is free may have got lost to reservations or waiting. */
  takeAll(): void {
    const { blocks } = this.fs.writing;
    const request = { ...this.#request(), count: 32768, mayUseAll: true };
    while (blocks.freeClusters > 0) {
      const run = this.fs.change((handle) => blocks.allocate(handle, request));
      this.model.allocated({ ...run, payer: request.inode.ino });
    }
    assert.equal(this.model.free.size, 0);
  }

  freeAll(): void {
    while (this.model.runs.length > 0) this.#free(true);
    this.commit();
  }

  #request(): BlockRequest {
    const { random, fs } = this;
    const inode = fs.inode(random.pick(this.#files).ino);
    const last = this.model.runs.at(-1);
    const goals = [
      inodeGoal(fs, inode),
      last === undefined ? 0 : last.block + last.count,
      random.below(fs.superblock.blocksCount + 100),
    ];
    return {
      inode,
      goal: random.pick(goals),
      count: random.oneIn(3) ? 1 : 1 + random.below(random.oneIn(10) ? 9000 : 300),
      purpose: random.oneIn(4) ? "metadata" : "data",
    };
  }

  #allocate(): void {
    const request = this.#request();
    const charged = !this.random.oneIn(5);
    const { blocks } = this.fs.writing;
    try {
      const run = this.fs.change((handle) =>
        charged ? blocks.allocate(handle, request) : blocks.allocateUncharged(handle, request)
      );
      const most = request.count + this.fs.superblock.clusterRatio;
      assert(run.count >= 1 && run.count < most, `${run.count} of ${request.count} blocks`);
      this.model.allocated({ ...run, payer: charged ? request.inode.ino : undefined });
    } catch (error) {
      assert(error instanceof FsError && error.code === "ENOSPC", `${error}`);
      const held = heldBackClusters(this.fs.superblock);
      assert(this.model.free.size <= held, `${this.model.free.size} clusters are free`);
    }
  }

  /** Gives back a run, or a part of it. */
  #free(whole = false): void {
    const { runs } = this.model;
    if (runs.length === 0) return;
    const index = this.random.below(runs.length);
    const { block, count, payer } = runs[index];
    const { clusterRatio } = this.fs.superblock;
    const clusters = Math.ceil(count / clusterRatio);
    const kept = (whole || clusters === 1 ? 0 : this.random.below(clusters)) * clusterRatio;
    const part = { block: block + kept, count: count - kept, payer };
    this.fs.change((handle) => this.#give(handle, part));
    this.model.freed(part);
    if (kept === 0) runs.splice(index, 1);
    else runs[index] = { block, count: kept, payer };
  }

  #give(handle: Handle, { block, count, payer }: Allocated): void {
    const { blocks } = this.fs.writing;
    if (payer === undefined) blocks.freeUncharged(handle, block, count);
    else blocks.free(handle, this.fs.inode(payer), block, count);
  }

  /** What an operation did before it failed is as if it had not been. */
  #undone(): void {
    assert.throws(() =>
      this.fs.change((handle) => {
        const { blocks } = this.fs.writing;
        for (let times = this.random.below(4); times >= 0; times--) {
          const request = { ...this.#request(), mayUseAll: true };
          const run = blocks.allocate(handle, request);
          if (this.random.oneIn(2)) this.#give(handle, { ...run, payer: request.inode.ino });
        }
        if (this.random.oneIn(3)) blocks.dropReservation(this.#files[0].ino, handle);
        throw new Error(ON_PURPOSE);
      }), (error: Error) => error.message === ON_PURPOSE || error.message.includes("No space"));
  }
}

for (const name of Object.keys(LAYOUTS)) {
  Deno.test(`BlockAllocator agrees with a model and e2fsck: ${name}`, async () => {
    if (!requires("e2fsprogs")) return;
    using opened = await openLayout(name);
    const { fs, image } = opened;
    const before = await freeByDumpe2fs(image, fs);
    const trial = new Trial(fs, before.clusters, new Random(name.length * 1000 + 7));
    for (let step = 0; step < STEPS; step++) trial.step();
    fs.writing.transactions.writeBack();
    assert.deepEqual((await freeByDumpe2fs(image, fs)).clusters, trial.model.free);
    trial.takeAll();
    trial.freeAll();
    fs.writing.transactions.writeBack();
    assert.deepEqual((await freeByDumpe2fs(image, fs)).clusters, before.clusters);
    assert.equal(await complaintsAfter(fs, image), "");
    assert.deepEqual(opened.complaints, []);
  });
}

/** Writes a file from front to back, in requests of `each` blocks, and gives its runs. */
function write(fs: FileSystem, inode: Inode, blocks: number, each: number): BlockRun[] {
  const runs: BlockRun[] = [];
  for (let left = blocks; left > 0;) {
    const last = runs.at(-1);
    const goal = last === undefined ? inodeGoal(fs, inode) : last.block + last.count;
    const count = Math.min(left, each);
    const run = fs.change((handle) =>
      fs.writing.blocks.allocate(handle, { inode, goal, count, purpose: "data" })
    );
    left -= run.count;
    if (run.block !== goal || last === undefined) runs.push(run);
    else runs[runs.length - 1] = { block: last.block, count: last.count + run.count };
  }
  return runs;
}

Deno.test("BlockAllocator.allocate puts a file that is written in order into one run a group", async () => {
  if (!requires("e2fsprogs")) return;
  using opened = await openLayout("ext4-4k");
  const { fs } = opened;
  const runs = write(fs, fileNamed(fs, "first"), 8000, 256);
  // Groups of 1024 blocks, some of which begin with a backup of the superblock.
  assert(runs.length <= 6, `${runs.length} runs`);
});

Deno.test("BlockAllocator.allocate keeps files that grow at the same time apart", async () => {
  if (!requires("e2fsprogs")) return;
  using opened = await openLayout("ext4-1k");
  const { fs } = opened;
  const files = ["first", "second"].map((name) => fileNamed(fs, name));
  const ends = files.map((inode) => inodeGoal(fs, inode));
  const pieces = [0, 0];
  for (let round = 0; round < 2000; round++) {
    for (const [index, inode] of files.entries()) {
      const goal = ends[index];
      const run = fs.change((handle) =>
        fs.writing.blocks.allocate(handle, { inode, goal, count: 4, purpose: "data" })
      );
      if (run.block !== goal) pieces[index]++;
      ends[index] = run.block + run.count;
    }
  }
  // 8000 blocks each, a reservation at most doubling what the file has; without, 2000 pieces each.
  assert(pieces[0] < 16 && pieces[1] < 16, `${pieces} pieces`);
});

Deno.test("BlockAllocator.allocate packs small files", async () => {
  if (!requires("e2fsprogs")) return;
  using opened = await openLayout("ext4-1k");
  const { fs } = opened;
  const first = write(fs, fileNamed(fs, "first"), 3, 3)[0];
  const second = write(fs, fileNamed(fs, "second"), 5, 5)[0];
  assert.equal(second.block, first.block + first.count);
});

Deno.test("BlockAllocator.allocate gives what is reserved for other files when nothing else is left", async () => {
  if (!requires("e2fsprogs")) return;
  using opened = await openLayout("ext4-1k");
  const { fs } = opened;
  write(fs, fileNamed(fs, "first"), 4096, 1024);
  const left = fs.writing.blocks.freeClusters - heldBackClusters(fs.superblock);
  const runs = write(fs, fileNamed(fs, "second"), left, 4096);
  assert.equal(runs.reduce((sum, run) => sum + run.count, 0), left);
});

Deno.test("BlockAllocator.allocate keeps the reserve for root, and some space for itself", async () => {
  if (!requires("e2fsprogs")) return;
  using opened = await openLayout("ext4-1k");
  const { fs } = opened;
  const { blocks } = fs.writing;
  const inode = fileNamed(fs, "first");
  const held = heldBackClusters(fs.superblock);
  const reserved = reservedClusters(fs.superblock);
  assert(held > 0 && reserved > 0);
  const fill = (more: Partial<BlockRequest>) => {
    const request = { inode, goal: 0, count: 8192, purpose: "data" as const, ...more };
    assert.throws(() => {
      for (;;) fs.change((handle) => blocks.allocate(handle, request));
    }, (error: FsError) => error.code === "ENOSPC");
    return blocks.freeClusters;
  };
  blocks.user = { uid: 1000, gid: 1000 };
  assert.equal(fill({}), reserved + held);
  blocks.user = { uid: 0, gid: 0 };
  assert.equal(fill({}), held);
  assert.equal(fill({ mayUseAll: true }), 0);
});

Deno.test("BlockAllocator.allocate uses freed blocks after a commit, which it makes when it must", async () => {
  if (!requires("e2fsprogs")) return;
  using opened = await openLayout("ext4-1k");
  const { fs } = opened;
  const { blocks } = fs.writing;
  const inode = fileNamed(fs, "first");
  const [run] = write(fs, inode, 100, 100);
  fs.writing.transactions.commit();
  fs.change((handle) => blocks.free(handle, inode, run.block, run.count));
  const goal = run.block;
  const other = fs.change((handle) =>
    blocks.allocate(handle, { inode, goal, count: 100, purpose: "data" })
  );
  assert(other.block >= run.block + run.count || other.block + other.count <= run.block);

  const request = { inode, goal: 0, count: 8192, purpose: "data", mayUseAll: true } as const;
  while (blocks.freeClusters > run.count) fs.change((handle) => blocks.allocate(handle, request));
  // All that is free waits for the commit.
  const again = fs.change((handle) => blocks.allocate(handle, request));
  assert.deepEqual(again, run);
});

Deno.test("BlockAllocator.free refuses blocks that are free, or the file system's own", async () => {
  if (!requires("e2fsprogs")) return;
  using opened = await openLayout("ext4-1k");
  const { fs, image } = opened;
  const { blocks } = fs.writing;
  const inode = fileNamed(fs, "first");
  const [run] = write(fs, inode, 10, 10);
  fs.change((handle) => blocks.free(handle, inode, run.block + 3, 1));
  const { inodeTable, blockBitmap } = fs.groups.get(1);
  const { blocksCount } = fs.superblock;
  const wrong: [number, number][] = [
    [run.block, 10],
    [run.block + 3, 1],
    [inodeTable, 1],
    [blockBitmap, 1],
    [inodeTable - 1, 2],
    [1, 1],
    [0, 1],
    [blocksCount, 1],
    [blocksCount - 1, 2],
    [run.block, 0],
    [run.block, -1],
    [2 ** 40, 1],
  ];
  const free = blocks.freeClusters;
  for (const [block, count] of wrong) {
    assert.throws(
      () => fs.change((handle) => blocks.free(handle, inode, block, count)),
      (error: FsError) => error.code === "EUCLEAN",
      `${count} at ${block}`,
    );
    assert.equal(blocks.freeClusters, free);
  }
  fs.change((handle) => blocks.free(handle, inode, run.block, 3));
  fs.change((handle) => blocks.free(handle, inode, run.block + 4, 6));
  assert.equal(await complaintsAfter(fs, image), "");
});

Deno.test("BlockAllocator.allocate makes the cache forget metadata where data are written", async () => {
  if (!requires("e2fsprogs")) return;
  using opened = await openLayout("ext4-1k");
  const { fs } = opened;
  const inode = fileNamed(fs, "first");
  const [{ block }] = write(fs, inode, 1, 1);
  fs.cache.read(block + 1);
  write(fs, inode, 20, 20);
  assert.equal(fs.cache.peek(block + 1), undefined);
});

Deno.test("BlockAllocator: an operation that is undone leaves reservations as they were", async () => {
  if (!requires("e2fsprogs")) return;
  using opened = await openLayout("ext4-1k");
  const { fs } = opened;
  const { blocks } = fs.writing;
  const [first, second] = ["first", "second"].map((name) => fileNamed(fs, name));
  const [written] = write(fs, first, 3000, 300);
  const next = written.block + written.count;
  assert.throws(() =>
    fs.change((handle) => {
      const request = { inode: second, goal: next, count: 8192, purpose: "data" } as const;
      // In the end, nothing is left but what is reserved for the other file.
      while (blocks.freeClusters > 0) blocks.allocate(handle, { ...request, mayUseAll: true });
      throw new Error(ON_PURPOSE);
    }), { message: ON_PURPOSE });
  const take = (inode: Inode, goal: number) =>
    fs.change((handle) => blocks.allocate(handle, { inode, goal, count: 16, purpose: "data" }));
  const elsewhere = take(second, next);
  assert(elsewhere.block > next + 1000 || elsewhere.block < next, `${elsewhere.block}, ${next}`);
  assert.deepEqual(take(first, next), { block: next, count: 16 });
});

Deno.test("usage tells of blocks that are allocated and freed at once", async () => {
  if (!requires("e2fsprogs")) return;
  using opened = await openLayout("ext4-bigalloc-1k");
  const { fs } = opened;
  const before = usage(fs, false);
  const inode = fileNamed(fs, "first");
  const [run] = write(fs, inode, 80, 80);
  const during = usage(fs, false);
  assert.equal(before.freeBlocks - during.freeBlocks, 80);
  assert.equal(before.availableBlocks - during.availableBlocks, 80);
  fs.change((handle) => fs.writing.blocks.free(handle, inode, run.block, run.count));
  assert.deepEqual(usage(fs, false), before);
});
