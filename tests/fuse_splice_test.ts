/** SplicePipe, with an ordinary file in the place of /dev/fuse. */

import assert from "node:assert/strict";
import type { DataSource } from "../src/block/device.ts";
import { SplicePipe } from "../src/fuse/splice.ts";
import { close, O_RDONLY, O_RDWR, open } from "../src/sys/files.ts";
import { TempDir } from "./support/run.ts";

const HEADER_SIZE = 16;
const UNIQUE = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);

/** A file of `size` bytes that do not repeat soon. */
function makeFile(folder: TempDir, name: string, size: number): Uint8Array<ArrayBuffer> {
  const bytes = Uint8Array.from({ length: size }, (_, index) => (index * 31 + (index >> 8)) & 0xff);
  Deno.writeFileSync(folder.join(name), bytes);
  return bytes;
}

Deno.test("SplicePipe.send: descriptors and memory in one answer, from odd places", () => {
  using folder = new TempDir();
  const bytes = makeFile(folder, "device", 900_000);
  const device = open(folder.join("device"), O_RDONLY);
  Deno.writeFileSync(folder.join("fuse"), new Uint8Array(0));
  const fuse = open(folder.join("fuse"), O_RDWR);
  const memory = bytes.slice(100, 5000);
  const sources: DataSource[] = [
    { kind: "descriptor", fd: device, position: 777, length: 300_000 },
    { kind: "memory", bytes: memory },
    { kind: "descriptor", fd: device, position: 899_000, length: 1000 },
  ];
  const pipe = new SplicePipe();
  assert.ok(pipe.fits(sources));
  assert.ok(pipe.send(fuse, UNIQUE, sources));
  close(fuse);
  close(device);
  const sent = Deno.readFileSync(folder.join("fuse"));
  assert.equal(sent.length, HEADER_SIZE + 300_000 + memory.length + 1000);
  assert.equal(new DataView(sent.buffer).getUint32(0, true), sent.length);
  assert.deepEqual(sent.subarray(8, 16), UNIQUE);
  const expected = [...bytes.subarray(777, 300_777), ...memory, ...bytes.subarray(899_000)];
  assert.deepEqual(sent.subarray(HEADER_SIZE), Uint8Array.from(expected));
});

Deno.test("SplicePipe.send: nothing is sent when the device ends inside, and the pipe stays good", () => {
  using folder = new TempDir();
  makeFile(folder, "device", 200_000);
  const device = open(folder.join("device"), O_RDONLY);
  Deno.writeFileSync(folder.join("fuse"), new Uint8Array(0));
  const fuse = open(folder.join("fuse"), O_RDWR);
  const pipe = new SplicePipe();
  const whole: DataSource = { kind: "descriptor", fd: device, position: 0, length: 150_000 };
  const cut: DataSource = { kind: "descriptor", fd: device, position: 100_000, length: 150_000 };
  assert.throws(() => pipe.send(fuse, UNIQUE, [whole, cut]), { name: "FsError", errno: 5 });
  assert.equal(Deno.statSync(folder.join("fuse")).size, 0);
  assert.ok(pipe.send(fuse, UNIQUE, [whole]));
  assert.equal(Deno.statSync(folder.join("fuse")).size, HEADER_SIZE + 150_000);
  close(fuse);
  close(device);
});

Deno.test("SplicePipe.fits: not what is larger than the pipe", () => {
  const many = Array.from(
    { length: 1000 },
    () => ({ kind: "memory", bytes: new Uint8Array(1) }) as const,
  );
  assert.equal(new SplicePipe().fits(many), false);
});
