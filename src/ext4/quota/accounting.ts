/**
 * What a file takes up: i_blocks in its inode, and the quotas of those whom it belongs to.
 *
 * Some inodes are nobody's: the file system's own (but for the root directory), the quota files,
 * and value inodes of attributes (ea_inode), which the files that refer to them pay for.
 */

import { EXT4_EA_INODE_FL, EXT4_ROOT_INO } from "../../disk/inode.ts";
import type { Handle } from "../../jbd2/handle.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import type { ChargeOptions, QuotaIds, Quotas, QuotaUse } from "./quotas.ts";
import { allEntries } from "../xattr/xattr.ts";

const ONE_INODE: QuotaUse = { space: 0, inodes: 1 };

/**
 * To be called before blocks are looked for that are to be charged to the inode: a new owner's
 * entry in a quota file may need a block itself.
 */
export function prepareCharge(fs: FileSystem, handle: Handle, inode: Inode): void {
  const quotas = quotasFor(fs, inode);
  quotas?.prepare(handle, idsOf(inode));
}

/**
 * The inode has so many blocks more, metadata included. Throws EDQUOT, and has changed nothing then.
 * @param mustNotFail limits do not count, as for an operation that gives back space in the end
 */
export function chargeBlocks(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  blocks: number,
  mustNotFail = false,
): void {
  const use = { space: blocks * fs.blockSize, inodes: 0 };
  quotasFor(fs, inode)?.charge(handle, idsOf(inode), use, chargeOptions(fs, mustNotFail));
  addBlocks(fs, handle, inode, blocks);
}

export function refundBlocks(fs: FileSystem, handle: Handle, inode: Inode, blocks: number): void {
  addBlocks(fs, handle, inode, -blocks);
  quotasFor(fs, inode)?.refund(handle, idsOf(inode), { space: blocks * fs.blockSize, inodes: 0 });
}

/** Throws EDQUOT. */
export function chargeInode(fs: FileSystem, handle: Handle, inode: Inode): void {
  quotasFor(fs, inode)?.charge(handle, idsOf(inode), ONE_INODE, chargeOptions(fs, false));
}

export function refundInode(fs: FileSystem, handle: Handle, inode: Inode): void {
  quotasFor(fs, inode)?.refund(handle, idsOf(inode), ONE_INODE);
}

export interface Owners {
  readonly uid: number;
  readonly gid: number;
  readonly projectId: number;
}

/** Gives the inode, and what it has charged so far, to others. Throws EDQUOT. */
export function changeOwners(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  owners: Owners,
): void {
  const before: QuotaIds = {
    user: owners.uid === inode.uid ? undefined : inode.uid,
    group: owners.gid === inode.gid ? undefined : inode.gid,
    project: owners.projectId === inode.projectId ? undefined : inode.projectId,
  };
  const after: QuotaIds = {
    user: before.user === undefined ? undefined : owners.uid,
    group: before.group === undefined ? undefined : owners.gid,
    project: before.project === undefined ? undefined : owners.projectId,
  };
  const quotas = quotasFor(fs, inode);
  if (quotas !== undefined) {
    const use = wholeUse(fs, inode);
    quotas.charge(handle, after, use, chargeOptions(fs, false));
    quotas.refund(handle, before, use);
  }
  fs.modifyInode(handle, inode);
  inode.uid = owners.uid;
  inode.gid = owners.gid;
  if (before.project !== undefined) inode.projectId = owners.projectId;
}

/** Undefined where nothing is counted. */
function quotasFor(fs: FileSystem, inode: Inode): Quotas | undefined {
  const { quotas } = fs.writing.parts;
  if (quotas === undefined) return undefined;
  const { ino } = inode;
  if (ino < fs.superblock.firstInode && ino !== EXT4_ROOT_INO) return undefined;
  if (quotas.isQuotaFile(ino) || inode.hasFlag(EXT4_EA_INODE_FL)) return undefined;
  return quotas;
}

function idsOf(inode: Inode): QuotaIds {
  return { user: inode.uid, group: inode.gid, project: inode.projectId };
}

/** Limits do not hold for root, nor for what fuse4fs does by itself. */
function chargeOptions(fs: FileSystem, mustNotFail: boolean): ChargeOptions {
  const { blocks } = fs.writing;
  const isRoot = blocks.user === undefined || blocks.user.uid === 0;
  return { now: fs.writing.now().sec, isExempt: mustNotFail || isRoot };
}

function addBlocks(fs: FileSystem, handle: Handle, inode: Inode, blocks: number): void {
  fs.modifyInode(handle, inode);
  const sectors = inode.blocks512(fs.blockSize) + blocks * (fs.blockSize / 512);
  // What it said was wrong before: it never falls below nothing.
  inode.setBlocks512(Math.max(0, sectors), fs.blockSize);
}

/** All that is charged for an inode: with it, each large value of an attribute counts as one. */
export function wholeUse(fs: FileSystem, inode: Inode): QuotaUse {
  let inodes = 1;
  for (const entry of allEntries(fs, inode)) {
    if (entry.valueIno !== 0) inodes++;
  }
  return { space: inode.blocks512(fs.blockSize) * 512, inodes };
}
