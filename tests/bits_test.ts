/** Searching and changing runs of bits, against the same done bit by bit. */

import assert from "node:assert/strict";
import {
  areAllClear,
  areAllSet,
  clearBits,
  countZeros,
  findRun,
  nextSet,
  nextZero,
  NOTHING_WITHHELD,
  setBits,
} from "../src/ext4/allocation/bits.ts";
import { Random } from "./support/random.ts";

const BITS = 320;

Deno.test("setBits, clearBits, countZeros, areAllSet and areAllClear do what a list of bits does", () => {
  const random = new Random(1);
  const words = new Uint32Array(BITS / 32);
  const model: boolean[] = new Array(BITS).fill(false);
  for (let round = 0; round < 3000; round++) {
    const start = random.below(BITS + 1);
    const end = start + random.below(BITS + 1 - start);
    const on = random.oneIn(2);
    (on ? setBits : clearBits)(words, start, end);
    model.fill(on, start, end);
    const from = random.below(BITS);
    const to = from + random.below(BITS + 1 - from);
    const part = model.slice(from, to);
    assert.equal(countZeros(words, from, to), part.filter((bit) => !bit).length);
    assert.equal(areAllSet(words, from, to), part.every((bit) => bit));
    assert.equal(areAllClear(words, from, to), part.every((bit) => !bit));
  }
});

Deno.test("nextZero, nextSet and findRun see both bitmaps", () => {
  const random = new Random(2);
  for (let round = 0; round < 3000; round++) {
    const [words, withheld] = [1, 2].map(() => new Uint32Array(BITS / 32));
    for (let runs = random.below(8); runs > 0; runs--) {
      const start = random.below(BITS);
      setBits(random.pick([words, withheld]), start, Math.min(BITS, start + random.below(90)));
    }
    const used = Array.from(
      { length: BITS },
      (_, bit) => ((words[bit >>> 5] | withheld[bit >>> 5]) >>> (bit % 32)) % 2 === 1,
    );
    const start = random.below(BITS);
    const end = start + random.below(BITS + 1 - start);
    const first = (wanted: boolean) => {
      const found = used.slice(start, end).indexOf(wanted);
      return found < 0 ? end : start + found;
    };
    assert.equal(nextZero(words, withheld, start, end), first(false));
    assert.equal(nextSet(words, withheld, start, end), first(true));
    const wanted = 1 + random.below(100);
    assert.deepEqual(findRun(words, withheld, start, end, wanted), runIn(used, start, end, wanted));
  }
});

function runIn(used: readonly boolean[], start: number, end: number, wanted: number) {
  let longest = { start, length: 0 };
  for (let at = start; at < end; at++) {
    let length = 0;
    while (length < wanted && at + length < end && !used[at + length]) length++;
    if (length > longest.length) longest = { start: at, length };
    if (length === wanted) break;
  }
  return longest;
}

Deno.test("NOTHING_WITHHELD is as long as the largest bitmap, and empty", () => {
  assert.equal(NOTHING_WITHHELD.length * 4, 65536);
  assert(NOTHING_WITHHELD.every((word) => word === 0));
});
