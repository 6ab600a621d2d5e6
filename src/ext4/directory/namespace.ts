/**
 * The system calls that make and remove names: each is one operation, which happens as a whole or
 * not at all. What the kernel has checked before it asks, permissions and whether a name exists,
 * is true as far as it can be seen from here, or refused with the errno that the kernel has for it.
 */

import { EXT4_APPEND_FL, EXT4_IMMUTABLE_FL, EXT4_PROJINHERIT_FL } from "../../disk/inode.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { fail } from "../../sys/fs_error.ts";
import { S_IFDIR, S_IFLNK, S_ISVTX } from "../../sys/stat.ts";
import { inheritAcls } from "../xattr/acl_write.ts";
import type { EntryPlace } from "./chain_search.ts";
import { createInode } from "../inode/create_inode.ts";
import { isDotName } from "./directory_block.ts";
import { appendLeaf } from "./directory_growth.ts";
import { addName, findRoom, removeName, requireRemovable } from "./directory_write.ts";
import { requireEmpty } from "./empty_directory.ts";
import { extendLastEntry } from "./entry_write.ts";
import type { FileSystem } from "../filesystem.ts";
import { dotEntries, DOTS_LENGTH } from "./inline_directory.ts";
import { initInlineDirectory } from "./inline_directory_write.ts";
import type { Inode } from "../inode/inode.ts";
import {
  addSubdirectory,
  dropSubdirectory,
  EXT4_LINK_MAX,
  requireRoomForSubdirectory,
} from "../inode/link_count.ts";
import { placedInode } from "./lookup.ts";
import { dropUnlinked, keepUnlinked } from "../orphans/orphans_write.ts";
import { requireTarget, storeTarget } from "../content/symlink_write.ts";

/** A file to be made. */
export interface NewFile {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly umask: number;
  readonly rdev?: { readonly major: number; readonly minor: number };
}

const RWX_OF_ALL = 0o777;

/**
 * Makes a file, device node, FIFO or socket, as mknod(2) and open(2) with O_CREAT do. Throws what
 * findRoom throws, ENOSPC and EDQUOT.
 */
export function makeNode(fs: FileSystem, dir: Inode, name: Uint8Array, file: NewFile): Inode {
  return fs.change((handle) => {
    const room = findRoom(fs, dir, name);
    const inode = createInode(fs, handle, dir, file);
    inheritAcls(fs, handle, dir, inode, file.umask);
    addName(fs, handle, dir, room, inode);
    return inode;
  });
}

/** mkdir(2). As makeNode, and EMLINK. */
export function makeDirectory(
  fs: FileSystem,
  dir: Inode,
  name: Uint8Array,
  file: NewFile,
): Inode {
  return fs.change((handle) => {
    const room = findRoom(fs, dir, name);
    requireRoomForSubdirectory(fs, dir);
    const mode = S_IFDIR | (file.mode & (RWX_OF_ALL | S_ISVTX));
    const inode = createInode(fs, handle, dir, { ...file, mode });
    inheritAcls(fs, handle, dir, inode, file.umask);
    initDirectory(fs, handle, inode, dir);
    addName(fs, handle, dir, room, inode);
    addSubdirectory(fs, handle, dir);
    return inode;
  });
}

/** symlink(2). As makeNode, ENAMETOOLONG and ENOENT for targets that cannot be. */
export function makeSymlink(
  fs: FileSystem,
  dir: Inode,
  name: Uint8Array,
  target: Uint8Array,
  owner: { readonly uid: number; readonly gid: number },
): Inode {
  return fs.change((handle) => {
    const room = findRoom(fs, dir, name);
    requireTarget(fs, target);
    const inode = createInode(fs, handle, dir, { ...owner, mode: S_IFLNK | RWX_OF_ALL });
    storeTarget(fs, handle, inode, target);
    addName(fs, handle, dir, room, inode);
    return inode;
  });
}

/** open(2) with O_TMPFILE: a file without a name, which lives until it is closed or linked. */
export function makeTemporary(fs: FileSystem, dir: Inode, file: NewFile): Inode {
  return fs.change((handle) => {
    if (dir.hasFlag(EXT4_IMMUTABLE_FL)) throw notPermitted(dir, "The directory is immutable");
    const inode = createInode(fs, handle, dir, file);
    inheritAcls(fs, handle, dir, inode, file.umask);
    inode.linksCount = 0;
    keepUnlinked(fs, handle, inode);
    return inode;
  });
}

/**
 * link(2), also for a file that has no name yet. As makeNode, and EPERM for directories and
 * protected files, EMLINK, EXDEV.
 */
