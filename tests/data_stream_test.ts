/** Which data are sent to the medium before the commit asks for them. */

import assert from "node:assert/strict";
import { MemoryDevice } from "../src/block/memory_device.ts";
import { DataStream } from "../src/ext4/content/data_stream.ts";

const MEBIBYTE = 2 ** 20;

class Started extends MemoryDevice {
  readonly begun: { position: number; length: number }[] = [];

  startFlush(position: number, length: number): void {
    this.begun.push({ position, length });
  }
}

Deno.test("DataStream: what is written in a row is begun with, 8 MiB at a time", () => {
  const device = new Started(new Uint8Array(0));
  const stream = new DataStream(device);
  for (let at = 0; at < 20; at++) stream.add((3 + at) * MEBIBYTE, MEBIBYTE);
  assert.deepEqual(device.begun, [
    { position: 3 * MEBIBYTE, length: 8 * MEBIBYTE },
    { position: 11 * MEBIBYTE, length: 8 * MEBIBYTE },
  ]);
});

Deno.test("DataStream: what is written here and there is left to the system", () => {
  const device = new Started(new Uint8Array(0));
  const stream = new DataStream(device);
  for (let at = 0; at < 100; at++) stream.add((at * 37 % 100) * MEBIBYTE, MEBIBYTE);
  assert.deepEqual(device.begun, []);
});

Deno.test("DataStream: devices that cannot begin are left alone", () => {
  const stream = new DataStream(new MemoryDevice(new Uint8Array(0)));
  stream.add(0, 20 * MEBIBYTE);
});
