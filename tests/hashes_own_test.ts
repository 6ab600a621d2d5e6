/** crc32 and sha256 against those of Node, which are not used because they take long to load. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { crc32 as crc32OfNode } from "node:zlib";
import { crc32 } from "../src/disk/crc32.ts";
import { sha256 } from "../src/disk/sha256.ts";

const LENGTHS = [0, 1, 3, 55, 56, 57, 63, 64, 65, 119, 120, 128, 255, 1000];

function someBytes(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, index) => (index * 151 + length) & 0xff);
}

Deno.test("crc32 is that of zlib, for every length", () => {
  assert.equal(crc32(new TextEncoder().encode("123456789")), 0xcbf43926);
  for (const length of LENGTHS) {
    assert.equal(crc32(someBytes(length)), crc32OfNode(someBytes(length)), `${length} bytes`);
  }
});

Deno.test("sha256 is that of node:crypto, for every length of the padding", () => {
  for (const length of LENGTHS) {
    const expected = createHash("sha256").update(someBytes(length)).digest("hex");
    assert.equal(sha256(someBytes(length)).toHex(), expected, `${length} bytes`);
  }
});
