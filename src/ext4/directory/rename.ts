/**
 * rename(2) and renameat2(2), as one operation: after a crash a file has its old name or the new
 * one, and never neither.
 *
 * What is found before the first change is where names are; once one of the directories has
 * changed, places in it are looked up again.
 */

import type { Handle } from "../../jbd2/handle.ts";
import { corrupt, fail } from "../../sys/fs_error.ts";
import { S_IFCHR } from "../../sys/stat.ts";
import { inheritAcls } from "../xattr/acl_write.ts";
import type { EntryPlace } from "./chain_search.ts";
import { createInode } from "../inode/create_inode.ts";
import { isDotName } from "./directory_block.ts";
import {
  addName,
  findRoom,
  type NameRoom,
  removeName,
  replaceName,
  requireRemovable,
} from "./directory_write.ts";
import { requireEmpty } from "./empty_directory.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import {
  addSubdirectory,
  dropSubdirectory,
  requireRoomForSubdirectory,
} from "../inode/link_count.ts";
import { findEntry, namedInode } from "./lookup.ts";
import {
  dropDirectory,
  dropLink,
  existing,
  requireSameProject,
  requireUnprotected,
} from "./namespace.ts";
import { parentOf, setParent } from "./parent_entry.ts";

export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;
export const RENAME_WHITEOUT = 4;
const ALL_FLAGS = RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT;

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** What a rename is about. */
interface Rename {
  readonly oldDir: Inode;
  readonly oldName: Uint8Array;
  readonly newDir: Inode;
  readonly newName: Uint8Array;
  /** What has the old name. */
  readonly source: Inode;
  /** What has the new name. */
  readonly target: Inode | undefined;
}

/**
 * Gives a file another name. Returns the inode that had the new name before, when that was its last.
 * @param owner of the whiteout that RENAME_WHITEOUT leaves behind
 * @throws FsError what findRoom and unlink throw, and EINVAL, EBUSY, ENOTDIR, ENOTEMPTY, EMLINK,
 * EXDEV, EEXIST, as renameat2(2) says
 */
export function rename(
  fs: FileSystem,
  oldDir: Inode,
  oldName: Uint8Array,
  newDir: Inode,
  newName: Uint8Array,
  flags: number,
  owner: Owner,
): Inode | undefined {
  const isExchange = (flags & RENAME_EXCHANGE) !== 0;
  if ((flags & ~ALL_FLAGS) !== 0 || (isExchange && flags !== RENAME_EXCHANGE)) {
    throw fail("EINVAL", `Unknown flags ${flags} of a rename`);
  }
  return fs.change((handle) => {
    if (isDotName(oldName) || isDotName(newName)) throw fail("EBUSY", "Cannot rename . and ..");
    const source = existing(fs, oldDir, oldName).inode;
    const target = namedInode(fs, newDir, newName);
    const names = { oldDir, oldName, newDir, newName, source, target };
    if (target !== undefined && (flags & RENAME_NOREPLACE) !== 0) {
      throw fail("EEXIST", "The new name exists", { ino: newDir.ino });
    }
    if (isExchange) {
      exchange(fs, handle, names);
      return undefined;
    }
    return move(fs, handle, names, (flags & RENAME_WHITEOUT) !== 0 ? owner : undefined);
  });
}

// ---------------------------------------------------------------- one name

/** @param whiteoutOwner given where a whiteout is to have the old name */
function move(
  fs: FileSystem,
  handle: Handle,
  names: Rename,
  whiteoutOwner: Owner | undefined,
): Inode | undefined {
  const { oldDir, oldName, newDir, newName, source, target } = names;
  refuseBelowItself(fs, source, oldDir, newDir);
  // Two names of one file, or the same name in another case.
  if (target?.ino === source.ino) return undefined;
  requireMovable(fs, oldDir, source);
  const room = target === undefined ? findRoom(fs, newDir, newName) : undefined;
  if (target !== undefined) requireReplaceable(fs, newDir, target, source);
  requireSameProject(newDir, source);
  const changesParent = source.isDirectory && oldDir.ino !== newDir.ino;
  if (changesParent && target === undefined) requireRoomForSubdirectory(fs, newDir);
  if (target?.isDirectory) requireEmpty(fs, target);

  const whiteout = whiteoutOwner && makeWhiteout(fs, handle, oldDir, whiteoutOwner);
  setNewName(fs, handle, names, room);
  // It may be another one by now.
  const place = placeOf(fs, oldDir, oldName);
  if (whiteout === undefined) removeName(fs, handle, oldDir, place);
  else replaceName(fs, handle, oldDir, place, whiteout);
  if (changesParent) setParent(fs, handle, source, oldDir, newDir);
  if (source.isDirectory) countMoved(fs, handle, names);
  noteChange(fs, handle, source);
  return target && dropReplaced(fs, handle, target);
}

