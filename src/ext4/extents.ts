/**
 * Extent trees (kernel documentation: filesystems/ext4/ifork.rst; structures: disk/extent.ts).
 *
 *     i_block:  header depth 1 | index 0 -> block 700 | index 5000 -> block 701 |
 *     block 700:  header depth 0 | extent 0..99 at 2000 | extent 300..310 at 2500 | ... | tail
 *
 * A node is checked when it is first read: after that, its entries are known to be in order, not
 * to overlap, and to stay inside what the index above promised.
 */

import type { Block } from "../block/block_cache.ts";
import { crc32c } from "../disk/crc32c.ts";
import {
  EXT4_EXT_MAGIC,
  EXT4_MAX_EXTENT_DEPTH,
  Ext4Extent as Extent,
  Ext4ExtentHeader as Header,
  Ext4ExtentIdx as Index,
  Ext4ExtentTail,
  EXT_INIT_MAX_LEN,
  EXTENT_ENTRY_SIZE,
} from "../disk/extent.ts";
import { Ext4Inode, I_BLOCK_SIZE } from "../disk/inode.ts";
import { join32 } from "../disk/struct.ts";
import { badChecksum, corrupt } from "../sys/fs_error.ts";
import type { FileSystem } from "./filesystem.ts";
import type { Inode } from "./inode.ts";
import { type Mapping, MAX_FILE_BLOCKS } from "./map.ts";
import { claim, Kind } from "./verified.ts";

/** A node of the tree: where its header is, and the file blocks it may speak of. */
interface Node {
  readonly view: DataView<ArrayBuffer>;
  readonly at: number;
  readonly depth: number;
  /** Undefined for the root, which is in the inode. */
  readonly block: number | undefined;
  /** First file block of the node's range and first one behind it. */
  readonly start: number;
  readonly end: number;
}

/** An extent, decoded. */
export interface ExtentRun {
  readonly fileBlock: number;
  readonly count: number;
  readonly physicalBlock: number;
  readonly unwritten: boolean;
}

/** {@linkcode mapBlocks} for an inode with an extent tree. */
export function mapExtents(
  fs: FileSystem,
  inode: Inode,
  fileBlock: number,
  count: number,
): Mapping {
  let node = rootNode(inode);
  while (node.depth > 0) {
    const entry = lastEntryUpTo(node, fileBlock);
    if (entry < 0) return hole(fileBlock, Math.min(count, firstKey(node) - fileBlock));
    node = childNode(fs, inode, node, entry);
  }
  const entry = lastEntryUpTo(node, fileBlock);
  if (entry >= 0) {
    const run = extentAt(node, entry);
    const into = fileBlock - run.fileBlock;
    if (into < run.count) {
      return {
        kind: run.unwritten ? "unwritten" : "mapped",
        fileBlock,
        physicalBlock: run.physicalBlock + into,
        count: Math.min(count, run.count - into),
      };
    }
  }
  const next = entry + 1 < entryCount(node) ? keyAt(node, entry + 1) : node.end;
  return hole(fileBlock, Math.min(count, next - fileBlock));
}

/** All extents of the file in order. Each node of the tree is visited once. */
export function* extentRuns(fs: FileSystem, inode: Inode): Generator<ExtentRun> {
  yield* runsBelow(fs, inode, rootNode(inode));
}

function* runsBelow(fs: FileSystem, inode: Inode, node: Node): Generator<ExtentRun> {
  for (let entry = 0; entry < entryCount(node); entry++) {
    if (node.depth === 0) yield extentAt(node, entry);
    else yield* runsBelow(fs, inode, childNode(fs, inode, node, entry));
  }
}

function hole(fileBlock: number, count: number): Mapping {
  return { kind: "hole", fileBlock, physicalBlock: 0, count };
}

function rootNode(inode: Inode): Node {
  const { view } = inode;
  const at = Ext4Inode.i_block.offset;
  const depth = Header.eh_depth.get(view, at);
  const node = { view, at, depth, block: undefined, start: 0, end: MAX_FILE_BLOCKS };
  if (depth > EXT4_MAX_EXTENT_DEPTH) {
    throw corrupt(`extent tree: depth ${depth}`, { ino: inode.ino });
  }
  checkNode(inode, node, I_BLOCK_SIZE);
  return node;
}

