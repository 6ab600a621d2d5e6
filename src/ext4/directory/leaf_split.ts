/**
 * The entries of a full leaf, in the order of their hashes, and how they are divided between two.
 * Packing also joins the free room that was scattered between them.
 */

import type { Block } from "../../block/block_cache.ts";
import { Ext4DirEntry2 as Entry } from "../../disk/directory.ts";
import { corrupt } from "../../sys/fs_error.ts";
import { type EntryChain, entryLength, entryName, recordLength } from "./directory_block.ts";
import { type EntryRoom, initLeaf, setLength } from "./entry_write.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { nameHasher } from "./name_hash.ts";

/** Where an entry is in its block goes into the low bits, in units of its alignment. */
const PLACE_BITS = 16;
const PLACE_UNIT = 4;

/** One number for each entry in use: its hash, and in the low bits its place. Sorted. */
export function entriesByHash(
  fs: FileSystem,
  dir: Inode,
  chain: EntryChain,
  version: number,
): Float64Array {
  const hash = nameHasher(fs, dir, version);
  const keys = new Float64Array(chain.end / recordLength(1));
  let count = 0;
  for (let at = chain.start; at < chain.end; at += entryLength(fs, dir, chain, at)) {
    const length = entryLength(fs, dir, chain, at);
    if (length < recordLength(1)) throw corrupt("directory entry: too short", { ino: dir.ino });
    if (Entry.inode.get(chain.view, at) === 0 || Entry.name_len.get(chain.view, at) === 0) continue;
    const { major } = hash(entryName(chain, at));
    keys[count++] = major * 2 ** PLACE_BITS + at / PLACE_UNIT;
  }
  return keys.subarray(0, count).sort();
}

export function hashOf(key: number): number {
  return Math.floor(key / 2 ** PLACE_BITS);
}

function placeOf(key: number): number {
  return (key % 2 ** PLACE_BITS) * PLACE_UNIT;
}

function sizeOf({ view }: { readonly view: DataView }, key: number): number {
  return recordLength(Entry.name_len.get(view, placeOf(key)));
}

/**
 * How many of the entries stay: so many that neither half of the names takes much more than half
 * a block. Where they all fit into half a block, half of them stay.
 */
export function splitPoint(fs: FileSystem, block: Block, order: Float64Array): number {
  let size = 0;
  for (let index = order.length - 1; index >= 0; index--) {
    const own = sizeOf(block, order[index]);
    if (size + own / 2 > fs.blockSize / 2) return index + 1;
    size += own;
  }
  return Math.floor(order.length / 2);
}

/** Fills a leaf with entries of another; gives the last one, which has all the free room. */
export function pack(
  fs: FileSystem,
  dir: Inode,
  block: Block,
  source: Uint8Array,
  order: Float64Array,
): EntryRoom {
  block.bytes.fill(0);
  const chain = initLeaf(fs, dir, block);
  const { view } = chain;
  let at = 0;
  let last = 0;
  for (const key of order) {
    const place = placeOf(key);
    const nameLength = source[place + Entry.name_len.offset];
    const length = recordLength(nameLength);
    chain.bytes.set(source.subarray(place, place + Entry.byteLength + nameLength), at);
    setLength(view, at, length);
    last = at;
    at += length;
  }
  setLength(view, last, chain.end - last);
  return { chain, at: last };
}
