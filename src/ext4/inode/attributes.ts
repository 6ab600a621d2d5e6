/**
 * chmod(2), chown(2), utimensat(2), and what writing to a file takes away from it. That the caller
 * may do it, as the owner or as root, is the kernel's concern; what the file itself forbids is ours.
 */

import { EXT4_APPEND_FL, EXT4_IMMUTABLE_FL } from "../../disk/inode.ts";
import { EXT4_XATTR_INDEX_SECURITY } from "../../disk/xattr.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { fail } from "../../sys/fs_error.ts";
import { S_ISGID, S_ISUID, S_IXGRP } from "../../sys/stat.ts";
import { changeOwners } from "../quota/accounting.ts";
import { changeMode } from "../xattr/acl_write.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode, InodeTime } from "./inode.ts";
import { hasDiskXattr } from "../xattr/xattr.ts";
import { storeXattr } from "../xattr/xattr_write.ts";

/** What stays undefined is left as it is, but for the time of change. */
export interface AttributeChange {
  /** Permissions with set-user-ID, set-group-ID and sticky bits. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly atime?: InodeTime;
  readonly mtime?: InodeTime;
  /** Undefined: now. */
  readonly ctime?: InodeTime;
  /** The times are those of an access, and not ones that somebody made up. */
  readonly isTouch?: boolean;
}

interface Caller {
  readonly uid: number;
  readonly gid: number;
}

/** The name, behind `security.`, of the capabilities (capabilities(7)) that a program gets. */
const CAPABILITY = new TextEncoder().encode("capability");

/**
 * Changes permissions, owners and times. A new owner of anything but a directory takes away its
 * set-user-ID and set-group-ID bits and its capabilities. Throws EPERM for an immutable file and,
 * except for a touch, for an append-only one; EDQUOT, ENOSPC.
 */
export function setAttributes(
  fs: FileSystem,
  inode: Inode,
  change: AttributeChange,
  caller: Caller,
): void {
  requireChangeable(inode, change);
  fs.change((handle) => {
    fs.modifyInode(handle, inode);
    const { atime, mtime, ctime } = change;
    const mode = change.mode ?? modeAfterChown(inode, change, caller);
    if (isChown(change)) giveAway(fs, handle, inode, change);
    if (mode !== undefined) changeMode(fs, handle, inode, mode);
    if (atime !== undefined) inode.atime = atime;
    if (mtime !== undefined) inode.mtime = mtime;
    inode.ctime = ctime ?? fs.writing.now();
  });
}

/**
 * Takes away what a file does not keep when its content changes: capabilities, and set-user-ID and
 * set-group-ID bits. True when there was something.
 * @param writer undefined for one who leaves set-ID bits in place
 */
export function dropPrivileges(
  fs: FileSystem,
  inode: Inode,
  writer: Caller | undefined,
): boolean {
  if (inode.isDirectory) return false;
  const mode = writer === undefined ? inode.mode : inode.mode & ~lostBits(inode, writer);
  const hasCapability = hasDiskXattr(fs, inode, EXT4_XATTR_INDEX_SECURITY, CAPABILITY);
  if (mode === inode.mode && !hasCapability) return false;
  fs.change((handle) => {
    dropCapability(fs, handle, inode);
    fs.modifyInode(handle, inode);
    inode.mode = mode;
    inode.ctime = fs.writing.now();
  });
  return true;
}

function requireChangeable(inode: Inode, change: AttributeChange): void {
  const { mode, atime, mtime, isTouch } = change;
  const isImmutable = inode.hasFlag(EXT4_IMMUTABLE_FL);
  if (!isImmutable && !inode.hasFlag(EXT4_APPEND_FL)) return;
  const setsTimes = (atime !== undefined || mtime !== undefined) && !isTouch;
  if (!isImmutable && mode === undefined && !isChown(change) && !setsTimes) return;
  throw fail("EPERM", `The file is ${isImmutable ? "immutable" : "append-only"}`, {
    ino: inode.ino,
  });
}

function isChown({ uid, gid }: AttributeChange): boolean {
  return uid !== undefined || gid !== undefined;
}

function giveAway(fs: FileSystem, handle: Handle, inode: Inode, change: AttributeChange): void {
  const { uid = inode.uid, gid = inode.gid } = change;
  changeOwners(fs, handle, inode, { uid, gid, projectId: inode.projectId });
  if (!inode.isDirectory) dropCapability(fs, handle, inode);
}

/** Undefined where it stays as it is. */
function modeAfterChown(
  inode: Inode,
  change: AttributeChange,
  caller: Caller,
): number | undefined {
  if (!isChown(change) || inode.isDirectory) return undefined;
  const lost = lostBits(inode, caller);
  return (inode.mode & lost) === 0 ? undefined : inode.mode & ~lost;
}

/**
 * A set-group-ID bit without execute permission of the group stood for mandatory locks. It is lost
 * to those only who could not set it.
 */
function lostBits({ mode, gid }: Inode, caller: Caller): number {
  const isOdd = (mode & S_IXGRP) === 0;
  const keepsGroup = isOdd && (caller.uid === 0 || caller.gid === gid);
  return S_ISUID | (keepsGroup ? 0 : S_ISGID);
}

function dropCapability(fs: FileSystem, handle: Handle, inode: Inode): void {
  storeXattr(fs, handle, inode, EXT4_XATTR_INDEX_SECURITY, CAPABILITY, undefined);
}
