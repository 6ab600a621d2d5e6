/**
 * The extents that the kernel answers from: the table (src/bpf/extent_table.ts), and how it is kept
 * in step with a file system that changes (src/mount/extent_publisher.ts).
 */

import assert from "node:assert/strict";
import {
  ExtentTable,
  ExtentType,
  type PublishedExtent,
  SLOT_SIZE,
} from "../src/bpf/extent_table.ts";
import { evict } from "../src/ext4/inode/evict.ts";
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  fallocate,
} from "../src/ext4/content/fallocate.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import { mapBlocks, MAX_FILE_BLOCKS } from "../src/ext4/map/block_map.ts";
import { makeNode, unlink } from "../src/ext4/directory/namespace.ts";
import { setSize } from "../src/ext4/content/truncate.ts";
import { writeFile } from "../src/ext4/content/write.ts";
import { ExtentPublisher } from "../src/mount/extent_publisher.ts";
import { Nodes } from "../src/mount/nodes.ts";
import { FsError } from "../src/sys/fs_error.ts";
import { S_IFREG } from "../src/sys/stat.ts";
import { complaintsAfter, fileNamed, openLayout } from "./support/allocation.ts";
import { ExtentsProgram } from "./support/extents_program.ts";
import { addressOf } from "./support/extents_reader.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";

const DEVICE = 3;

function makeTable(slots: number, limits = {}) {
  const memory = new ArrayBuffer(slots * SLOT_SIZE);
  const program = new ExtentsProgram(memory);
  return { memory, program, table: new ExtentTable(memory, program, DEVICE, limits) };
}

/** `count` mapped extents of 4096 bytes with holes between them that are not told of. */
function pieces(count: number, address = 1 << 20): PublishedExtent[] {
  return Array.from({ length: count }, (_, index) => ({
    offset: index * 8192,
    length: 4096,
    address: address + index * 4096,
    type: ExtentType.MAPPED,
  }));
}

Deno.test("ExtentTable: the program finds what was published, and nothing else", () => {
  const { program, table } = makeTable(100);
  table.publish(12, pieces(9));
  table.publish(13, [
    { offset: 0, length: 4096, address: undefined, type: ExtentType.HOLE },
    { offset: 4096, length: 2 ** 44, address: 2 ** 50, type: ExtentType.UNWRITTEN },
  ]);
  for (let index = 0; index < 9; index++) {
    const at = index * 8192;
    assert.deepEqual(program.ask(12, at + 5), {
      ...{ offset: at, length: 4096, addr: (1 << 20) + index * 4096, type: 2, dev: DEVICE },
    });
    assert.equal(program.ask(12, at + 4096), undefined);
  }
  assert.deepEqual(program.ask(13, 0), {
    offset: 0,
    length: 4096,
    addr: undefined,
    type: 0,
    dev: 0,
  });
  assert.deepEqual(program.ask(13, 2 ** 43)?.addr, 2 ** 50);
  assert.equal(program.ask(14, 0), undefined);
});

Deno.test("ExtentTable: a range is withdrawn, and what touches it, and the rest stays", () => {
  const { program, table } = makeTable(100);
  table.publish(12, pieces(6));
  assert.equal(table.withdrawRange(12, 8192 + 4095, 8192), true);
  const answered = () => [0, 1, 2, 3, 4, 5].filter((index) => program.ask(12, index * 8192));
  assert.deepEqual(answered(), [0, 3, 4, 5]);
  table.withdrawRange(12, 3 * 8192 + 4096, 4096);
  assert.deepEqual(answered(), [0, 3, 4, 5], "between them");
  table.withdrawRange(12, 5 * 8192, Number.MAX_SAFE_INTEGER / 2);
  assert.deepEqual(answered(), [0, 3, 4]);
  table.publish(12, pieces(6));
  assert.deepEqual(answered(), [0, 1, 2, 3, 4, 5]);
  table.withdraw(12);
  assert.deepEqual(answered(), []);
  assert.equal(table.withdrawRange(12, 0, 1), false);
});

Deno.test("ExtentTable: a sequence number is never even twice", () => {
  const { memory, table } = makeTable(4);
  const words = new BigUint64Array(memory);
  const seen = new Set<bigint>();
  for (let round = 0; round < 50; round++) {
    table.publish(12 + round % 3, pieces(4, round * 65536));
    assert.equal(words[0] & 1n, 0n);
    assert.ok(!seen.has(words[0]));
    seen.add(words[0]);
    if (round % 2 === 0) table.withdrawRange(12 + round % 3, 0, 1);
  }
});

