/**
 * Inodes as fast commits have them: the record up to its last field, or all of it where data lies
 * in it. A record comes in front of the first name of a new inode, and behind what it is in the end.
 *
 * Not taken from a record: the extents, which may be newer than the blocks that they lead to and
 * come as ranges; and i_dtime, which links orphans that are not on the disk's list.
 */

import { EXT4_EXTENTS_FL, EXT4_ROOT_INO, Ext4Inode } from "../../disk/inode.ts";
import type { FastCommitOperation } from "../../jbd2/fast_commit.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { corrupt, fail } from "../../sys/fs_error.ts";
import { isSet, wordsOf } from "../allocation/bits.ts";
import { makeExtentRoot } from "../inode/create_inode.ts";
import { evict } from "../inode/evict.ts";
import type { ReplayedSpace } from "./fast_commit_replay_space.ts";
import type { FileSystem } from "../filesystem.ts";
import { groupOfInode } from "../allocation/group_choice.ts";
import { Inode } from "../inode/inode.ts";
import { requireSoundRecord } from "../inode/inode_table.ts";

type InodeRecord = Extract<FastCommitOperation, { kind: "inode" }>;

const BLOCK = Ext4Inode.i_block;
const BEHIND_BLOCK = BLOCK.offset + BLOCK.size;

/** A record as an inode that no table knows. Throws EUCLEAN for one that no inode can have. */
export function decodeRecord({ superblock }: FileSystem, { ino, record }: InodeRecord): Inode {
  const { inodesCount, firstInode, inodeSize, features } = superblock;
  if (!(ino <= inodesCount && (ino >= firstInode || ino === EXT4_ROOT_INO))) {
    throw corrupt("fast commit: not the number of a file", { ino });
  }
  if (record.length > inodeSize) {
    throw corrupt(`fast commit: an inode of ${record.length} bytes`, { ino });
  }
  const bytes = new Uint8Array(inodeSize);
  bytes.set(record);
  const inode = new Inode(ino, bytes, 0, features);
  requireSoundRecord(superblock, inode);
  return inode;
}

/** The inode of a number, if a file has it; also one that lost its last name in the replay. */
export function inodeInUse(fs: FileSystem, ino: number): Inode | undefined {
  const { firstInode, inodesCount, inodesPerGroup } = fs.superblock;
  if (!((ino >= firstInode || ino === EXT4_ROOT_INO) && ino <= inodesCount)) {
    throw corrupt("fast commit: not the number of a file", { ino });
  }
  const bitmap = fs.writing.blocks.bitmaps.ofInodes(groupOfInode(fs, ino));
  if (!isSet(wordsOf(bitmap.bytes), (ino - 1) % inodesPerGroup)) return undefined;
  // Deleted, but not freed yet when the last full commit was made.
  if (fs.rawInode(ino).linksCount === 0) fs.unlinkedInodes.add(ino);
  return fs.ownInode(ino, "fast commit");
}

/** The inode is as the record says. */
export function replayInode(fs: FileSystem, space: ReplayedSpace, operation: InodeRecord): void {
  const wanted = decodeRecord(fs, operation);
  const length = operation.record.length;
  const inode = inodeInUse(fs, wanted.ino);
  if (inode !== undefined) space.touch(inode);
  if (inode === undefined || inode.generation !== wanted.generation) {
    makeAnew(fs, space, wanted, inode);
  } else change(fs, inode, wanted, length);
}

/** The number had no file, or another one, before. */
function makeAnew(
  fs: FileSystem,
  space: ReplayedSpace,
  wanted: Inode,
  old: Inode | undefined,
): void {
  const { ino } = wanted;
  if (old !== undefined) {
    if (!fs.unlinkedInodes.has(ino)) {
      throw corrupt("fast commit: an inode in the place of another that was not deleted", { ino });
    }
    space.settleInode(old);
    evict(fs, old);
  }
  space.touchNew(ino);
  fs.change((handle) => {
    fs.writing.inodes.takeNumber(handle, ino, wanted.isDirectory);
    const inode = fs.createInode(handle, ino, wanted.generation);
    inode.bytes.set(wanted.bytes);
    inode.dtime = 0;
    if (inode.usesExtents) makeEmptyTree(inode);
    inode.recordChanged();
    noteLinks(fs, handle, inode);
  });
}

/** @param length how much of `wanted` the record tells of */
function change(fs: FileSystem, inode: Inode, wanted: Inode, length: number): void {
  if (inode.fileType !== wanted.fileType) {
    throw corrupt("fast commit: an inode that changed its type", { ino: inode.ino });
  }
  if (!wanted.usesExtents && inode.isRegular && !wanted.hasInlineData) {
    throw fail("EOPNOTSUPP", "fast commits of files without extents are not replayed", {
      ino: inode.ino,
    });
  }
  fs.change((handle) => {
    fs.modifyInode(handle, inode);
    const hadExtents = inode.usesExtents;
    const { dtime, size, linksCount } = inode;
    inode.bytes.set(wanted.bytes.subarray(0, BLOCK.offset));
    inode.bytes.set(wanted.bytes.subarray(BEHIND_BLOCK, length), BEHIND_BLOCK);
    inode.dtime = dtime;
    if (inode.isDirectory) {
      // These follow from its names.
      inode.size = size;
      inode.linksCount = linksCount;
    }
    if (!wanted.usesExtents) inode.iBlock.set(wanted.iBlock);
    else if (!hadExtents) makeEmptyTree(inode);
    inode.recordChanged();
    noteLinks(fs, handle, inode);
  });
}

function makeEmptyTree(inode: Inode): void {
  inode.iBlock.fill(0);
  inode.setFlag(EXT4_EXTENTS_FL, true);
  makeExtentRoot(inode);
}

/** An inode without links is one of those to be freed, unless it gets a link yet. */
export function noteLinks(fs: FileSystem, handle: Handle, inode: Inode): void {
  const { unlinkedInodes } = fs;
  const { ino } = inode;
  const wasUnlinked = unlinkedInodes.has(ino);
  if (wasUnlinked === (inode.linksCount === 0)) return;
  if (wasUnlinked) unlinkedInodes.delete(ino);
  else unlinkedInodes.add(ino);
  handle.onUndo(() => {
    if (wasUnlinked) unlinkedInodes.add(ino);
    else unlinkedInodes.delete(ino);
  });
}