function setNewName(
  fs: FileSystem,
  handle: Handle,
  { newDir, newName, source }: Rename,
  room: NameRoom | undefined,
): void {
  if (room !== undefined) addName(fs, handle, newDir, room, source);
  else replaceName(fs, handle, newDir, placeOf(fs, newDir, newName), source);
}

/** A directory that replaces another one leaves the count of its new directory as it was. */
function countMoved(
  fs: FileSystem,
  handle: Handle,
  { oldDir, newDir, target }: Rename,
): void {
  if (target === undefined && oldDir.ino === newDir.ino) return;
  dropSubdirectory(fs, handle, oldDir);
  if (target === undefined) addSubdirectory(fs, handle, newDir);
}

/** The errors of unlink(2) or rmdir(2), whichever would have made way. */
function requireReplaceable(fs: FileSystem, dir: Inode, target: Inode, source: Inode): void {
  requireMovable(fs, dir, target);
  const { ino } = target;
  if (source.isDirectory && !target.isDirectory) {
    throw fail("ENOTDIR", "A directory cannot replace a file", { ino });
  }
  if (!source.isDirectory && target.isDirectory) {
    throw fail("EISDIR", "A file cannot replace a directory", { ino });
  }
}

/** Returns the inode when it has no link any more. */
function dropReplaced(fs: FileSystem, handle: Handle, target: Inode): Inode | undefined {
  if (target.isDirectory) dropDirectory(fs, handle, target);
  else dropLink(fs, handle, target);
  return target.linksCount === 0 ? target : undefined;
}

/** A character device 0:0, by which a union mount knows that a name of a lower layer is gone. */
function makeWhiteout(fs: FileSystem, handle: Handle, dir: Inode, owner: Owner): Inode {
  const inode = createInode(fs, handle, dir, { ...owner, mode: S_IFCHR });
  inheritAcls(fs, handle, dir, inode, 0);
  return inode;
}

// ---------------------------------------------------------------- two names

function exchange(fs: FileSystem, handle: Handle, names: Rename): void {
  const { oldDir, oldName, newDir, newName, source, target } = names;
  if (target === undefined) throw fail("ENOENT", "No such name", { ino: newDir.ino });
  refuseBelowItself(fs, source, oldDir, newDir);
  refuseBelowItself(fs, target, newDir, oldDir);
  if (target.ino === source.ino) return;
  requireMovable(fs, oldDir, source);
  requireMovable(fs, newDir, target);
  requireSameProject(newDir, source);
  requireSameProject(oldDir, target);
  const isAcross = oldDir.ino !== newDir.ino;
  const countChanges = isAcross && source.isDirectory !== target.isDirectory;
  if (countChanges) requireRoomForSubdirectory(fs, source.isDirectory ? newDir : oldDir);

  replaceName(fs, handle, newDir, placeOf(fs, newDir, newName), source);
  replaceName(fs, handle, oldDir, placeOf(fs, oldDir, oldName), target);
  if (isAcross && source.isDirectory) setParent(fs, handle, source, oldDir, newDir);
  if (isAcross && target.isDirectory) setParent(fs, handle, target, newDir, oldDir);
  if (countChanges) {
    const [loses, gains] = source.isDirectory ? [oldDir, newDir] : [newDir, oldDir];
    dropSubdirectory(fs, handle, loses);
    addSubdirectory(fs, handle, gains);
  }
  noteChange(fs, handle, source);
  noteChange(fs, handle, target);
}

// ---------------------------------------------------------------- both

/** Throws EPERM where the name of a file must stay. */
function requireMovable(fs: FileSystem, dir: Inode, inode: Inode): void {
  requireRemovable(fs, dir);
  requireUnprotected(inode);
}

function placeOf(fs: FileSystem, dir: Inode, name: Uint8Array): EntryPlace {
  const place = findEntry(fs, dir, name);
  if (place === undefined) throw corrupt("directory: a name got lost", { ino: dir.ino });
  return place;
}

function noteChange(fs: FileSystem, handle: Handle, inode: Inode): void {
  fs.modifyInode(handle, inode);
  inode.ctime = fs.writing.now();
}

/** Throws EINVAL when a directory is to move to somewhere below itself. */
function refuseBelowItself(fs: FileSystem, moved: Inode, from: Inode, to: Inode): void {
  if (!moved.isDirectory || from.ino === to.ino) return;
  const seen = new Set<number>();
  for (let dir = to; !seen.has(dir.ino);) {
    if (dir.ino === moved.ino) {
      throw fail("EINVAL", "A directory cannot be below itself", { ino: moved.ino });
    }
    seen.add(dir.ino);
    const parent = parentOf(fs, dir);
    // Only the root is in itself.
    if (parent === dir.ino) return;
    dir = fs.ownInode(parent, `directory ${dir.ino}, its ..`);
  }
  throw corrupt("directory: the ways up from it run in a circle", { ino: to.ino });
}
