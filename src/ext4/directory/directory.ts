/**
 * Listing directories.
 *
 * Where the file system indexes its directories, a listing goes by the hash of the names, as the
 * kernel's does: a position then means the same name even after the tree was split under the
 * reader. Elsewhere a position is a byte of the directory.
 *
 *     hash order: 0 ".", 1 "..", then 3 + hash / 2 * 2^20 + place among the names of that hash
 */

import { Ext4DirEntry2 as Entry } from "../../disk/directory.ts";
import { EXT4_INDEX_FL } from "../../disk/inode.ts";
import { corrupt, fail, FsError } from "../../sys/fs_error.ts";
import { S_IFDIR } from "../../sys/stat.ts";
import {
  directoryBlock,
  directoryBlocks,
  type EntryChain,
  entryFileType,
  entryLength,
  entryName,
  fetchAround,
  hashIsStored,
  isDotName,
  isIndexBlock,
  leafChain,
  type PlacedChain,
  storedHash,
  wholeBlock,
} from "./directory_block.ts";
import { noKeyName } from "./encryption.ts";
import { modeOfFileType } from "../inode/file_type.ts";
import type { FileSystem } from "../filesystem.ts";
import { HashTree, IndexDamage, type IndexedLeaf } from "./htree.ts";
import { inlineDirectory } from "./inline_directory.ts";
import type { Inode } from "../inode/inode.ts";
import { mapBlocks } from "../map/block_map.ts";
import { type NameHasher, nameHasher } from "./name_hash.ts";

/** A row of a listing. */
export interface DirectoryEntry {
  readonly name: Uint8Array;
  readonly ino: number;
  /** S_IFMT bits, or 0 where the file system does not say. */
  readonly type: number;
  /** Position of the row behind this one, never 0. */
  readonly next: number;
}

/**
 * The rows of a directory from a position on: 0, or the `next` of a row of an earlier listing.
 * A damaged entry ends its block, with a message; an unreadable or wrongly summed block of an
 * indexed directory throws.
 */
export function* readDirectory(
  fs: FileSystem,
  dir: Inode,
  position: number,
): Generator<DirectoryEntry> {
  if (!dir.isDirectory) throw fail("ENOTDIR", "Cannot list: not a directory", { ino: dir.ino });
  if (!goesByHash(fs, dir)) {
    yield* listInOrder(fs, dir, position);
    return;
  }
  let tree: HashTree | undefined;
  if (dir.hasFlag(EXT4_INDEX_FL) && !dir.hasInlineData) {
    try {
      tree = new HashTree(fs, dir);
    } catch (error) {
      if (!(error instanceof IndexDamage)) throw error;
      // The names are all in the leaves: list them as if there were no index.
      fs.report(error);
      yield* listInOrder(fs, dir, position);
      return;
    }
  }
  yield* listByHash(fs, dir, tree, position);
}

function goesByHash(fs: FileSystem, dir: Inode): boolean {
  if (!fs.superblock.features.has("dir_index")) return false;
  return dir.hasInlineData || dir.hasFlag(EXT4_INDEX_FL) || dir.size === fs.blockSize;
}

// ---------------------------------------------------------------- in the order of the blocks

function* listInOrder(fs: FileSystem, dir: Inode, position: number): Generator<DirectoryEntry> {
  for (const { chain, origin } of directoryChains(fs, dir, position)) {
    for (const at of entriesOf(fs, dir, chain)) {
      const place = origin + at;
      const ino = Entry.inode.get(chain.view, at);
      if (ino === 0 || place < position) continue;
      yield {
        name: visibleName(dir, entryName(chain, at), 0, 0),
        ino,
        type: modeOfFileType(entryFileType(fs, chain, at)),
        next: origin + at + entryLength(fs, dir, chain, at),
      };
    }
  }
}

/** The chains of a directory that hold positions at or behind `position`. */
export function* directoryChains(
  fs: FileSystem,
  dir: Inode,
  position: number,
): Generator<PlacedChain> {
  if (dir.hasInlineData) {
    yield* inlineDirectory(fs, dir);
    return;
  }
  const count = directoryBlocks(fs, dir);
  for (let fileBlock = Math.floor(position / fs.blockSize); fileBlock < count;) {
    const mapping = mapBlocks(fs, dir, fileBlock, count - fileBlock);
    if (mapping.kind !== "mapped") {
      fs.report(corrupt(`directory: hole at file block ${fileBlock}`, { ino: dir.ino }));
      fileBlock += mapping.count;
      continue;
    }
    fetchAround(fs, dir, fileBlock);
    fs.cache.willRead(mapping.physicalBlock, mapping.count);
    for (let index = 0; index < mapping.count; index++, fileBlock++) {
      const chain = leafOrNothing(fs, dir, mapping.physicalBlock + index, fileBlock);
      if (chain !== undefined) yield { chain, origin: fileBlock * fs.blockSize };
    }
  }
}

/** The entries of a block, or undefined when it is damaged, which is reported. */
function leafOrNothing(
  fs: FileSystem,
  dir: Inode,
  number: number,
  fileBlock: number,
): EntryChain | undefined {
  try {
    const block = fs.cache.read(number);
    return isIndexBlock(fs, dir, block, fileBlock) ? wholeBlock(block) : leafChain(fs, dir, block);
  } catch (error) {
    if (!(error instanceof FsError) || !error.isCorruption) throw error;
    fs.report(error);
    return undefined;
  }
}

/** Places of the entries of a chain. Damage ends the chain, with a message. */
function* entriesOf(fs: FileSystem, dir: Inode, chain: EntryChain): Generator<number> {
  for (let at = chain.start; at < chain.end;) {
    let length: number;
    try {
      length = entryLength(fs, dir, chain, at);
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      fs.report(error);
      return;
    }
    yield at;
    at += length;
  }
}

