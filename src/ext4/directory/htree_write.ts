/**
 * The hash tree of a directory grows: a full leaf is divided between two by the hashes of its
 * names, which takes an entry in the node above; a full node is divided the same way, and where all
 * are full up to the root, a level is put in between.
 *
 *     root: 0 -> A                     root: 0 -> A, 500 -> B
 *     A: names of hashes 0..999   ->   A: 0..499     B: 500..999
 *
 * All of it is part of one operation, so there is no order of writes to keep.
 */

import type { Block } from "../../block/block_cache.ts";
import {
  DX_NODE_COUNTLIMIT_OFFSET,
  DX_ROOT_INFO_OFFSET,
  DxCountLimit,
  DxEntry,
  DxRootInfo,
  DxTail,
} from "../../disk/directory.ts";
import { EXT4_INDEX_FL } from "../../disk/inode.ts";
import type { Handle, Seal } from "../../jbd2/handle.ts";
import { corrupt, fail } from "../../sys/fs_error.ts";
import {
  directoryBlock,
  type EntryChain,
  entryLength,
  entryName,
  isDotName,
  leafChain,
} from "./directory_block.ts";
import { appendBlock } from "./directory_growth.ts";
import { type EntryRoom, extendLastEntry, initLeaf, leafSeal, setLength } from "./entry_write.ts";
import type { FileSystem } from "../filesystem.ts";
import {
  HashTree,
  indexCapacity,
  indexChecksum,
  indexClaim,
  type IndexNode,
  type IndexPath,
  type IndexStep,
  indexTail,
  leafOf,
  maxIndexLevels,
  ROOT_INDEX_OFFSET,
} from "./htree.ts";
import type { Inode } from "../inode/inode.ts";
import { entriesByHash, hashOf, pack, splitPoint } from "./leaf_split.ts";
import { defaultHashVersion } from "./name_hash.ts";
import type { NameQuery } from "./name_query.ts";

/** `.` and `..` at the start of a directory take so many bytes each. */
const DOT_LENGTH = 12;
/** Each round makes room in a node of one level. */
const MAX_ROUNDS = 8;

/**
 * Makes an index for a directory of one full block: its names move to a second one. Throws ENOSPC,
 * EDQUOT, and EUCLEAN where the block does not begin with `.` and `..`.
 */
export function makeIndex(fs: FileSystem, handle: Handle, dir: Inode): void {
  const root = directoryBlock(fs, dir, 0);
  if (root === undefined) throw corrupt("directory: hole at its start", { ino: dir.ino });
  const { bytes, view } = root;
  const chain = leafChain(fs, dir, root);
  const start = endOfDots(fs, dir, chain);

  const { block, fileBlock } = appendBlock(fs, handle, dir, leafSeal(fs, dir));
  const leaf = initLeaf(fs, dir, block);
  leaf.bytes.set(bytes.subarray(start, chain.end));
  extendLastEntry(fs, leaf.view, 0, chain.end - start, leaf.end);

  handle.modify(root, indexSeal(fs, dir, ROOT_INDEX_OFFSET));
  root.verifiedAs = indexClaim(dir, ROOT_INDEX_OFFSET);
  bytes.fill(0, 2 * DOT_LENGTH);
  setLength(view, DOT_LENGTH, fs.blockSize - DOT_LENGTH);
  DxRootInfo.hash_version.set(view, DX_ROOT_INFO_OFFSET, defaultHashVersion(fs));
  DxRootInfo.info_length.set(view, DX_ROOT_INFO_OFFSET, DxRootInfo.byteLength);
  initIndex(view, ROOT_INDEX_OFFSET, indexCapacity(fs, dir, ROOT_INDEX_OFFSET), 1);
  DxEntry.block.set(view, ROOT_INDEX_OFFSET, fileBlock);
  fs.modifyInode(handle, dir);
  dir.setFlag(EXT4_INDEX_FL, true);
}

/**
 * Divides the full leaf that a name belongs to, and gives the room for the name. Throws ENOSPC,
 * also for a tree that cannot grow any more, EDQUOT, EUCLEAN and EBADMSG.
 */
export function divideLeaf(
  fs: FileSystem,
  handle: Handle,
  dir: Inode,
  query: NameQuery,
): EntryRoom {
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const tree = new HashTree(fs, dir);
    const hash = query.hash(tree.hashVersion);
    const path = tree.descend(hash);
    if (hasRoom(path[path.length - 1].node)) {
      return splitLeaf(fs, handle, dir, tree.hashVersion, path, hash);
    }
    makeIndexRoom(fs, handle, dir, path);
  }
  throw corrupt("directory index: it does not get room", { ino: dir.ino });
}

/** Fills in the checksum of a node whose index begins at byte `at`. */
export function indexSeal(fs: FileSystem, dir: Inode, at: number): Seal | undefined {
  if (!fs.superblock.hasMetadataChecksums) return undefined;
  const { checksumSeed } = dir;
  return (block) => {
    const checksum = indexChecksum(checksumSeed, block, at);
    DxTail.dt_checksum.set(block.view, indexTail(block.view, at), checksum);
  };
}

/** Where the entries behind `.` and `..` begin. */
function endOfDots(fs: FileSystem, dir: Inode, chain: EntryChain): number {
  const isDots = (at: number, length: number) => {
    const name = entryName(chain, at);
    return name.length === length && isDotName(name);
  };
  if (entryLength(fs, dir, chain, 0) === DOT_LENGTH && isDots(0, 1)) {
    const end = DOT_LENGTH + entryLength(fs, dir, chain, DOT_LENGTH);
    if (isDots(DOT_LENGTH, 2) && end < chain.end) return end;
  }
  throw corrupt("directory: it does not begin with . and ..", {
    ino: dir.ino,
    block: chain.block,
  });
}

