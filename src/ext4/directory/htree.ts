/**
 * The hash tree over the blocks of a large directory (kernel documentation:
 * filesystems/ext4/directory.rst, "Hash Tree Directories"; layout: disk/directory.ts).
 *
 * An index entry leads to the names whose hash is at or above its own and below the next entry's.
 * A hash with the lowest bit set continues the entry before: names of one hash fill both blocks.
 */

import type { Block } from "../../block/block_cache.ts";
import { crc32c } from "../../disk/crc32c.ts";
import {
  DX_NODE_COUNTLIMIT_OFFSET,
  DX_ROOT_INFO_OFFSET,
  DxCountLimit,
  DxEntry,
  DxRootInfo,
  DxTail,
  Ext4DirEntryHash,
} from "../../disk/directory.ts";
import { Errno } from "../../sys/errno.ts";
import { badChecksum, type DiskPlace, FsError } from "../../sys/fs_error.ts";
import { crc32cOfZeros } from "../checksum.ts";
import { directoryBlock, directoryBlocks, hashIsStored } from "./directory_block.ts";
import { HashVersion } from "./dirhash.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { claim, Kind } from "../verified.ts";

/** Levels of nodes, the root among them: two, or three with large_dir. */
const MAX_LEVELS = 2;
const MAX_LEVELS_LARGE_DIR = 3;
/** Steps without a look at where they lead. */
const UNWATCHED_STEPS = 4;
/** Block numbers in the index have 28 bits. */
const BLOCK_MASK = 0x0fffffff;
/** unused_flags: the tree was made by something that this code does not know. */
const INCOMPATIBLE_FLAG = 1;
/** Where the index of the root begins. */
export const ROOT_INDEX_OFFSET = DX_ROOT_INFO_OFFSET + DxRootInfo.byteLength;

/** A tree that makes no sense. The leaves may be whole: the directory can be read without it. */
export class IndexDamage extends FsError {
  constructor(what: string, place: DiskPlace) {
    super(Errno.EUCLEAN, `Corrupt directory index: ${what}`, place);
  }
}

/** A leaf of the tree and the lowest hash of the names in it. */
export interface IndexedLeaf {
  readonly fileBlock: number;
  /** As in the index, with the lowest bit set when the leaf continues the one before. */
  readonly hash: number;
}

export interface IndexNode {
  readonly block: Block;
  /** Byte of the countlimit and first dx_entry. */
  readonly at: number;
  readonly count: number;
  readonly limit: number;
  /** Levels of nodes below; the entries of level 0 lead to leaves. */
  readonly level: number;
}

/** A node on the way from the root to a leaf, and the entry that was taken there. */
export interface IndexStep {
  readonly node: IndexNode;
  entry: number;
}

/** The way to a leaf: at least the root. */
export type IndexPath = IndexStep[];

/** Most levels of nodes, the root among them. */
export function maxIndexLevels(fs: FileSystem): number {
  return fs.superblock.features.has("large_dir") ? MAX_LEVELS_LARGE_DIR : MAX_LEVELS;
}

/** How many entries a node has room for whose index begins at byte `at`. */
export function indexCapacity(fs: FileSystem, dir: Inode, at: number): number {
  const stored = at !== ROOT_INDEX_OFFSET && hashIsStored(dir) ? Ext4DirEntryHash.byteLength : 0;
  const tail = fs.superblock.hasMetadataChecksums ? DxTail.byteLength : 0;
  return Math.floor((fs.blockSize - at - stored - tail) / DxEntry.byteLength);
}

/** What a node of the directory's tree is verified as. */
export function indexClaim(dir: Inode, at: number): number {
  return claim(Kind.INDEX_NODE, dir.ino, at);
}

/** The checksum over a node with an index at byte `at`. */
export function indexChecksum(
  seed: number,
  { bytes, view }: Block,
  at: number,
): number {
  const tail = indexTail(view, at);
  const end = at + DxCountLimit.count.get(view, at) * DxEntry.byteLength;
  let crc = crc32c(seed, bytes, 0, Math.min(end, tail));
  crc = crc32c(crc, bytes, tail, tail + DxTail.dt_reserved.size);
  return crc32cOfZeros(crc, DxTail.dt_checksum.size);
}

/**
 * Where the tail of a node is: behind all the entries that it has room for. It is in the block,
 * whatever that says of itself, where something else lies in it as well.
 */
export function indexTail(view: DataView, at: number): number {
  const tail = at + DxCountLimit.limit.get(view, at) * DxEntry.byteLength;
  return Math.min(tail, view.byteLength - DxTail.byteLength);
}

/** The block of a leaf, counted in the directory. */
export function leafOf(path: IndexPath): number {
  const { node, entry } = path[path.length - 1];
  return childOf(node, entry);
}

/** The lowest hash of the names in a leaf, with the lowest bit set when it continues another. */
function leafHash(path: IndexPath): number {
  // The first entry of a node has no hash of its own: the one that led to the node stands for it.
  for (let level = path.length - 1; level >= 0; level--) {
    const { node, entry } = path[level];
    if (entry > 0) return DxEntry.hash.get(node.block.view, node.at + entry * DxEntry.byteLength);
  }
  return 0;
}

/** True when a leaf goes on with names of this hash, which the leaf before it has too. */
export function continues(path: IndexPath, hash: number): boolean {
  const lowest = leafHash(path);
  return lowest % 2 === 1 && lowest - 1 === hash;
}

