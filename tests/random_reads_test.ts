/** When reads at random places make the whole file worth reading. */

import assert from "node:assert/strict";
import { RandomReads } from "../src/mount/random_reads.ts";

const MIB = 2 ** 20;

Deno.test("RandomReads: a few reads of a large file ask for nothing more", () => {
  const reads = new RandomReads(() => 8192 * MIB);
  for (let count = 0; count < 100; count++) assert.equal(reads.read(12, 512 * MIB), undefined);
});

Deno.test("RandomReads: many reads ask for the whole file once, piece by piece", () => {
  const reads = new RandomReads(() => 8192 * MIB);
  const size = 70 * MIB + 5;
  let told = 0;
  for (let count = 0; count < 10000; count++) {
    const piece = reads.read(12, size);
    if (piece === undefined) continue;
    assert.equal(piece.start, told);
    assert.ok(piece.end > piece.start && piece.end - piece.start <= 8 * MIB);
    told = piece.end;
  }
  assert.equal(told, size);
});

Deno.test("RandomReads: a file that memory has no room for is left alone", () => {
  const reads = new RandomReads(() => 100 * MIB);
  for (let count = 0; count < 10000; count++) assert.equal(reads.read(12, 50 * MIB), undefined);
});

Deno.test("RandomReads: each file counts for itself, and no more than a few are watched", () => {
  let asked = 0;
  const reads = new RandomReads(() => {
    asked++;
    return 8192 * MIB;
  });
  for (let ino = 1; ino <= 10000; ino++) reads.read(ino, 64 * MIB);
  assert.equal(asked, 0);
});