function childNode(fs: FileSystem, inode: Inode, parent: Node, entry: number): Node {
  const number = childBlock(parent, entry);
  if (number <= fs.superblock.firstDataBlock || number >= fs.superblock.blocksCount) {
    throw corrupt("extent index: points outside the file system", {
      ino: inode.ino,
      block: number,
    });
  }
  const block = fs.cache.read(number);
  const node: Node = {
    view: block.view,
    at: 0,
    depth: parent.depth - 1,
    block: number,
    start: keyAt(parent, entry),
    end: entry + 1 < entryCount(parent) ? keyAt(parent, entry + 1) : parent.end,
  };
  const seen = claim(Kind.EXTENT_NODE + node.depth, inode.ino, node.start);
  if (block.verifiedAs !== seen) {
    checkNode(inode, node, fs.blockSize);
    if (fs.superblock.hasMetadataChecksums) verifyTail(inode, block);
    block.verifiedAs = seen;
  }
  return node;
}

function checkNode(inode: Inode, node: Node, size: number): void {
  const { view, at, depth } = node;
  const place = { ino: inode.ino, block: node.block };
  const magic = Header.eh_magic.get(view, at);
  if (magic !== EXT4_EXT_MAGIC) {
    throw corrupt(`extent header: magic 0x${magic.toString(16).padStart(4, "0")}`, place);
  }
  if (Header.eh_depth.get(view, at) !== depth) {
    throw corrupt(`extent header: depth ${Header.eh_depth.get(view, at)}, not ${depth}`, place);
  }
  const max = Header.eh_max.get(view, at);
  const capacity = Math.floor((size - EXTENT_ENTRY_SIZE) / EXTENT_ENTRY_SIZE);
  const count = entryCount(node);
  if (max === 0 || max > capacity || count > max || (count === 0 && depth > 0)) {
    throw corrupt(`extent header: ${count} entries of ${max} in room for ${capacity}`, place);
  }
  let free = node.start;
  for (let entry = 0; entry < count; entry++) {
    const key = keyAt(node, entry);
    const length = depth === 0 ? extentAt(node, entry).count : 1;
    // An index may begin before the first extent below it, but entries never go back.
    if (key < free || length === 0 || key + length > node.end) {
      throw corrupt(`extent ${entry}: ${length} file blocks from ${key} out of order`, place);
    }
    free = key + length;
  }
}

function verifyTail(inode: Inode, block: Block): void {
  const max = Header.eh_max.get(block.view, 0);
  const tail = EXTENT_ENTRY_SIZE * (1 + max);
  const computed = crc32c(inode.checksumSeed, block.bytes, 0, tail);
  if (computed !== Ext4ExtentTail.et_checksum.get(block.view, tail)) {
    throw badChecksum("the extent tree node", { ino: inode.ino, block: block.number });
  }
}

function entryCount(node: Node): number {
  return Header.eh_entries.get(node.view, node.at);
}

function entryOffset(node: Node, entry: number): number {
  return node.at + EXTENT_ENTRY_SIZE * (1 + entry);
}

/** First file block of an entry; extents and indexes both begin with it. */
function keyAt(node: Node, entry: number): number {
  return Extent.ee_block.get(node.view, entryOffset(node, entry));
}

function firstKey(node: Node): number {
  return keyAt(node, 0);
}

function childBlock(node: Node, entry: number): number {
  const at = entryOffset(node, entry);
  return join32(Index.ei_leaf_lo.get(node.view, at), Index.ei_leaf_hi.get(node.view, at));
}

function extentAt(node: Node, entry: number): ExtentRun {
  const at = entryOffset(node, entry);
  const length = Extent.ee_len.get(node.view, at);
  const unwritten = length > EXT_INIT_MAX_LEN;
  return {
    fileBlock: Extent.ee_block.get(node.view, at),
    count: unwritten ? length - EXT_INIT_MAX_LEN : length,
    physicalBlock: join32(
      Extent.ee_start_lo.get(node.view, at),
      Extent.ee_start_hi.get(node.view, at),
    ),
    unwritten,
  };
}

/** The last entry that begins at or before `fileBlock`, or -1. */
function lastEntryUpTo(node: Node, fileBlock: number): number {
  let low = 0;
  let high = entryCount(node);
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keyAt(node, middle) <= fileBlock) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
