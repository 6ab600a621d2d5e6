/**
 * Hashes of names in directories (kernel documentation: filesystems/ext4/directory.rst). Each has
 * a signed and an unsigned version: bytes above 127 were once read as the char type of the machine.
 */

/** hash_version of a directory's root; the unsigned ones follow from the superblock's flags. */
export const HashVersion = {
  LEGACY: 0,
  HALF_MD4: 1,
  TEA: 2,
  LEGACY_UNSIGNED: 3,
  HALF_MD4_UNSIGNED: 4,
  TEA_UNSIGNED: 5,
  /** Keyed; cannot be computed without the key of the directory. */
  SIPHASH: 6,
} as const;

/** The order of a name, and the order of names with the same major hash. */
export interface DirectoryHash {
  /** 32 bits, the lowest of them zero. */
  readonly major: number;
  readonly minor: number;
}

/** Reserved for the end of a directory. */
const END_OF_DIRECTORY = 0xfffffffe;

/**
 * The hash of a name.
 * @param seed s_hash_seed; all zeros stand for the seed of MD4
 */
export function directoryHash(
  version: number,
  seed: Uint32Array,
  name: Uint8Array,
): DirectoryHash {
  const signed = version < HashVersion.LEGACY_UNSIGNED;
  switch (version) {
    case HashVersion.LEGACY:
    case HashVersion.LEGACY_UNSIGNED:
      return finish(legacyHash(name, signed), 0);
    case HashVersion.HALF_MD4:
    case HashVersion.HALF_MD4_UNSIGNED:
      start(seed);
      for (let at = 0; at < name.length; at += 32) {
        fillWords(name, at, 8, signed);
        halfMd4();
      }
      return finish(state[1], state[2]);
    case HashVersion.TEA:
    case HashVersion.TEA_UNSIGNED:
      start(seed);
      for (let at = 0; at < name.length; at += 16) {
        fillWords(name, at, 4, signed);
        tea();
      }
      return finish(state[0], state[1]);
    default:
      return finish(0, 0);
  }
}

const INITIAL_STATE = Uint32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476);
/** Scratch of one computation: the state, and the words of the name that it takes in. */
const state = new Uint32Array(4);
const words = new Uint32Array(8);

function start(seed: Uint32Array): void {
  const isSet = (seed[0] | seed[1] | seed[2] | seed[3]) !== 0;
  state.set(isSet ? seed : INITIAL_STATE);
}

function finish(hash: number, minor: number): DirectoryHash {
  const major = (hash & ~1) >>> 0;
  return { major: major === END_OF_DIRECTORY ? major - 2 : major, minor: minor >>> 0 };
}

function legacyHash(name: Uint8Array, signed: boolean): number {
  let hash0 = 0x12a3fe2d;
  let hash1 = 0x37abe8f9;
  for (let at = 0; at < name.length; at++) {
    const byte = signed ? (name[at] << 24) >> 24 : name[at];
    let hash = (hash1 + (hash0 ^ Math.imul(byte, 7152373))) | 0;
    if (hash < 0) hash = (hash - 0x7fffffff) | 0;
    hash1 = hash0;
    hash0 = hash;
  }
  return hash0 << 1;
}

/** Packs the name from byte `from` on into `count` words, padded with the length that is left. */
function fillWords(name: Uint8Array, from: number, count: number, signed: boolean): void {
  const left = name.length - from;
  const pad = Math.imul(left, 0x01010101);
  const end = from + Math.min(left, count * 4);
  let at = from;
  for (let word = 0; word < count; word++) {
    let value = pad;
    for (let byte = 0; byte < 4 && at < end; byte++, at++) {
      value = ((value << 8) + (signed ? (name[at] << 24) >> 24 : name[at])) | 0;
    }
    words[word] = value;
  }
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

/** The order of the words and the rotations of the three rounds, and the rounds' constants. */
const ROUNDS = [
  { order: [0, 1, 2, 3, 4, 5, 6, 7], shifts: [3, 7, 11, 19], constant: 0 },
  { order: [1, 3, 5, 7, 0, 2, 4, 6], shifts: [3, 5, 9, 13], constant: 0x5a827999 },
  { order: [3, 7, 2, 6, 1, 5, 0, 4], shifts: [3, 9, 11, 15], constant: 0x6ed9eba1 },
] as const;

/** MD4 (RFC 1320) with half of its steps. */
function halfMd4(): void {
  let [a, b, c, d] = state;
  for (let round = 0; round < 3; round++) {
    const { order, shifts, constant } = ROUNDS[round];
    for (let step = 0; step < 8; step++) {
      const mixed = round === 0
        ? d ^ (b & (c ^ d))
        : round === 1
        ? ((b & c) + ((b ^ c) & d)) | 0
        : b ^ c ^ d;
      const sum = rotate((a + mixed + words[order[step]] + constant) | 0, shifts[step & 3]);
      a = d;
      d = c;
      c = b;
      b = sum;
    }
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
}

/** Sixteen rounds of the Tiny Encryption Algorithm, the words as its key. */
function tea(): void {
  let sum = 0;
  let [b0, b1] = state;
  const [a, b, c, d] = words;
  for (let round = 0; round < 16; round++) {
    sum = (sum + 0x9e3779b9) | 0;
    b0 = (b0 + (((b1 << 4) + a) ^ (b1 + sum) ^ ((b1 >>> 5) + b))) | 0;
    b1 = (b1 + (((b0 << 4) + c) ^ (b0 + sum) ^ ((b0 >>> 5) + d))) | 0;
  }
  state[0] += b0;
  state[1] += b1;
}
