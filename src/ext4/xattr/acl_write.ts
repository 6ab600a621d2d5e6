/**
 * POSIX ACLs (acl(5)) when files are made and permissions change: what new files inherit, and how
 * permission bits and access ACL keep in step.
 */

import {
  EXT4_XATTR_INDEX_POSIX_ACL_ACCESS,
  EXT4_XATTR_INDEX_POSIX_ACL_DEFAULT,
} from "../../disk/xattr.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { atPlace, fail } from "../../sys/fs_error.ts";
import { S_ISGID } from "../../sys/stat.ts";
import { isMoreThanMode, modeOf, withinMode, withMode } from "./acl_mode.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { type AclEntry, formatAcl, parseAcl } from "./posix_acl.ts";
import { diskXattr } from "./xattr.ts";
import { storeXattr } from "./xattr_write.ts";

/** ACLs are named by their index alone. */
const NO_NAME = new Uint8Array(0);
const PERMISSIONS = 0o7777;
const RWX_OF_ALL = 0o777;

/**
 * Gives a new file the ACLs, and the permissions, that its directory's default ACL says, or the
 * umask where there is none. Symbolic links keep all permissions.
 */
export function inheritAcls(
  fs: FileSystem,
  handle: Handle,
  dir: Inode,
  inode: Inode,
  umask: number,
): void {
  if (inode.isSymlink) return;
  const inherited = storedAcl(fs, dir, EXT4_XATTR_INDEX_POSIX_ACL_DEFAULT);
  fs.modifyInode(handle, inode);
  if (inherited === undefined) {
    inode.mode &= ~(umask & RWX_OF_ALL);
    return;
  }
  if (inode.isDirectory) storeAcl(fs, handle, inode, EXT4_XATTR_INDEX_POSIX_ACL_DEFAULT, inherited);
  const access = withinMode(inherited, inode.mode);
  inode.mode = (inode.mode & ~RWX_OF_ALL) | atPlace({ ino: dir.ino }, () => modeOf(access));
  if (isMoreThanMode(access)) {
    storeAcl(fs, handle, inode, EXT4_XATTR_INDEX_POSIX_ACL_ACCESS, access);
  }
}

/**
 * Changes the permissions, and the access ACL with them.
 * @param mode permissions with set-user-ID, set-group-ID and sticky bits; the type of the file stays
 */
export function changeMode(fs: FileSystem, handle: Handle, inode: Inode, mode: number): void {
  fs.modifyInode(handle, inode);
  inode.mode = (inode.mode & ~PERMISSIONS) | (mode & PERMISSIONS);
  if (inode.isSymlink) return;
  const acl = storedAcl(fs, inode, EXT4_XATTR_INDEX_POSIX_ACL_ACCESS);
  if (acl !== undefined) storeAccessAcl(fs, handle, inode, withMode(acl, mode));
}

/** What setxattr(2) does to an ACL. */
interface AclChange {
  readonly index: number;
  /** Without entries it is removed. */
  readonly acl: readonly AclEntry[];
  readonly dropSetGid?: boolean;
}

/**
 * Sets an ACL or removes it. Throws EACCES for a default ACL of something else than a directory,
 * EOPNOTSUPP for a symbolic link.
 */
export function setAcl(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  { index, acl, dropSetGid = false }: AclChange,
): void {
  if (inode.isSymlink) throw fail("EOPNOTSUPP", "Symbolic links have no ACL", { ino: inode.ino });
  if (acl.length === 0) return storeAcl(fs, handle, inode, index, undefined);
  if (index === EXT4_XATTR_INDEX_POSIX_ACL_ACCESS) {
    return storeAccessAcl(fs, handle, inode, acl, dropSetGid ? S_ISGID : 0);
  }
  if (!inode.isDirectory) {
    throw fail("EACCES", "Only directories have default ACLs", { ino: inode.ino });
  }
  storeAcl(fs, handle, inode, index, acl);
}

/** Sets the access ACL and the permissions that go with it. One that says no more is not kept. */
function storeAccessAcl(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  acl: readonly AclEntry[],
  dropped = 0,
): void {
  const bits = atPlace({ ino: inode.ino }, () => modeOf(acl));
  const mode = (inode.mode & ~RWX_OF_ALL & ~dropped) | bits;
  const kept = isMoreThanMode(acl) ? acl : undefined;
  storeAcl(fs, handle, inode, EXT4_XATTR_INDEX_POSIX_ACL_ACCESS, kept);
  if (mode === inode.mode) return;
  fs.modifyInode(handle, inode);
  inode.mode = mode;
  inode.ctime = fs.writing.now();
}

function storeAcl(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  index: number,
  acl: readonly AclEntry[] | undefined,
): void {
  storeXattr(fs, handle, inode, index, NO_NAME, acl && formatAcl(acl));
}

/** Undefined also where the mount leaves ACLs out of account. */
function storedAcl(fs: FileSystem, inode: Inode, index: number): AclEntry[] | undefined {
  if (fs.writing.options.acl === false) return undefined;
  const value = diskXattr(fs, inode, index, NO_NAME);
  if (value === undefined) return undefined;
  const acl = atPlace({ ino: inode.ino }, () => parseAcl(value));
  return acl.length === 0 ? undefined : acl;
}
