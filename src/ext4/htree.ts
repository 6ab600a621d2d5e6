/**
 * The hash tree over the blocks of a large directory (kernel documentation:
 * filesystems/ext4/directory.rst, "Hash Tree Directories"; layout: disk/directory.ts).
 *
 * An index entry leads to the names whose hash is at or above its own and below the next entry's.
 * A hash with the lowest bit set continues the entry before: names of one hash fill both blocks.
 */

import type { Block } from "../block/block_cache.ts";
import { crc32c } from "../disk/crc32c.ts";
import {
  DX_NODE_COUNTLIMIT_OFFSET,
  DX_ROOT_INFO_OFFSET,
  DxCountLimit,
  DxEntry,
  DxRootInfo,
  DxTail,
  Ext4DirEntryHash,
} from "../disk/directory.ts";
import { Errno } from "../sys/errno.ts";
import { badChecksum, type DiskPlace, FsError } from "../sys/fs_error.ts";
import { crc32cOfZeros } from "./checksum.ts";
import { directoryBlock, directoryBlocks, hashIsStored } from "./directory_block.ts";
import { HashVersion } from "./dirhash.ts";
import type { FileSystem } from "./filesystem.ts";
import type { Inode } from "./inode.ts";
import { claim, Kind } from "./verified.ts";

/** Levels of inner nodes below the root: two, or three with large_dir. */
const MAX_LEVELS = 2;
const MAX_LEVELS_LARGE_DIR = 3;
/** Block numbers in the index have 28 bits. */
const BLOCK_MASK = 0x0fffffff;
/** unused_flags: the tree was made by something that this code does not know. */
const INCOMPATIBLE_FLAG = 1;

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

interface IndexNode {
  readonly view: DataView<ArrayBuffer>;
  /** Byte of the countlimit and first dx_entry. */
  readonly at: number;
  readonly count: number;
  /** Levels of nodes below; the entries of level 0 lead to leaves. */
  readonly level: number;
}

/** The root of a tree: how its names are hashed, and its leaves. */
export class HashTree {
  /** HashVersion as the root has it, signed or unsigned not yet told apart. */
  readonly hashVersion: number;
  readonly #fs: FileSystem;
  readonly #dir: Inode;
  readonly #root: IndexNode;

  /** Throws IndexDamage for a root that makes no sense, EBADMSG for a wrong checksum. */
  constructor(fs: FileSystem, dir: Inode) {
    this.#fs = fs;
    this.#dir = dir;
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
    const large = fs.superblock.features.has("large_dir");
    if (levels > (large ? MAX_LEVELS_LARGE_DIR : MAX_LEVELS) - 1) {
      throw this.#damage(`${levels} levels`, block);
    }
    const infoLength = DxRootInfo.info_length.get(view, DX_ROOT_INFO_OFFSET);
    if (infoLength !== DxRootInfo.byteLength) {
      throw this.#damage(`info length ${infoLength}`, block);
    }
    const at = DX_ROOT_INFO_OFFSET + DxRootInfo.byteLength;
    this.#root = this.#node(block, at, levels, fs.blockSize - at);
  }

  /**
   * The leaves that may hold a name of this hash or a higher one, in the order of their hashes.
   * Throws IndexDamage when the tree has more leaves than the directory has blocks.
   */
  *leavesFrom(hash: number): Generator<IndexedLeaf> {
    let left = directoryBlocks(this.#fs, this.#dir);
    for (const leaf of this.#leavesBelow(this.#root, 0, hash)) {
      if (left-- <= 0) throw this.#damage("more leaves than blocks");
      yield leaf;
    }
  }

  /** @param low hash of the index entry that led to the node: its first entry has none of its own */
  *#leavesBelow(node: IndexNode, low: number, hash: number): Generator<IndexedLeaf> {
    for (let entry = lastEntryUpTo(node, hash); entry < node.count; entry++) {
      const at = node.at + entry * DxEntry.byteLength;
      const fileBlock = DxEntry.block.get(node.view, at) & BLOCK_MASK;
      const leafHash = entry === 0 ? low : DxEntry.hash.get(node.view, at);
      if (node.level === 0) yield { fileBlock, hash: leafHash };
      else yield* this.#leavesBelow(this.#innerNode(fileBlock, node.level - 1), leafHash, hash);
    }
  }

  #innerNode(fileBlock: number, level: number): IndexNode {
    const stored = hashIsStored(this.#dir) ? Ext4DirEntryHash.byteLength : 0;
    const room = this.#fs.blockSize - DX_NODE_COUNTLIMIT_OFFSET - stored;
    return this.#node(this.#block(fileBlock), DX_NODE_COUNTLIMIT_OFFSET, level, room);
  }

  #node(block: Block, at: number, level: number, room: number): IndexNode {
    const { view } = block;
    const hasTail = this.#fs.superblock.hasMetadataChecksums;
    const limit = DxCountLimit.limit.get(view, at);
    const count = DxCountLimit.count.get(view, at);
    const capacity = Math.floor((room - (hasTail ? DxTail.byteLength : 0)) / DxEntry.byteLength);
    if (limit !== capacity || count === 0 || count > limit) {
      throw this.#damage(`${count} entries of ${limit} in room for ${capacity}`, block);
    }
    const seen = claim(Kind.INDEX_NODE, this.#dir.ino, at);
    if (hasTail && block.verifiedAs !== seen) {
      this.#verify(block, at, count, limit);
      block.verifiedAs = seen;
    }
    return { view, at, count, level };
  }

  #verify(block: Block, at: number, count: number, limit: number): void {
    const tail = at + limit * DxEntry.byteLength;
    let crc = crc32c(this.#dir.checksumSeed, block.bytes, 0, at + count * DxEntry.byteLength);
    crc = crc32c(crc, block.bytes, tail, tail + DxTail.dt_reserved.size);
    crc = crc32cOfZeros(crc, DxTail.dt_checksum.size);
    if (crc !== DxTail.dt_checksum.get(block.view, tail)) {
      throw badChecksum("the directory index", { ino: this.#dir.ino, block: block.number });
    }
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

/** The last entry whose hash is at or below `hash`; the first stands for all below the second. */
function lastEntryUpTo(node: IndexNode, hash: number): number {
  let low = 1;
  let high = node.count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const stored = DxEntry.hash.get(node.view, node.at + middle * DxEntry.byteLength);
    if (stored <= hash) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
