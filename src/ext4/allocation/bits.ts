/**
 * Runs of bits in a bitmap. Bitmaps are searched a word of 32 bits at a time; bit n of the disk is
 * bit n % 32 of word n / 32, since all machines that Deno runs on are little-endian.
 *
 * Searches look at two bitmaps at once: what the disk says is in use, and what is withheld for
 * reasons that only memory knows.
 */

/** Bits [start, start + length). */
export interface BitRun {
  readonly start: number;
  readonly length: number;
}

const WORD = 32;
/** Words of the largest bitmap: one block of 64 KiB. */
const MAX_WORDS = 65536 / 4;

/** The second bitmap of a search when there is none. Must not be changed. */
export const NOTHING_WITHHELD: Readonly<Uint32Array> = new Uint32Array(MAX_WORDS);

/** The words of a block, in place. */
export function wordsOf(bytes: Uint8Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

export function isSet(words: Uint32Array, bit: number): boolean {
  return (words[bit >>> 5] & (1 << (bit & 31))) !== 0;
}

export function setBits(words: Uint32Array, start: number, end: number): void {
  eachWord(start, end, (index, mask) => words[index] |= mask);
}

export function clearBits(words: Uint32Array, start: number, end: number): void {
  eachWord(start, end, (index, mask) => words[index] &= ~mask);
}

export function areAllSet(words: Uint32Array, start: number, end: number): boolean {
  return nextZero(words, NOTHING_WITHHELD, start, end) === end;
}

export function areAllClear(words: Uint32Array, start: number, end: number): boolean {
  return nextSet(words, NOTHING_WITHHELD, start, end) === end;
}

export function countZeros(words: Uint32Array, start: number, end: number): number {
  let zeros = 0;
  eachWord(start, end, (index, mask) => zeros += onesOf(~words[index] & mask));
  return zeros;
}

/** The first bit from `start` on that is clear in both bitmaps; `end` when none is. */
export function nextZero(
  words: Uint32Array,
  withheld: Readonly<Uint32Array>,
  start: number,
  end: number,
): number {
  if (start >= end) return end;
  let index = start >>> 5;
  let free = ~(words[index] | withheld[index]) & (-1 << (start & 31));
  while (free === 0) {
    index++;
    if (index * WORD >= end) return end;
    free = ~(words[index] | withheld[index]);
  }
  return Math.min(end, index * WORD + lowestBit(free));
}

/** The first bit from `start` on that is set in one of the bitmaps; `end` when none is. */
export function nextSet(
  words: Uint32Array,
  withheld: Readonly<Uint32Array>,
  start: number,
  end: number,
): number {
  if (start >= end) return end;
  let index = start >>> 5;
  let used = (words[index] | withheld[index]) & (-1 << (start & 31));
  while (used === 0) {
    index++;
    if (index * WORD >= end) return end;
    used = words[index] | withheld[index];
  }
  return Math.min(end, index * WORD + lowestBit(used));
}

/**
 * The first run of at least `wanted` clear bits in [start, end), cut to that length; where there is
 * none, the longest one, whose length may be 0.
 */
export function findRun(
  words: Uint32Array,
  withheld: Readonly<Uint32Array>,
  start: number,
  end: number,
  wanted: number,
): BitRun {
  let longest: BitRun = { start, length: 0 };
  let at = nextZero(words, withheld, start, end);
  while (at < end) {
    const stop = nextSet(words, withheld, at, Math.min(end, at + wanted));
    if (stop - at > longest.length) longest = { start: at, length: stop - at };
    if (longest.length === wanted) break;
    at = nextZero(words, withheld, stop, end);
  }
  return longest;
}

/** Calls `act` with each word that bits of [start, end) lie in, and a mask of these bits. */
function eachWord(start: number, end: number, act: (index: number, mask: number) => void): void {
  for (let at = start; at < end;) {
    const index = at >>> 5;
    const stop = Math.min(end, (index + 1) * WORD);
    const count = stop - at;
    act(index, count === WORD ? -1 : ((1 << count) - 1) << (at & 31));
    at = stop;
  }
}

function lowestBit(word: number): number {
  return 31 - Math.clz32(word & -word);
}

function onesOf(word: number): number {
  let bits = word - ((word >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
