/**
 * Hashes of names in directories (kernel documentation: filesystems/ext4/directory.rst). The hash
 * decides in which block of an indexed directory a name is, and at which position it is listed.
 *
 *     name -> words of 32 bits, 4 (TEA) or 8 (half MD4) at a time -> mixed into a state of 4 words
 *     seed -> first state                                            two words of it are the hash
 *
 * Each algorithm has a signed and an unsigned version, because bytes above 127 were once taken for
 * the char type of the machine: the superblock says which one its directories have.
 *
 * Listing a directory hashes every name in it, so nothing is allocated here but the result.
 */

import { corrupt } from "../../sys/fs_error.ts";

/** hash_version of a directory's root; the unsigned ones follow from the superblock's flags. */
export const HashVersion = {
  LEGACY: 0,
  HALF_MD4: 1,
  TEA: 2,
  LEGACY_UNSIGNED: 3,
  HALF_MD4_UNSIGNED: 4,
  TEA_UNSIGNED: 5,
  /** Keyed with the key of an encrypted directory, whose entries have their hashes beside them. */
  SIPHASH: 6,
} as const;

/** The order of a name, and the order of names with the same major hash. */
export interface DirectoryHash {
  /** 32 bits, the lowest of them zero, below 0xfffffffe. */
  readonly major: number;
  /** 32 bits. */
  readonly minor: number;
}

/** EXT4_HTREE_EOF_32BIT << 1: the position behind the last name, so no name may have this hash. */
const END_OF_DIRECTORY = 0xfffffffe;

const TEA_WORDS = 4;
const HALF_MD4_WORDS = 8;

/** The first state of MD4 (RFC 1320), for file systems without a seed. */
const DEFAULT_SEED = Uint32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476);

/** Scratch of the computation that is going on: its state, and the words to be mixed into it. */
const state = new Int32Array(4);
const words = new Int32Array(HALF_MD4_WORDS);

/**
 * The hash of a name. A name of a casefolded directory is hashed in its folded form.
 * @param version one of HashVersion
 * @param seed s_hash_seed, 4 words; all zeros stand for the seed of MD4
 * @throws FsError EUCLEAN for an unknown version, and for SIPHASH, which needs a key: such hashes
 * are read from the entries
 */
export function directoryHash(
  version: number,
  seed: Uint32Array,
  name: Uint8Array,
): DirectoryHash {
  switch (version) {
    case HashVersion.LEGACY:
    case HashVersion.LEGACY_UNSIGNED:
      return finish(legacyHash(name, signBit(version)), 0);
    case HashVersion.HALF_MD4:
    case HashVersion.HALF_MD4_UNSIGNED:
      start(seed);
      for (let at = 0; at < name.length; at += HALF_MD4_WORDS * 4) {
        fillWords(name, at, HALF_MD4_WORDS, signBit(version));
        mixHalfMd4();
      }
      return finish(state[1], state[2]);
    case HashVersion.TEA:
    case HashVersion.TEA_UNSIGNED:
      start(seed);
      for (let at = 0; at < name.length; at += TEA_WORDS * 4) {
        fillWords(name, at, TEA_WORDS, signBit(version));
        mixTea();
      }
      return finish(state[0], state[1]);
    default:
      throw corrupt(`directory: names hashed with version ${version}, which cannot be computed`);
  }
}

/** What turns a byte into a signed or an unsigned number: (byte ^ signBit) - signBit. */
function signBit(version: number): number {
  return version < HashVersion.LEGACY_UNSIGNED ? 0x80 : 0;
}

function start(seed: Uint32Array): void {
  const isSet = (seed[0] | seed[1] | seed[2] | seed[3]) !== 0;
  const from = isSet ? seed : DEFAULT_SEED;
  for (let word = 0; word < 4; word++) state[word] = from[word];
}

function finish(hash: number, minor: number): DirectoryHash {
  const major = (hash & ~1) >>> 0;
  return { major: major === END_OF_DIRECTORY ? major - 2 : major, minor: minor >>> 0 };
}

/** The hash of the first indexed directories. It has no seed and no minor hash. */
function legacyHash(name: Uint8Array, sign: number): number {
  let older = 0x37abe8f9;
  let newer = 0x12a3fe2d;
  for (let at = 0; at < name.length; at++) {
    const byte = (name[at] ^ sign) - sign;
    let hash = (older + (newer ^ Math.imul(byte, 7152373))) | 0;
    if (hash < 0) hash = (hash - 0x7fffffff) | 0;
    older = newer;
    newer = hash;
  }
  return newer << 1;
}

