/**
 * Nodes of extent trees (kernel documentation: filesystems/ext4/ifork.rst; structures:
 * disk/extent.ts): read with checks, and taken apart.
 *
 * What a node says about itself is checked when it is first read. That its entries stay within what
 * the index above promised is checked each time, as one node may, on a damaged file system, hang in
 * two places.
 */

import type { Block } from "../../block/block_cache.ts";
import { crc32c } from "../../disk/crc32c.ts";
import {
  EXT4_EXT_MAGIC,
  EXT4_MAX_EXTENT_DEPTH,
  Ext4Extent as Extent,
  Ext4ExtentHeader as Header,
  Ext4ExtentIdx as Index,
  Ext4ExtentTail,
  EXT_INIT_MAX_LEN,
  EXTENT_ENTRY_SIZE,
} from "../../disk/extent.ts";
import { Ext4Inode, I_BLOCK_SIZE } from "../../disk/inode.ts";
import { join32 } from "../../disk/struct.ts";
import { badChecksum, corrupt } from "../../sys/fs_error.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { MAX_FILE_BLOCKS } from "./block_map.ts";
import { claim, Kind } from "../verified.ts";

/** A node of the tree: where its header is, and the file blocks it may speak of. */
export interface ExtentNode {
  readonly view: DataView<ArrayBuffer>;
  readonly at: number;
  /** 0 for a leaf. */
  readonly depth: number;
  /** Undefined for the root, which is in the inode. */
  readonly block: Block | undefined;
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

/** The root of an inode's tree. Throws EUCLEAN. */
export function rootNode(inode: Inode): ExtentNode {
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

/** The node that an index points to. Throws EUCLEAN and EBADMSG. */
export function childNode(
  fs: FileSystem,
  inode: Inode,
  parent: ExtentNode,
  entry: number,
): ExtentNode {
  const number = childBlock(parent, entry);
  if (number <= fs.superblock.firstDataBlock || number >= fs.superblock.blocksCount) {
    throw corrupt("extent index: points outside the file system", {
      ino: inode.ino,
      block: number,
    });
  }
  const block = fs.cache.read(number);
  const node: ExtentNode = {
    view: block.view,
    at: 0,
    depth: parent.depth - 1,
    block,
    start: entry === 0 ? parent.start : keyAt(parent, entry),
    end: entry + 1 < entryCount(parent) ? keyAt(parent, entry + 1) : parent.end,
  };
  const seen = nodeClaim(inode, node.depth);
  if (block.verifiedAs !== seen) {
    checkNode(inode, node, fs.blockSize);
    // The checksum of a block that was changed since the last commit is not there yet.
    if (fs.superblock.hasMetadataChecksums && block.isSealed) verifyTail(inode, block);
    block.verifiedAs = seen;
  }
  checkRange(inode, node);
  return node;
}

/** What a block is known as that was verified, or made, as a node of this inode. */
export function nodeClaim(inode: Inode, depth: number): number {
  return claim(Kind.EXTENT_NODE + depth, inode.ino);
}

/** Entries that a node in a block has room for; the tail has place behind them. */
export function blockCapacity(blockSize: number): number {
  return Math.floor((blockSize - EXTENT_ENTRY_SIZE) / EXTENT_ENTRY_SIZE);
}

export function entryCount(node: ExtentNode): number {
  return Header.eh_entries.get(node.view, node.at);
}

export function maxEntries(node: ExtentNode): number {
  return Header.eh_max.get(node.view, node.at);
}

export function entryOffset(node: ExtentNode, entry: number): number {
  return node.at + EXTENT_ENTRY_SIZE * (1 + entry);
}

/** First file block of an entry; extents and indexes both begin with it. */
export function keyAt(node: ExtentNode, entry: number): number {
  return Extent.ee_block.get(node.view, entryOffset(node, entry));
}

/** The block that an index points to. */
export function childBlock(node: ExtentNode, entry: number): number {
  const at = entryOffset(node, entry);
  return join32(Index.ei_leaf_lo.get(node.view, at), Index.ei_leaf_hi.get(node.view, at));
}

export function extentAt(node: ExtentNode, entry: number): ExtentRun {
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
export function lastEntryUpTo(node: ExtentNode, fileBlock: number): number {
  let low = 0;
  let high = entryCount(node);
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keyAt(node, middle) <= fileBlock) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Fills in the checksum of a node in a block. */
export function sealNode(inode: Inode, block: Block): void {
  const tail = tailOffset(block);
  Ext4ExtentTail.et_checksum.set(
    block.view,
    tail,
    crc32c(inode.checksumSeed, block.bytes, 0, tail),
  );
}

function verifyTail(inode: Inode, block: Block): void {
  const tail = tailOffset(block);
  const computed = crc32c(inode.checksumSeed, block.bytes, 0, tail);
  if (computed !== Ext4ExtentTail.et_checksum.get(block.view, tail)) {
    throw badChecksum("the extent tree node", { ino: inode.ino, block: block.number });
  }
}

/** What the block says of itself may have changed, where something else lies in it as well. */
function tailOffset({ view }: Block): number {
  const most = Math.min(Header.eh_max.get(view, 0), blockCapacity(view.byteLength));
  return EXTENT_ENTRY_SIZE * (1 + most);
}

/** The header, and that entries are in order and do not overlap. */
function checkNode(inode: Inode, node: ExtentNode, size: number): void {
  const { view, at, depth } = node;
  const place = { ino: inode.ino, block: node.block?.number };
  const magic = Header.eh_magic.get(view, at);
  if (magic !== EXT4_EXT_MAGIC) {
    throw corrupt(`extent header: magic 0x${magic.toString(16).padStart(4, "0")}`, place);
  }
  if (Header.eh_depth.get(view, at) !== depth) {
    throw corrupt(`extent header: depth ${Header.eh_depth.get(view, at)}, not ${depth}`, place);
  }
  const max = maxEntries(node);
  const capacity = blockCapacity(size);
  const count = entryCount(node);
  if (max === 0 || max > capacity || count > max || (count === 0 && depth > 0)) {
    throw corrupt(`extent header: ${count} entries of ${max} in room for ${capacity}`, place);
  }
  let free = 0;
  for (let entry = 0; entry < count; entry++) {
    const key = keyAt(node, entry);
    const length = depth === 0 ? extentAt(node, entry).count : 1;
    if (key < free || length === 0 || key + length > MAX_FILE_BLOCKS) {
      throw corrupt(`extent ${entry}: ${length} file blocks from ${key} out of order`, place);
    }
    free = key + length;
  }
}

/** The entries, known to be in order, lie within the node's range. */
function checkRange(inode: Inode, node: ExtentNode): void {
  const count = entryCount(node);
  if (count === 0) return;
  const last = node.depth === 0 ? extentAt(node, count - 1) : undefined;
  const end = last === undefined ? keyAt(node, count - 1) + 1 : last.fileBlock + last.count;
  if (keyAt(node, 0) < node.start || end > node.end) {
    throw corrupt(
      `extent node: speaks of file blocks up to ${end} where ${node.start} to ${node.end} belong`,
      { ino: inode.ino, block: node.block?.number },
    );
  }
}
