/**
 * Names by fast commits. Records of names do not tell of the directories that they are in: their
 * blocks, sizes and links follow from the names.
 *
 * The state before the replay is that of the last full commit, in which none of this has happened.
 * Should a name be there all the same, after a replay of the kernel's that was interrupted, it stays.
 */

import { Ext4DirEntry2 as Entry } from "../../disk/directory.ts";
import type { FastCommitOperation } from "../../jbd2/fast_commit.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { corrupt } from "../../sys/fs_error.ts";
import { addName, findRoom, removeName } from "../directory/directory_write.ts";
import { inodeInUse, noteLinks } from "./fast_commit_replay_inodes.ts";
import type { ReplayedSpace } from "./fast_commit_replay_space.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { addSubdirectory, dropSubdirectory } from "../inode/link_count.ts";
import { findEntry } from "../directory/lookup.ts";
import { initDirectory } from "../directory/namespace.ts";

type NameOperation = Extract<FastCommitOperation, { kind: "creat" | "link" | "unlink" }>;

/** A new inode, whose record came before, gets its first name. */
export function replayCreat(fs: FileSystem, space: ReplayedSpace, operation: NameOperation): void {
  const inode = inodeInUse(fs, operation.ino);
  const dir = directoryInUse(fs, operation.parentIno);
  if (inode === undefined || dir === undefined) {
    throw corrupt("fast commit: a name of an inode, or in a directory, that is not there", {
      ino: operation.ino,
    });
  }
  space.touch(inode);
  space.touch(dir);
  fs.change((handle) => {
    fs.modifyInode(handle, inode);
    if (!inode.isDirectory) inode.linksCount = 1;
    else if (space.isNew(inode.ino)) makeEmpty(fs, handle, inode, dir);
    noteLinks(fs, handle, inode);
    if (findEntry(fs, dir, operation.name) !== undefined) return;
    addName(fs, handle, dir, findRoom(fs, dir, operation.name), inode);
    if (inode.isDirectory) addSubdirectory(fs, handle, dir);
  });
}

/** An inode gets another name. */
export function replayLink(fs: FileSystem, space: ReplayedSpace, operation: NameOperation): void {
  const inode = inodeInUse(fs, operation.ino);
  const dir = directoryInUse(fs, operation.parentIno);
  if (inode === undefined || dir === undefined) return;
  if (inode.isDirectory) {
    throw corrupt("fast commit: another name for a directory", { ino: inode.ino });
  }
  space.touch(inode);
  space.touch(dir);
  fs.change((handle) => {
    if (findEntry(fs, dir, operation.name) !== undefined) return;
    addName(fs, handle, dir, findRoom(fs, dir, operation.name), inode);
    fs.modifyInode(handle, inode);
    inode.linksCount++;
    noteLinks(fs, handle, inode);
  });
}

/** An inode loses a name. */
export function replayUnlink(fs: FileSystem, space: ReplayedSpace, operation: NameOperation): void {
  const inode = inodeInUse(fs, operation.ino);
  const dir = directoryInUse(fs, operation.parentIno);
  if (inode === undefined || dir === undefined) return;
  space.touch(inode);
  space.touch(dir);
  fs.change((handle) => {
    const place = findEntry(fs, dir, operation.name);
    if (place === undefined || Entry.inode.get(place.chain.view, place.at) !== inode.ino) return;
    removeName(fs, handle, dir, place);
    fs.modifyInode(handle, inode);
    if (inode.isDirectory) {
      dropSubdirectory(fs, handle, dir);
      inode.linksCount = 0;
    } else if (inode.linksCount > 0) inode.linksCount--;
    noteLinks(fs, handle, inode);
  });
}

/** Undefined where the directory was deleted, or is none. */
function directoryInUse(fs: FileSystem, ino: number): Inode | undefined {
  const dir = inodeInUse(fs, ino);
  return dir?.isDirectory && dir.linksCount > 0 ? dir : undefined;
}

/** Whatever its record tells of names, each has a record of its own. */
function makeEmpty(fs: FileSystem, handle: Handle, dir: Inode, parent: Inode): void {
  dir.size = 0;
  if (!dir.hasInlineData) dir.setBlocks512(0, fs.blockSize);
  initDirectory(fs, handle, dir, parent);
}