/**
 * Packs bytes of the name from `from` on into `count` words, the first byte highest. Where the name
 * ends, each byte is the length of what was left of it at `from`.
 */
function fillWords(name: Uint8Array, from: number, count: number, sign: number): void {
  const left = name.length - from;
  const padding = Math.imul(left, 0x01010101);
  const end = from + Math.min(left, count * 4);
  for (let word = 0, at = from; word < count; word++) {
    let value = padding;
    // Signed bytes are added, so that a negative one borrows from the bytes before it.
    for (const stop = Math.min(at + 4, end); at < stop; at++) {
      value = ((value << 8) + ((name[at] ^ sign) - sign)) | 0;
    }
    words[word] = value;
  }
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

/** The functions of MD4's three rounds: x chooses y or z; the majority; the parity. */
function choose(x: number, y: number, z: number): number {
  return z ^ (x & (y ^ z));
}
function majority(x: number, y: number, z: number): number {
  return ((x & y) + ((x ^ y) & z)) | 0;
}
function parity(x: number, y: number, z: number): number {
  return x ^ y ^ z;
}

/** The constants of MD4's second and third round: 2^30 times the roots of 2 and 3. */
const ROOT2 = 0x5a827999;
const ROOT3 = 0x6ed9eba1;

/** MD4 (RFC 1320) with half the words, in orders of its own, and so half the steps. */
function mixHalfMd4(): void {
  const w0 = words[0], w1 = words[1], w2 = words[2], w3 = words[3];
  const w4 = words[4], w5 = words[5], w6 = words[6], w7 = words[7];
  let a = state[0], b = state[1], c = state[2], d = state[3];

  a = rotate((a + choose(b, c, d) + w0) | 0, 3);
  d = rotate((d + choose(a, b, c) + w1) | 0, 7);
  c = rotate((c + choose(d, a, b) + w2) | 0, 11);
  b = rotate((b + choose(c, d, a) + w3) | 0, 19);
  a = rotate((a + choose(b, c, d) + w4) | 0, 3);
  d = rotate((d + choose(a, b, c) + w5) | 0, 7);
  c = rotate((c + choose(d, a, b) + w6) | 0, 11);
  b = rotate((b + choose(c, d, a) + w7) | 0, 19);

  a = rotate((a + majority(b, c, d) + w1 + ROOT2) | 0, 3);
  d = rotate((d + majority(a, b, c) + w3 + ROOT2) | 0, 5);
  c = rotate((c + majority(d, a, b) + w5 + ROOT2) | 0, 9);
  b = rotate((b + majority(c, d, a) + w7 + ROOT2) | 0, 13);
  a = rotate((a + majority(b, c, d) + w0 + ROOT2) | 0, 3);
  d = rotate((d + majority(a, b, c) + w2 + ROOT2) | 0, 5);
  c = rotate((c + majority(d, a, b) + w4 + ROOT2) | 0, 9);
  b = rotate((b + majority(c, d, a) + w6 + ROOT2) | 0, 13);

  a = rotate((a + parity(b, c, d) + w3 + ROOT3) | 0, 3);
  d = rotate((d + parity(a, b, c) + w7 + ROOT3) | 0, 9);
  c = rotate((c + parity(d, a, b) + w2 + ROOT3) | 0, 11);
  b = rotate((b + parity(c, d, a) + w6 + ROOT3) | 0, 15);
  a = rotate((a + parity(b, c, d) + w1 + ROOT3) | 0, 3);
  d = rotate((d + parity(a, b, c) + w5 + ROOT3) | 0, 9);
  c = rotate((c + parity(d, a, b) + w0 + ROOT3) | 0, 11);
  b = rotate((b + parity(c, d, a) + w4 + ROOT3) | 0, 15);

  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
}

/** Rounds of TEA, the Tiny Encryption Algorithm, and what each adds to its sum: 2^32 / phi. */
const TEA_ROUNDS = 16;
const TEA_DELTA = 0x9e3779b9;

/** Encrypts the first half of the state with TEA; the words are the key. */
function mixTea(): void {
  const k0 = words[0], k1 = words[1], k2 = words[2], k3 = words[3];
  let v0 = state[0], v1 = state[1];
  let sum = 0;
  for (let round = 0; round < TEA_ROUNDS; round++) {
    sum = (sum + TEA_DELTA) | 0;
    v0 = (v0 + (((v1 << 4) + k0) ^ (v1 + sum) ^ ((v1 >>> 5) + k1))) | 0;
    v1 = (v1 + (((v0 << 4) + k2) ^ (v0 + sum) ^ ((v0 >>> 5) + k3))) | 0;
  }
  state[0] += v0;
  state[1] += v1;
}