Deno.test("ExtentTable: memory is bounded, and the files longest out of use go first", () => {
  const { program, table } = makeTable(20, { files: 4, extentsPerFile: 8 });
  for (const nodeId of [1, 2, 3, 4]) table.publish(nodeId, pieces(2));
  assert.equal(table.has(1), true, "a use");
  table.publish(5, pieces(2));
  assert.deepEqual(program.files.sort(), [1, 3, 4, 5], "2 was longest out of use");
  table.publish(6, pieces(30));
  assert.ok(program.ask(6, 7 * 8192) && !program.ask(6, 8 * 8192), "as many as a file may have");
  table.publish(7, pieces(8));
  table.publish(8, pieces(8));
  assert.deepEqual(program.files.sort(), [7, 8]);
  table.publish(9, []);
  assert.equal(program.ask(9, 0), undefined);
  const { table: tiny, program: none } = makeTable(3);
  tiny.publish(1, pieces(4));
  assert.deepEqual(none.files, [], "more than there are slots");
});

Deno.test("ExtentTable: slots are used again, however they were given back", () => {
  const { program, table } = makeTable(64, { files: 16, extentsPerFile: 16 });
  const random = new Random(99);
  const model = new Map<number, number>();
  for (let round = 0; round < 3000; round++) {
    const nodeId = 1 + random.below(12);
    if (random.oneIn(3)) {
      table.withdraw(nodeId);
      model.delete(nodeId);
    } else {
      table.publish(nodeId, pieces(1 + random.below(16), nodeId << 20));
      model.set(nodeId, nodeId << 20);
    }
    for (const found of program.files) {
      assert.equal(program.ask(found, 10)?.addr, model.get(found));
    }
  }
  for (let nodeId = 1; nodeId <= 12; nodeId++) table.withdraw(nodeId);
  table.publish(1, pieces(16));
  table.publish(2, pieces(16));
  table.publish(3, pieces(16));
  table.publish(4, pieces(16));
  assert.equal(program.files.length, 4, "all of it is free again");
});

/** How long one writes while another reads; more where it takes more until so much was read. */
const [LEAST_MS, MOST_MS, ANSWERS] = [1500, 30_000, 100];

Deno.test("ExtentTable: whoever reads meanwhile gets whole extents, or none", async () => {
  const [slots, nodes] = [256, 8];
  const memory = new SharedArrayBuffer(slots * SLOT_SIZE);
  const shared = new Int32Array(new SharedArrayBuffer(8));
  const program = new ExtentsProgram(memory);
  const table = new ExtentTable(memory as unknown as ArrayBuffer, program, DEVICE, { files: 6 });
  const worker = new Worker(new URL("./support/extents_reader.ts", import.meta.url), {
    type: "module",
    name: "extents_reader",
  });
  const result = new Promise<{ torn: number }>((resolve) => {
    worker.onmessage = ({ data }) => resolve(data);
  });
  worker.postMessage({ memory, shared: shared.buffer, slots, nodes });
  const random = new Random(5);
  const start = performance.now();
  const answers = () => Atomics.load(shared, 1);
  const passed = () => performance.now() - start;
  while (passed() < LEAST_MS || (answers() < ANSWERS && passed() < MOST_MS)) {
    // The event loop starts the worker.
    await new Promise((resolve) => setTimeout(resolve, 0));
    for (let round = 0; round < 2000; round++) {
      const nodeId = 1 + random.below(nodes);
      const length = 4096 * (1 + random.below(2));
      const extents = Array.from({ length: 1 + random.below(40) }, (_, index) => {
        const offset = index * 8192;
        const address = addressOf(nodeId, offset, length);
        return { offset, length, address, type: ExtentType.MAPPED };
      });
      if (random.oneIn(4)) table.withdrawRange(nodeId, random.below(100_000), 8192);
      else table.publish(nodeId, extents);
    }
  }
  Atomics.store(shared, 0, 1);
  const { torn } = await result;
  worker.terminate();
  assert.ok(answers() >= ANSWERS, `${answers()} answers`);
  assert.equal(torn, 0);
});

// ---------------------------------------------------------------- in step with a file system

const NAMES = Array.from({ length: 8 }, (_, index) => `f${index}`);
const encode = (text: string) => new TextEncoder().encode(text);

/** Of so many blocks one is looked at: that is many times a second. */
const STRIDE = 5;

/** What the program would answer about a file is what the file system says. */
function checkAnswers(fs: FileSystem, program: ExtentsProgram, when: string): number {
  let answers = 0;
  for (const nodeId of program.files) {
    const inode = fs.inode(nodeId);
    for (let block = nodeId % STRIDE; block < 400; block += STRIDE) {
      const answer = program.ask(nodeId, block * fs.blockSize);
      if (answer === undefined) continue;
      answers++;
      const { kind, physicalBlock } = mapBlocks(fs, inode, block, 1);
      const expected = kind === "hole" ? undefined : physicalBlock * fs.blockSize;
      const addr = answer.addr === undefined
        ? undefined
        : answer.addr + block * fs.blockSize - answer.offset;
      const type = kind === "hole" ? 0 : kind === "mapped" ? 2 : 3;
      assert.deepEqual([addr, answer.type], [expected, type], `${when}: ${nodeId} block ${block}`);
    }
  }
  return answers;
}