/** The root of a tree: how its names are hashed, and the ways to its leaves. */
export class HashTree {
  /** HashVersion as the root has it, signed or unsigned not yet told apart. */
  readonly hashVersion: number;
  readonly #fs: FileSystem;
  readonly #dir: Inode;
  readonly #root: IndexNode;
  /** Steps to next leaves that are still sensible: there are no more leaves than blocks. */
  #stepsLeft: number;
  #steps = 0;
  /** Leaves that were come to, but for the first few: most ways are short. */
  readonly #passed = new Set<number>();

  /** Throws IndexDamage for a root that makes no sense, EBADMSG for a wrong checksum. */
  constructor(fs: FileSystem, dir: Inode) {
    this.#fs = fs;
    this.#dir = dir;
    this.#stepsLeft = directoryBlocks(fs, dir);
    const block = this.#block(0);
    const { view } = block;
    this.hashVersion = DxRootInfo.hash_version.get(view, DX_ROOT_INFO_OFFSET);
    if (this.hashVersion > HashVersion.TEA && this.hashVersion !== HashVersion.SIPHASH) {
      throw this.#damage(`hash version ${this.hashVersion}`, block);
    }
    if ((this.hashVersion === HashVersion.SIPHASH) !== hashIsStored(dir)) {
      throw this.#damage(`hash version ${this.hashVersion} in a directory of another kind`, block);
    }
    const flags = DxRootInfo.unused_flags.get(view, DX_ROOT_INFO_OFFSET);
    if ((flags & INCOMPATIBLE_FLAG) !== 0) throw this.#damage(`flags ${flags}`, block);
    const levels = DxRootInfo.indirect_levels.get(view, DX_ROOT_INFO_OFFSET);
    if (levels >= maxIndexLevels(fs)) throw this.#damage(`${levels} levels`, block);
    const infoLength = DxRootInfo.info_length.get(view, DX_ROOT_INFO_OFFSET);
    if (infoLength !== DxRootInfo.byteLength) {
      throw this.#damage(`info length ${infoLength}`, block);
    }
    this.#root = this.#node(block, ROOT_INDEX_OFFSET, levels);
  }

  /** The way to the first leaf that may hold a name of this hash. */
  descend(hash: number): IndexPath {
    let node = this.#root;
    const path: IndexPath = [{ node, entry: lastEntryUpTo(node, hash) }];
    while (node.level > 0) {
      node = this.#childNode(node, path[path.length - 1].entry);
      path.push({ node, entry: lastEntryUpTo(node, hash) });
    }
    return path;
  }

  /**
   * Makes the way one to the next leaf, in the order of the hashes; false behind the last. Throws
   * IndexDamage when the tree has more leaves than the directory has blocks, or one of them twice.
   */
  advance(path: IndexPath): boolean {
    let level = path.length - 1;
    while (level >= 0 && path[level].entry + 1 >= path[level].node.count) level--;
    if (level < 0) return false;
    if (this.#stepsLeft-- <= 0) throw this.#damage("more leaves than blocks");
    path[level].entry++;
    for (; level + 1 < path.length; level++) {
      const { node, entry } = path[level];
      path[level + 1] = { node: this.#childNode(node, entry), entry: 0 };
    }
    if (++this.#steps > UNWATCHED_STEPS) this.#pass(leafOf(path), path[path.length - 1].node.block);
    return true;
  }

  #pass(leaf: number, block: Block): void {
    if (this.#passed.has(leaf)) throw this.#damage(`file block ${leaf} is a leaf twice`, block);
    this.#passed.add(leaf);
  }

  /** The leaves that may hold a name of this hash or a higher one, in the order of their hashes. */
  *leavesFrom(hash: number): Generator<IndexedLeaf> {
    const path = this.descend(hash);
    do yield { fileBlock: leafOf(path), hash: leafHash(path) }; while (this.advance(path));
  }

  #childNode(node: IndexNode, entry: number): IndexNode {
    const block = this.#block(childOf(node, entry));
    return this.#node(block, DX_NODE_COUNTLIMIT_OFFSET, node.level - 1);
  }

  #node(block: Block, at: number, level: number): IndexNode {
    const { view } = block;
    const limit = DxCountLimit.limit.get(view, at);
    const count = DxCountLimit.count.get(view, at);
    const capacity = indexCapacity(this.#fs, this.#dir, at);
    if (limit !== capacity || count === 0 || count > limit) {
      throw this.#damage(`${count} entries of ${limit} in room for ${capacity}`, block);
    }
    const seen = indexClaim(this.#dir, at);
    if (this.#fs.superblock.hasMetadataChecksums && block.verifiedAs !== seen) {
      const stored = DxTail.dt_checksum.get(view, indexTail(view, at));
      if (stored !== indexChecksum(this.#dir.checksumSeed, block, at)) {
        throw badChecksum("the directory index", { ino: this.#dir.ino, block: block.number });
      }
    }
    block.verifiedAs = seen;
    return { block, at, count, limit, level };
  }

  #block(fileBlock: number): Block {
    const block = directoryBlock(this.#fs, this.#dir, fileBlock);
    if (block === undefined) throw this.#damage(`hole at file block ${fileBlock}`);
    return block;
  }

  #damage(what: string, block?: Block) {
    return new IndexDamage(what, { ino: this.#dir.ino, block: block?.number });
  }
}

/** Where an entry leads to: a block of the directory. */
function childOf(node: IndexNode, entry: number): number {
  return DxEntry.block.get(node.block.view, node.at + entry * DxEntry.byteLength) & BLOCK_MASK;
}

/** The last entry whose hash is at or below `hash`; the first stands for all below the second. */
function lastEntryUpTo(node: IndexNode, hash: number): number {
  const { view } = node.block;
  let low = 1;
  let high = node.count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const stored = DxEntry.hash.get(view, node.at + middle * DxEntry.byteLength);
    if (stored <= hash) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
