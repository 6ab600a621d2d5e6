/** OverlayDevice: what is written is read back, and the device below stays as it is. */

import assert from "node:assert/strict";
import { MemoryDevice } from "../src/block/memory_device.ts";
import { OverlayDevice } from "../src/block/overlay_device.ts";
import { Errno } from "../src/sys/errno.ts";
import { FsError } from "../src/sys/fs_error.ts";

const BLOCK_SIZE = 64;
/** The last block is a short one. */
const SIZE = 10 * BLOCK_SIZE + 20;

/** A device that counts, and answers with descriptors where asked for a source. */
class CountingDevice extends MemoryDevice {
  reads = 0;
  closed = false;

  override read(buffer: Uint8Array<ArrayBuffer>, position: number): void {
    this.reads++;
    super.read(buffer, position);
  }

  override write(): void {
    throw new Error("the device below was written to");
  }

  override source(position: number, length: number) {
    return { kind: "descriptor", fd: 77, position: 1000 + position, length } as const;
  }

  override close(): void {
    this.closed = true;
  }
}

function makeBase(): CountingDevice {
  return new CountingDevice(Uint8Array.from({ length: SIZE }, (_, at) => at % 251), "base");
}

function readAll(overlay: OverlayDevice): Uint8Array {
  const bytes = new Uint8Array(SIZE);
  overlay.read(bytes, 0);
  return bytes;
}

function isFsError(code: keyof typeof Errno): (error: unknown) => boolean {
  return (error) => error instanceof FsError && error.errno === Errno[code];
}

Deno.test("OverlayDevice: reads the device below where nothing was written", () => {
  const base = makeBase();
  const overlay = new OverlayDevice(base, BLOCK_SIZE);
  assert.deepEqual(readAll(overlay), base.bytes);
  assert.equal(base.reads, 1, "one piece should be one read");
});

Deno.test("OverlayDevice: random writes read back as on a plain device", () => {
  const base = makeBase();
  const before = base.bytes.slice();
  const overlay = new OverlayDevice(base, BLOCK_SIZE);
  const model = before.slice();
  let state = 1;
  const random = (limit: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % limit;
  };
  for (let round = 0; round < 500; round++) {
    const at = random(SIZE);
    const data = new Uint8Array(random(Math.min(200, SIZE - at) + 1)).fill(round);
    overlay.write(data, at);
    model.set(data, at);
    const from = random(SIZE);
    const got = new Uint8Array(random(SIZE - from + 1));
    overlay.read(got, from);
    assert.deepEqual(got, model.slice(from, from + got.length));
  }
  assert.deepEqual(readAll(overlay), model);
  assert.deepEqual(base.bytes, before);
});

Deno.test("OverlayDevice: a whole block is written without reading it first", () => {
  const base = makeBase();
  const overlay = new OverlayDevice(base, BLOCK_SIZE);
  overlay.write(new Uint8Array(BLOCK_SIZE), 2 * BLOCK_SIZE);
  overlay.write(new Uint8Array(20), 10 * BLOCK_SIZE);
  assert.equal(base.reads, 0);
  overlay.write(new Uint8Array(1), 5 * BLOCK_SIZE);
  assert.equal(base.reads, 1);
  assert.equal(overlay.blockCount, 3);
});

Deno.test("OverlayDevice: source tells memory from the runs of the device below", () => {
  const overlay = new OverlayDevice(makeBase(), BLOCK_SIZE);
  const data = new Uint8Array(BLOCK_SIZE).fill(9);
  overlay.write(data, 3 * BLOCK_SIZE);
  assert.deepEqual(overlay.source(10, SIZE - 10), {
    kind: "descriptor",
    fd: 77,
    position: 1010,
    length: 3 * BLOCK_SIZE - 10,
  });
  assert.deepEqual(overlay.source(3 * BLOCK_SIZE + 4, 400), {
    kind: "memory",
    bytes: data.slice(4),
  });
  assert.deepEqual(overlay.source(3 * BLOCK_SIZE, 5), { kind: "memory", bytes: data.slice(0, 5) });
  assert.deepEqual(overlay.source(4 * BLOCK_SIZE, SIZE - 4 * BLOCK_SIZE), {
    kind: "descriptor",
    fd: 77,
    position: 1000 + 4 * BLOCK_SIZE,
    length: SIZE - 4 * BLOCK_SIZE,
  });
});

Deno.test("OverlayDevice.borrow: content is read from elsewhere each time, and not kept", () => {
  const places: number[] = [];
  const base = makeBase();
  const overlay = new OverlayDevice(base, BLOCK_SIZE, {
    elsewhere: (place, into) => {
      places.push(place);
      into.fill(place);
    },
  });
  const model = readAll(overlay);
  overlay.borrow(3, 200);
  overlay.borrow(5, 201);
  model.fill(200, 3 * BLOCK_SIZE, 4 * BLOCK_SIZE);
  model.fill(201, 5 * BLOCK_SIZE, 6 * BLOCK_SIZE);
  assert.deepEqual(readAll(overlay), model);
  assert.deepEqual(readAll(overlay), model);
  assert.deepEqual(places, [200, 201, 200, 201]);
  assert.equal(overlay.blockCount, 0);
  overlay.write(Uint8Array.of(1, 2), 5 * BLOCK_SIZE + 7);
  model.set([1, 2], 5 * BLOCK_SIZE + 7);
  assert.deepEqual(readAll(overlay), model);
  assert.deepEqual(places.slice(4), [201, 200]);
});

Deno.test("OverlayDevice: refuses what lies outside, and more memory than allowed", () => {
  const overlay = new OverlayDevice(makeBase(), BLOCK_SIZE, { maxBytes: 2 * BLOCK_SIZE });
  const block = new Uint8Array(BLOCK_SIZE);
  assert.throws(() => overlay.read(block, SIZE - 1), isFsError("EIO"));
  assert.throws(() => overlay.write(block, SIZE - 1), isFsError("EIO"));
  assert.throws(() => overlay.source(-1, 1), isFsError("EIO"));
  overlay.write(block, 0);
  overlay.write(block, BLOCK_SIZE);
  overlay.write(block, 0);
  assert.throws(() => overlay.write(block, 2 * BLOCK_SIZE), isFsError("ENOMEM"));
});

Deno.test("OverlayDevice: close closes the device below", () => {
  const base = makeBase();
  new OverlayDevice(base, BLOCK_SIZE).close();
  assert.ok(base.closed);
});
