/**
 * Hashes of extended attributes (kernel documentation: filesystems/ext4/attributes.rst). That of an
 * entry takes in name and value, that of a block the entries; by them equal blocks are found.
 */

import type { XattrEntry } from "./xattr_table.ts";

const NAME_SHIFT = 5;
const VALUE_SHIFT = 16;
const BLOCK_SHIFT = 16;

/** e_hash of an entry with its value in the table. */
export function entryHash(name: Uint8Array, value: Uint8Array): number {
  let hash = nameHash(name);
  for (let at = 0; at < value.length; at += 4) {
    const word = byte(value, at) | byte(value, at + 1) << 8 | byte(value, at + 2) << 16 |
      byte(value, at + 3) << 24;
    hash = rotate(hash, VALUE_SHIFT) ^ word;
  }
  return hash >>> 0;
}

/** e_hash of an entry with its value in an inode: the hash of the value stands for it. */
export function entryHashOfValueInode(name: Uint8Array, valueHash: number): number {
  return (rotate(nameHash(name), VALUE_SHIFT) ^ valueHash) >>> 0;
}

/** h_hash of a block; 0 for one that must not be shared, as it has an entry without a hash. */
export function blockHash(entries: readonly XattrEntry[]): number {
  let result = 0;
  for (const { hash } of entries) {
    if (hash === 0) return 0;
    result = rotate(result, BLOCK_SHIFT) ^ hash;
  }
  return result >>> 0;
}

function nameHash(name: Uint8Array): number {
  let hash = 0;
  for (const each of name) hash = rotate(hash, NAME_SHIFT) ^ each;
  return hash;
}

/** Values are padded with zeros. */
function byte(value: Uint8Array, at: number): number {
  return at < value.length ? value[at] : 0;
}

function rotate(hash: number, bits: number): number {
  return hash << bits | hash >>> (32 - bits);
}