export function link(fs: FileSystem, inode: Inode, dir: Inode, name: Uint8Array): void {
  fs.change((handle) => {
    const room = findRoom(fs, dir, name);
    if (inode.isDirectory) throw notPermitted(inode, "Directories have one name");
    requireUnprotected(inode);
    if (inode.linksCount >= EXT4_LINK_MAX) {
      throw fail("EMLINK", "The file has too many names", { ino: inode.ino });
    }
    requireSameProject(dir, inode);
    fs.modifyInode(handle, inode);
    inode.linksCount++;
    inode.ctime = fs.writing.now();
    if (inode.linksCount === 1) dropUnlinked(fs, handle, inode);
    addName(fs, handle, dir, room, inode);
  });
}

/**
 * unlink(2). Returns the inode that the name led to; without any link left, it is kept as long as
 * it is in use (keepUnlinked). Throws ENOENT, EISDIR, EPERM, EUCLEAN and EBADMSG.
 */
export function unlink(fs: FileSystem, dir: Inode, name: Uint8Array): Inode {
  return fs.change((handle) => {
    if (isDotName(name)) throw fail("EISDIR", "Cannot unlink . or ..", { ino: dir.ino });
    const { place, inode } = existing(fs, dir, name);
    requireRemovable(fs, dir);
    requireUnprotected(inode);
    if (inode.isDirectory) throw fail("EISDIR", "Is a directory", { ino: inode.ino });
    removeName(fs, handle, dir, place);
    dropLink(fs, handle, inode);
    return inode;
  });
}

/** rmdir(2). As unlink, and ENOTDIR, ENOTEMPTY; EINVAL for `.`. */
export function removeDirectory(fs: FileSystem, dir: Inode, name: Uint8Array): Inode {
  return fs.change((handle) => {
    if (isDotName(name)) {
      const errno = name.length === 1 ? "EINVAL" : "ENOTEMPTY";
      throw fail(errno, "Cannot remove . or ..", { ino: dir.ino });
    }
    const { place, inode } = existing(fs, dir, name);
    requireRemovable(fs, dir);
    requireUnprotected(inode);
    if (!inode.isDirectory) throw fail("ENOTDIR", "Not a directory", { ino: inode.ino });
    requireEmpty(fs, inode);
    removeName(fs, handle, dir, place);
    dropSubdirectory(fs, handle, dir);
    dropDirectory(fs, handle, inode);
    return inode;
  });
}

/** The inode behind a name that must exist. Throws ENOENT. */
export function existing(
  fs: FileSystem,
  dir: Inode,
  name: Uint8Array,
): { readonly place: EntryPlace; readonly inode: Inode } {
  const found = placedInode(fs, dir, name);
  if (found === undefined) throw fail("ENOENT", "No such name", { ino: dir.ino });
  return found;
}

/** Throws EPERM for a file whose names must stay as they are. */
export function requireUnprotected(inode: Inode): void {
  if (!inode.hasFlag(EXT4_IMMUTABLE_FL | EXT4_APPEND_FL)) return;
  throw notPermitted(inode, "The file is immutable or append-only");
}

/** Throws EXDEV for a file of another project than the one that files of the directory belong to. */
export function requireSameProject(dir: Inode, inode: Inode): void {
  if (!dir.hasFlag(EXT4_PROJINHERIT_FL) || dir.projectId === inode.projectId) return;
  throw fail("EXDEV", "The file belongs to another project", { ino: inode.ino });
}

/** One name of a file is gone. More names than links are damage, and no less removable for it. */
export function dropLink(fs: FileSystem, handle: Handle, inode: Inode): void {
  fs.modifyInode(handle, inode);
  inode.ctime = fs.writing.now();
  if (inode.linksCount > 0) inode.linksCount--;
  if (inode.linksCount === 0) keepUnlinked(fs, handle, inode);
}

/** The name of an empty directory is gone, and all other links were its own. */
export function dropDirectory(fs: FileSystem, handle: Handle, inode: Inode): void {
  fs.modifyInode(handle, inode);
  inode.ctime = fs.writing.now();
  inode.bumpVersion();
  inode.linksCount = 0;
  keepUnlinked(fs, handle, inode);
}

/** Gives a new directory its `.` and `..`. */
export function initDirectory(fs: FileSystem, handle: Handle, dir: Inode, parent: Inode): void {
  dir.linksCount = 2;
  if (dir.hasInlineData) {
    initInlineDirectory(dir, parent);
    return;
  }
  const { bytes, view, end } = appendLeaf(fs, handle, dir);
  bytes.set(dotEntries(fs, dir.ino, parent.ino));
  extendLastEntry(fs, view, 0, DOTS_LENGTH, end);
}

function notPermitted(inode: Inode, why: string) {
  return fail("EPERM", why, { ino: inode.ino });
}