// ---------------------------------------------------------------- nodes

function hasRoom({ count, limit }: IndexNode): boolean {
  return count < limit;
}

/** One step towards room in the lowest node: the highest of the full ones above it is divided. */
function makeIndexRoom(fs: FileSystem, handle: Handle, dir: Inode, path: IndexPath): void {
  let level = path.length - 1;
  while (level > 0 && !hasRoom(path[level - 1].node)) level--;
  if (level === 0) addLevel(fs, handle, dir, path);
  else splitNode(fs, handle, dir, path[level].node, path[level - 1]);
}

/** All that the root leads to is put below a new node. */
function addLevel(fs: FileSystem, handle: Handle, dir: Inode, path: IndexPath): void {
  if (path.length >= maxIndexLevels(fs)) {
    throw fail("ENOSPC", "The index of the directory is full", { ino: dir.ino });
  }
  const { block: root, at, count } = path[0].node;
  const { block, fileBlock } = appendNode(fs, handle, dir, count);
  moveEntries(root, at, block, 0, count);
  handle.modify(root, indexSeal(fs, dir, at));
  const levels = DxRootInfo.indirect_levels.get(root.view, DX_ROOT_INFO_OFFSET);
  DxRootInfo.indirect_levels.set(root.view, DX_ROOT_INFO_OFFSET, levels + 1);
  DxCountLimit.count.set(root.view, at, 1);
  DxEntry.block.set(root.view, at, fileBlock);
}

/** The upper half of a node moves to a new one. */
function splitNode(
  fs: FileSystem,
  handle: Handle,
  dir: Inode,
  node: IndexNode,
  above: IndexStep,
): void {
  const kept = Math.floor(node.count / 2);
  const moved = node.count - kept;
  const hash = DxEntry.hash.get(node.block.view, node.at + kept * DxEntry.byteLength);
  const { block, fileBlock } = appendNode(fs, handle, dir, moved);
  moveEntries(node.block, node.at, block, kept, moved);
  handle.modify(node.block, indexSeal(fs, dir, node.at));
  DxCountLimit.count.set(node.block.view, node.at, kept);
  insertIndexEntry(fs, handle, dir, above, hash, fileBlock);
}

function appendNode(fs: FileSystem, handle: Handle, dir: Inode, count: number) {
  const at = DX_NODE_COUNTLIMIT_OFFSET;
  const appended = appendBlock(fs, handle, dir, indexSeal(fs, dir, at));
  const { view } = appended.block;
  setLength(view, 0, fs.blockSize);
  initIndex(view, at, indexCapacity(fs, dir, at), count);
  appended.block.verifiedAs = indexClaim(dir, at);
  return appended;
}

function initIndex(view: DataView, at: number, limit: number, count: number): void {
  DxCountLimit.limit.set(view, at, limit);
  DxCountLimit.count.set(view, at, count);
}

/** Copies entries to the start of a new node; the first one loses its hash, which nobody needs. */
function moveEntries(from: Block, at: number, to: Block, first: number, count: number): void {
  const start = at + first * DxEntry.byteLength;
  const target = DX_NODE_COUNTLIMIT_OFFSET;
  to.bytes.set(
    from.bytes.subarray(start + DxEntry.block.offset, start + count * DxEntry.byteLength),
    target + DxEntry.block.offset,
  );
}

/** Puts an entry behind the one that was taken on the way. The node must have room. */
function insertIndexEntry(
  fs: FileSystem,
  handle: Handle,
  dir: Inode,
  { node, entry }: IndexStep,
  hash: number,
  fileBlock: number,
): void {
  const { block, at, count } = node;
  handle.modify(block, indexSeal(fs, dir, at));
  const place = at + (entry + 1) * DxEntry.byteLength;
  const end = at + count * DxEntry.byteLength;
  block.bytes.copyWithin(place + DxEntry.byteLength, place, end);
  DxEntry.hash.set(block.view, place, hash);
  DxEntry.block.set(block.view, place, fileBlock);
  DxCountLimit.count.set(block.view, at, count + 1);
}

// ---------------------------------------------------------------- leaves

function splitLeaf(
  fs: FileSystem,
  handle: Handle,
  dir: Inode,
  version: number,
  path: IndexPath,
  hash: number,
): EntryRoom {
  const lower = directoryBlock(fs, dir, leafOf(path));
  if (lower === undefined) throw corrupt("directory index: no leaf", { ino: dir.ino });
  const order = entriesByHash(fs, dir, leafChain(fs, dir, lower), version);
  const split = splitPoint(fs, lower, order);
  if (split < 1) {
    throw corrupt("directory: a full block of too few names", {
      ino: dir.ino,
      block: lower.number,
    });
  }
  const splitHash = hashOf(order[split]);
  const isContinued = splitHash === hashOf(order[split - 1]);

  const { block: upper, fileBlock } = appendBlock(fs, handle, dir, leafSeal(fs, dir));
  handle.modify(lower, leafSeal(fs, dir));
  const source = lower.bytes.slice();
  const lowerRoom = pack(fs, dir, lower, source, order.subarray(0, split));
  const upperRoom = pack(fs, dir, upper, source, order.subarray(split));
  const step = path[path.length - 1];
  insertIndexEntry(fs, handle, dir, step, splitHash + (isContinued ? 1 : 0), fileBlock);
  return hash >= splitHash ? upperRoom : lowerRoom;
}
