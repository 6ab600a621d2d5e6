/**
 * Block maps of ext2 and ext3 (kernel documentation: filesystems/ext4/ifork.rst):
 *
 *     i_block[0..11] -> data
 *     i_block[12]    -> block of pointers -> data
 *     i_block[13]    -> pointers -> pointers -> data
 *     i_block[14]    -> pointers -> pointers -> pointers -> data
 *
 * A pointer of zero is a hole as large as everything that would be below it.
 */

import {
  EXT4_DIND_BLOCK,
  EXT4_IND_BLOCK,
  EXT4_NDIR_BLOCKS,
  EXT4_TIND_BLOCK,
  Ext4Inode,
} from "../../disk/inode.ts";
import { corrupt } from "../../sys/fs_error.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { claim, Kind } from "../verified.ts";
import type { Mapping } from "./block_map.ts";

export const POINTER_SIZE = 4;

/** The way to a file block: a slot of i_block, then an index at each level of pointers. */
export interface Path {
  readonly slot: number;
  readonly indexes: readonly number[];
}

/** {@linkcode mapBlocks} for an inode without extents. */
export function mapIndirect(
  fs: FileSystem,
  inode: Inode,
  fileBlock: number,
  count: number,
): Mapping {
  const perBlock = fs.blockSize / POINTER_SIZE;
  const { slot, indexes } = findPath(inode, fileBlock, perBlock);
  if (indexes.length === 0) {
    return runOf(inode.view, Ext4Inode.i_block.offset, slot, EXT4_NDIR_BLOCKS, fileBlock, count);
  }
  let { view } = inode;
  let at = Ext4Inode.i_block.offset + slot * POINTER_SIZE;
  for (const [level, index] of indexes.entries()) {
    const pointer = view.getUint32(at, true);
    if (pointer === 0) {
      return hole(fileBlock, Math.min(count, blocksLeft(indexes.slice(level), perBlock)));
    }
    view = pointerBlock(fs, inode, pointer).view;
    at = index * POINTER_SIZE;
  }
  return runOf(view, 0, at / POINTER_SIZE, perBlock, fileBlock, count);
}

function hole(fileBlock: number, count: number): Mapping {
  return { kind: "hole", fileBlock, physicalBlock: 0, count };
}

export function findPath(inode: Inode, fileBlock: number, perBlock: number): Path {
  if (fileBlock < EXT4_NDIR_BLOCKS) return { slot: fileBlock, indexes: [] };
  let rest = fileBlock - EXT4_NDIR_BLOCKS;
  for (const [levels, slot] of [[1, EXT4_IND_BLOCK], [2, EXT4_DIND_BLOCK], [3, EXT4_TIND_BLOCK]]) {
    const covered = perBlock ** levels;
    if (rest < covered) return { slot, indexes: digits(rest, perBlock, levels) };
    rest -= covered;
  }
  throw corrupt(`block map: file block ${fileBlock} is out of range`, { ino: inode.ino });
}

/** The `levels` digits of a number in base `perBlock`, highest first. */
function digits(value: number, perBlock: number, levels: number): number[] {
  const result: number[] = [];
  for (let level = levels - 1; level >= 0; level--) {
    result.push(Math.floor(value / perBlock ** level) % perBlock);
  }
  return result;
}

/** How many file blocks there are from these indexes on to the end of what is below the pointer. */
function blocksLeft(indexes: readonly number[], perBlock: number): number {
  const passed = indexes.reduce((sum, index) => sum * perBlock + index, 0);
  return perBlock ** indexes.length - passed;
}

/** The block of pointers that a pointer leads to, known as that from now on. Throws EUCLEAN. */
export function pointerBlock(fs: FileSystem, inode: Inode, number: number) {
  if (number <= fs.superblock.firstDataBlock || number >= fs.superblock.blocksCount) {
    throw corrupt("indirect block: outside the file system", { ino: inode.ino, block: number });
  }
  const block = fs.cache.read(number);
  block.verifiedAs = claim(Kind.POINTERS, inode.ino);
  return block;
}

/** The run of consecutive block numbers, or of zeros, from `index` on in a table of `length`. */
function runOf(
  view: DataView,
  tableOffset: number,
  index: number,
  length: number,
  fileBlock: number,
  count: number,
): Mapping {
  const pointerAt = (place: number) => view.getUint32(tableOffset + place * POINTER_SIZE, true);
  const first = pointerAt(index);
  const most = Math.min(count, length - index);
  let run = 1;
  while (run < most && pointerAt(index + run) === (first === 0 ? 0 : first + run)) run++;
  return { kind: first === 0 ? "hole" : "mapped", fileBlock, physicalBlock: first, count: run };
}
