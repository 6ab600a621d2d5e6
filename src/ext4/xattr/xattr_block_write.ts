/**
 * Writing attribute blocks (xattr_block.ts). A block that several files share is never changed for
 * one of them: that one gets another block, and the old one counts a user less. A block with the
 * content that is needed, if one is known, is shared instead of making a new one.
 *
 * All of it is metadata: one operation changes the block, the count of another, and the inode.
 */

import type { Block } from "../../block/block_cache.ts";
import { EXT4_XATTR_MAGIC, Ext4XattrHeader as Header } from "../../disk/xattr.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { corrupt } from "../../sys/fs_error.ts";
import { chargeBlocks, refundBlocks } from "../quota/accounting.ts";
import type { FileSystem } from "../filesystem.ts";
import { inodeGoal } from "../allocation/group_choice.ts";
import type { Inode } from "../inode/inode.ts";
import { trustXattrBlock, type XattrBlock, xattrBlockOf, xattrBlockSeal } from "./xattr_block.ts";
import { blockHash } from "./xattr_hash.ts";
import { compareXattrs, formatXattrTable, type XattrEntry, xattrTableSize } from "./xattr_table.ts";

/** Room for the table of a block, with the four bytes that end it. */
export function blockTableSize(fs: FileSystem): number {
  return fs.blockSize - Header.byteLength;
}

/** How many files use the block. Throws EUCLEAN for a count that cannot be. */
export function xattrBlockUsers({ block }: XattrBlock): number {
  const users = Header.h_refcount.get(block.view, 0);
  // Old kernels let more share a block.
  if (users === 0 || users > 2 ** 20) {
    throw corrupt(`attribute block: ${users} users`, { block: block.number });
  }
  return users;
}

/**
 * Gives the inode an attribute block with these entries, or none when there are none. The caller
 * sees to values in other inodes. Throws ENOSPC and EDQUOT, and EUCLEAN when the entries do not fit:
 * they lay over each other then.
 */
export function storeBlockEntries(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  entries: readonly XattrEntry[],
): void {
  const old = xattrBlockOf(fs, inode);
  if (entries.length === 0) {
    if (old !== undefined) releaseXattrBlock(fs, handle, inode, old);
    return;
  }
  if (!fitsIntoBlock(fs, entries)) {
    const place = { ino: inode.ino, block: inode.fileAcl };
    throw corrupt("attributes: values lie over each other", place);
  }
  const sorted = [...entries].sort(compareXattrs);
  const hash = blockHash(sorted);
  const twin = fs.writing.xattrBlocks.find(hash, sorted);
  if (twin !== undefined && twin.block === old?.block) return;
  if (twin === undefined && old !== undefined && xattrBlockUsers(old) === 1) {
    handle.modify(old.block, xattrBlockSeal(fs));
    fill(fs, handle, old.block, sorted, hash);
    return;
  }
  const number = twin === undefined
    ? makeBlock(fs, handle, inode, sorted, hash)
    : share(fs, handle, inode, twin);
  if (old !== undefined) releaseXattrBlock(fs, handle, inode, old);
  fs.modifyInode(handle, inode);
  inode.fileAcl = number;
}

/** The inode does without its attribute block, which is freed when nobody else uses it. */
function releaseXattrBlock(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  { block, entries }: XattrBlock,
): void {
  fs.modifyInode(handle, inode);
  inode.fileAcl = 0;
  const users = xattrBlockUsers({ block, entries });
  if (users === 1) {
    fs.writing.xattrBlocks.forget(block.number);
    fs.writing.blocks.free(handle, inode, block.number, 1);
    handle.forget(block.number);
    return;
  }
  handle.modify(block, xattrBlockSeal(fs));
  Header.h_refcount.set(block.view, 0, users - 1);
  refundBlocks(fs, handle, inode, fs.superblock.clusterRatio);
}

/** Returns the number of a new block. */
function makeBlock(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  entries: readonly XattrEntry[],
  hash: number,
): number {
  const goal = inodeGoal(fs, inode);
  const run = fs.writing.blocks.allocate(handle, { inode, goal, count: 1, purpose: "metadata" });
  const block = handle.create(run.block, xattrBlockSeal(fs));
  fill(fs, handle, block, entries, hash);
  return run.block;
}

/** Everybody pays for a shared block. */
function share(fs: FileSystem, handle: Handle, inode: Inode, twin: XattrBlock): number {
  const { block } = twin;
  chargeBlocks(fs, handle, inode, fs.superblock.clusterRatio);
  handle.modify(block, xattrBlockSeal(fs));
  Header.h_refcount.set(block.view, 0, xattrBlockUsers(twin) + 1);
  return block.number;
}

/** Overwrites the block, which the handle knows of, and has one user. */
function fill(
  fs: FileSystem,
  handle: Handle,
  block: Block,
  entries: readonly XattrEntry[],
  hash: number,
): void {
  // The entries may lie in what is being overwritten.
  const table = formatXattrTable(entries, blockTableSize(fs), Header.byteLength);
  const { bytes, view } = block;
  bytes.fill(0, 0, Header.byteLength);
  Header.h_magic.set(view, 0, EXT4_XATTR_MAGIC);
  Header.h_refcount.set(view, 0, 1);
  Header.h_blocks.set(view, 0, 1);
  Header.h_hash.set(view, 0, hash);
  bytes.set(table, Header.byteLength);
  trustXattrBlock(block);
  fs.writing.xattrBlocks.replace(handle, block.number, hash, entries);
}

/** True for entries that fit into a block. */
export function fitsIntoBlock(fs: FileSystem, entries: readonly XattrEntry[]): boolean {
  return xattrTableSize(entries) <= blockTableSize(fs);
}