for (const layout of ["ext4-4k", "ext4-1k", "ext4-no-extent", "ext4-inline", "ext4-bigalloc-4k"]) {
  Deno.test(`ExtentPublisher: what is answered is true at any moment (${layout})`, async () => {
    if (!requires("e2fsprogs")) return;
    using opened = await openLayout(layout);
    const { fs, image } = opened;
    const { program, table } = makeTable(600, { files: 6 });
    let time = 0;
    const publisher = new ExtentPublisher(fs, new Nodes(fs), table, () => time);
    let [changes, answers] = [0, 0];
    fs.mapObserver = {
      changing(inode, start, end) {
        changes++;
        publisher.changing(inode, start, end);
        for (const block of [start, Math.min(end, MAX_FILE_BLOCKS) - 1]) {
          assert.equal(program.ask(inode.ino, block * fs.blockSize), undefined);
        }
      },
    };
    // Whatever is being written to the device, nobody is told that it is another file's.
    const device = fs.device;
    const write = device.write.bind(device);
    device.write = (bytes, position) => {
      answers += checkAnswers(fs, program, `writing ${bytes.length} bytes at ${position}`);
      write(bytes, position);
    };
    const random = new Random(layout.length);
    for (let round = 0; round < 250; round++) {
      step(fs, publisher, random);
      answers += checkAnswers(fs, program, `round ${round}`);
      time += random.below(8);
      if (publisher.due() === 0) publisher.fire();
      assert.ok((publisher.due() ?? 1) > 0);
    }
    time += 100;
    if (publisher.due() === 0) publisher.fire();
    assert.equal(publisher.due(), undefined);
    assert.ok(checkAnswers(fs, program, "the end") > 10);
    assert.ok(changes > 100 && answers > 1000, `${changes} changes, ${answers} answers`);
    device.write = write;
    assert.equal(await complaintsAfter(fs, image), "");
  });
}

/** One call of a user's, on a file that may not be there yet. */
function step(fs: FileSystem, publisher: ExtentPublisher, random: Random): void {
  const name = random.pick(NAMES);
  const { root } = fs;
  const exists = fileExists(fs, name);
  if (!exists) {
    makeNode(fs, root, encode(name), { mode: S_IFREG | 0o644, umask: 0, uid: 0, gid: 0 });
  }
  const inode = fileNamed(fs, name);
  const offset = random.below(300) * 1024;
  const length = 1 + random.below(60_000);
  try {
    switch (random.below(8)) {
      case 0:
        setSize(fs, inode, random.oneIn(3) ? 0 : offset);
        break;
      case 1:
        fallocate(fs, inode, random.pick([0, FALLOC_FL_KEEP_SIZE]), offset, length);
        break;
      case 2:
        fallocate(fs, inode, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
        break;
      case 3:
        unlink(fs, root, encode(name));
        evict(fs, inode);
        publisher.forget(inode.ino);
        return;
      case 4:
        fs.writing.transactions.commit();
        break;
      default:
        writeFile(fs, inode, offset, random.bytes(Math.min(length, 9000)));
    }
  } catch (error) {
    // A map without extents has no unwritten blocks.
    if (!(error instanceof FsError) || error.code !== "EOPNOTSUPP") throw error;
  }
  if (random.oneIn(2)) publisher.wanted(inode);
}

function fileExists(fs: FileSystem, name: string): boolean {
  try {
    fileNamed(fs, name);
    return true;
  } catch {
    return false;
  }
}

Deno.test("ExtentPublisher: an operation that fails leaves nothing wrong behind", async () => {
  if (!requires("e2fsprogs")) return;
  using opened = await openLayout("ext4-4k");
  const { fs } = opened;
  const { program, table } = makeTable(100);
  let time = 0;
  const publisher = new ExtentPublisher(fs, new Nodes(fs), table, () => time);
  fs.mapObserver = publisher;
  const inode = fileNamed(fs, "first");
  writeFile(fs, inode, 0, new Uint8Array(40_960).fill(1));
  publisher.wanted(inode);
  const before = program.ask(inode.ino, 0);
  assert.ok(before);
  assert.throws(() =>
    fs.change((handle) => {
      fs.modifyInode(handle, inode);
      fs.mapObserver?.changing(inode, 0, 1);
      throw new FsError(5, "no");
    })
  );
  assert.equal(program.ask(inode.ino, 0), undefined);
  time += 100;
  publisher.fire();
  assert.deepEqual(program.ask(inode.ino, 0), before);
  publisher.changing(inode, 0, 1);
  publisher[Symbol.dispose]();
  // The memory is gone by now.
  const touched = () => assert.fail("the table was touched");
  Object.assign(table, { publish: touched, withdraw: touched, withdrawRange: touched });
  assert.equal(publisher.due(), undefined);
  publisher.fire();
  publisher.changing(inode, 0, 1);
  publisher.forget(inode.ino);
  publisher.wanted(inode);
  fs.stopWriting();
});
