/** setxattr(2) and removexattr(2): names and values as user space has them. */

import { EXT4_APPEND_FL, EXT4_IMMUTABLE_FL } from "../../disk/inode.ts";
import { fail } from "../../sys/fs_error.ts";
import { setAcl } from "./acl_write.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { parsePosixAcl } from "./posix_acl.ts";
import { hasDiskXattr, isAclIndex, splitName } from "./xattr.ts";
import { storeXattr } from "./xattr_write.ts";

/** Flags of setxattr(2) */
export const XATTR_CREATE = 1;
export const XATTR_REPLACE = 2;

/**
 * Sets an attribute by its whole name. An ACL comes in the form of user space; an access ACL changes
 * the permissions with it, and an ACL without entries is removed, whatever the flags. Throws EEXIST
 * and ENODATA as the flags say, EPERM for an immutable or append-only file, EOPNOTSUPP for a
 * namespace that ext4 does not have, EINVAL, EACCES, ENOSPC, EDQUOT, ERANGE, E2BIG.
 * @param dropSetGid the caller may not set the set-group-ID bit: an access ACL takes it away
 */
export function setXattr(
  fs: FileSystem,
  inode: Inode,
  fullName: Uint8Array,
  value: Uint8Array,
  flags: number,
  dropSetGid = false,
): void {
  const { index, name } = splitName(fullName);
  requireChangeable(inode);
  if (isAclIndex(index)) {
    const acl = value.length === 0 ? [] : parsePosixAcl(value);
    fs.change((handle) => setAcl(fs, handle, inode, { index, acl, dropSetGid }));
    return;
  }
  fs.change((handle) => {
    const exists = (flags & (XATTR_CREATE | XATTR_REPLACE)) !== 0 &&
      hasDiskXattr(fs, inode, index, name);
    if (exists && (flags & XATTR_CREATE) !== 0) throw fail("EEXIST", "The attribute exists");
    if (!exists && (flags & XATTR_REPLACE) !== 0) throw noSuchAttribute();
    storeXattr(fs, handle, inode, index, name, value);
  });
}

/**
 * Removes an attribute by its whole name. Throws ENODATA when there is none and it
 * is no ACL, EPERM for an immutable
 * or append-only file, EOPNOTSUPP for a namespace that ext4 does not have.
 */
export function removeXattr(fs: FileSystem, inode: Inode, fullName: Uint8Array): void {
  const { index, name } = splitName(fullName);
  requireChangeable(inode);
  fs.change((handle) => {
    if (isAclIndex(index)) return setAcl(fs, handle, inode, { index, acl: [] });
    if (!hasDiskXattr(fs, inode, index, name)) throw noSuchAttribute();
    storeXattr(fs, handle, inode, index, name, undefined);
  });
}

function requireChangeable(inode: Inode): void {
  if (!inode.hasFlag(EXT4_IMMUTABLE_FL | EXT4_APPEND_FL)) return;
  throw fail("EPERM", "The file is immutable or append-only", { ino: inode.ino });
}

function noSuchAttribute() {
  return fail("ENODATA", "No such attribute");
}