// ---------------------------------------------------------------- in the order of the hashes

/** Names of one hash, at the most, that a position can tell apart. */
const NAMES_OF_ONE_HASH = 2 ** 20;
/** Names that are sorted at a time: all in a leaf and in those that it goes on in. */
const MOST_AT_ONCE = 2 ** 18;
const FIRST_HASHED = 3;
const HASH_END = 2 ** 32;

interface HashedEntry {
  readonly major: number;
  readonly minor: number;
  readonly name: Uint8Array;
  readonly ino: number;
  readonly type: number;
}

function* listByHash(
  fs: FileSystem,
  dir: Inode,
  tree: HashTree | undefined,
  position: number,
): Generator<DirectoryEntry> {
  if (position < FIRST_HASHED) yield* dotEntries(fs, dir, position);
  const from = Math.max(0, position - FIRST_HASHED);
  const hash = nameHasher(fs, dir, tree?.hashVersion);
  const startHash = 2 * Math.floor(from / NAMES_OF_ONE_HASH);
  for (const batch of batches(fs, dir, tree, hash, startHash)) {
    let major = -1;
    let place = 0;
    for (const entry of batch) {
      place = entry.major === major ? Math.min(place + 1, NAMES_OF_ONE_HASH - 1) : 0;
      major = entry.major;
      const key = (major / 2) * NAMES_OF_ONE_HASH + place;
      if (key < from) continue;
      yield {
        name: visibleName(dir, entry.name, entry.major, entry.minor),
        ino: entry.ino,
        type: entry.type,
        next: FIRST_HASHED + key + 1,
      };
    }
  }
}

/** `.` and `..` stand in front, where every directory has them. */
function* dotEntries(
  fs: FileSystem,
  dir: Inode,
  position: number,
): Generator<DirectoryEntry> {
  const [first] = directoryChains(fs, dir, 0);
  if (first === undefined) return;
  let row = 0;
  for (const at of entriesOf(fs, dir, first.chain)) {
    const name = entryName(first.chain, at);
    const ino = Entry.inode.get(first.chain.view, at);
    if (row > 1 || !isDotName(name) || ino === 0) return;
    row++;
    if (row > position) yield { name, ino, type: S_IFDIR, next: row };
  }
}

/** Entries by hash, in portions that no hash is divided between. */
function* batches(
  fs: FileSystem,
  dir: Inode,
  tree: HashTree | undefined,
  hash: NameHasher,
  startHash: number,
): Generator<HashedEntry[]> {
  if (tree === undefined) {
    const batch: HashedEntry[] = [];
    for (const { chain } of directoryChains(fs, dir, 0)) {
      collect(fs, dir, chain, hash, 0, HASH_END, batch);
    }
    yield sorted(batch);
    return;
  }
  let group: IndexedLeaf[] = [];
  for (const leaf of tree.leavesFrom(startHash)) {
    // A hash that goes back is damage. Its leaf is listed with the one before, so that positions
    // only ever go up.
    const belongs = leaf.hash % 2 === 1 || (group.length > 0 && leaf.hash <= group[0].hash);
    if (group.length > 0 && !belongs) {
      yield leafBatch(fs, dir, hash, group, leaf.hash);
      group = [];
    }
    group.push(leaf);
  }
  if (group.length > 0) yield leafBatch(fs, dir, hash, group, HASH_END);
}

/** The entries of leaves that belong together, all hashes of which are below `end`. */
function leafBatch(
  fs: FileSystem,
  dir: Inode,
  hash: NameHasher,
  leaves: readonly IndexedLeaf[],
  end: number,
): HashedEntry[] {
  const batch: HashedEntry[] = [];
  for (const { fileBlock } of leaves) {
    fetchAround(fs, dir, fileBlock);
    const block = directoryBlock(fs, dir, fileBlock);
    if (block === undefined) {
      throw corrupt(`directory: hole at file block ${fileBlock}`, { ino: dir.ino });
    }
    collect(fs, dir, leafChain(fs, dir, block), hash, leaves[0].hash, end, batch);
    if (batch.length > MOST_AT_ONCE) {
      throw corrupt(`directory: more than ${MOST_AT_ONCE} names of one hash`, {
        ino: dir.ino,
        block: block.number,
      });
    }
  }
  return sorted(batch);
}

/**
 * Adds the entries of a chain. A name whose hash is not in the range of its leaf is damage; it is
 * listed at the edge of the range, so that positions go upwards all the same and a listing ends.
 */
function collect(
  fs: FileSystem,
  dir: Inode,
  chain: EntryChain,
  hash: NameHasher,
  low: number,
  end: number,
  into: HashedEntry[],
): void {
  const lowest = low - low % 2;
  for (const at of entriesOf(fs, dir, chain)) {
    const ino = Entry.inode.get(chain.view, at);
    const name = entryName(chain, at);
    if (ino === 0 || isDotName(name)) continue;
    const { major, minor } = hashIsStored(dir) ? storedHash(chain, at) : hash(name);
    into.push({
      major: Math.max(lowest, Math.min(major - major % 2, end - 2)),
      minor,
      name,
      ino,
      type: modeOfFileType(entryFileType(fs, chain, at)),
    });
  }
}

/** The sort is stable, so entries of the same hashes stay in the order of the disk. */
function sorted(batch: HashedEntry[]): HashedEntry[] {
  return batch.sort((a, b) => a.major - b.major || a.minor - b.minor);
}

function visibleName(dir: Inode, name: Uint8Array, major: number, minor: number): Uint8Array {
  if (!dir.isEncrypted || isDotName(name)) return name;
  return noKeyName(dir, name, major, minor);
}
