/** The checksums against published check values, bit-by-bit definitions, and each other. */

import assert from "node:assert/strict";
import { crc32 as zlibCrc32 } from "node:zlib";
import { crc16 } from "../src/disk/crc16.ts";
import { crc32Be } from "../src/disk/crc32_be.ts";
import { crc32c } from "../src/disk/crc32c.ts";

const CHECK = new TextEncoder().encode("123456789");

/** Bytes that are the same in every run. */
function noise(length: number): Uint8Array<ArrayBuffer> {
  let state = 12345;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return state >>> 16;
  });
}

function reflectedCrc(polynomial: number, seed: number, bytes: Uint8Array): number {
  let crc = seed;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? polynomial : 0);
  }
  return crc >>> 0;
}

function reverseBits(value: number, width: number): number {
  let reversed = 0;
  for (let bit = 0; bit < width; bit++) {
    reversed = (reversed * 2 + ((value >>> bit) & 1)) >>> 0;
  }
  return reversed;
}

Deno.test("crc32c: check value of the catalogue, which inverts the end", () => {
  assert.equal((crc32c(0xffffffff, CHECK) ^ 0xffffffff) >>> 0, 0xe3069283);
});

Deno.test("crc32c: every length and alignment fits the definition", () => {
  const bytes = noise(80);
  for (let start = 0; start < 9; start++) {
    for (let end = start; end <= bytes.length; end++) {
      const expected = reflectedCrc(0x82f63b78, 0x9abcdef0, bytes.subarray(start, end));
      assert.equal(crc32c(0x9abcdef0, bytes, start, end), expected, `${start} to ${end}`);
    }
  }
});

Deno.test("crc32c: pieces add up to the whole", () => {
  const bytes = noise(5000);
  const whole = crc32c(7, bytes);
  for (const cut of [0, 1, 1023, 1024, 4999, 5000]) {
    assert.equal(crc32c(crc32c(7, bytes, 0, cut), bytes, cut), whole);
  }
});

Deno.test("crc16: check value of the catalogue, and the definition", () => {
  assert.equal(crc16(0, CHECK), 0xbb3d);
  const bytes = noise(100);
  assert.equal(crc16(0xffff, bytes, 3, 77), reflectedCrc(0xa001, 0xffff, bytes.subarray(3, 77)));
  assert.equal(crc16(crc16(0xffff, bytes, 0, 50), bytes, 50), crc16(0xffff, bytes));
});

Deno.test("crc32Be: check value of the catalogue, and zlib's with all bits the other way", () => {
  assert.equal((crc32Be(0xffffffff, CHECK) ^ 0xffffffff) >>> 0, 0xfc891918);
  const bytes = noise(3000);
  const mirrored = bytes.map((byte) => reverseBits(byte, 8));
  const expected = reverseBits((zlibCrc32(mirrored) ^ 0xffffffff) >>> 0, 32);
  assert.equal(crc32Be(0xffffffff, bytes), expected);
});
