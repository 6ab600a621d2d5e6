/**
 * Who may do what with a file: mode bits and POSIX ACLs (acl(5)), for mounts on which the kernel
 * does not check it. The caller's supplementary groups count.
 */

import { EXT4_XATTR_INDEX_POSIX_ACL_ACCESS } from "../disk/xattr.ts";
import type { FileSystem } from "./filesystem.ts";
import type { Inode } from "./inode.ts";
import { type AclEntry, AclTag, parseAcl } from "./posix_acl.ts";
import { diskXattr } from "./xattr.ts";

/** As access(2): R_OK 4, W_OK 2, X_OK 1. */
export interface Subject {
  readonly uid: number;
  readonly gid: number;
  /** Groups beside the first. */
  readonly groups?: readonly number[];
}

const X_OK = 1;
const ALL = 7;

/** True when the mask, as of access(2), is granted to the subject. */
export function permits(
  fs: FileSystem,
  inode: Inode,
  mask: number,
  subject: Subject,
  useAcl: boolean,
): boolean {
  const wanted = mask & ALL;
  if (subject.uid === 0) {
    // Root may execute what somebody may execute.
    return (wanted & X_OK) === 0 || inode.isDirectory || (inode.mode & 0o111) !== 0;
  }
  if (subject.uid === inode.uid) return grants(inode.mode >>> 6, wanted);
  const acl = useAcl ? accessAcl(fs, inode) : undefined;
  if (acl !== undefined) return aclGrants(acl, inode, wanted, subject);
  return grants(isMember(subject, inode.gid) ? inode.mode >>> 3 : inode.mode, wanted);
}

function grants(bits: number, wanted: number): boolean {
  return (bits & wanted) === wanted;
}

function isMember(subject: Subject, gid: number): boolean {
  return subject.gid === gid || (subject.groups?.includes(gid) ?? false);
}

function accessAcl(fs: FileSystem, inode: Inode): readonly AclEntry[] | undefined {
  const value = diskXattr(fs, inode, EXT4_XATTR_INDEX_POSIX_ACL_ACCESS, new Uint8Array(0));
  return value === undefined ? undefined : parseAcl(value);
}

/** The algorithm of acl(5), "Access check algorithm", behind the owner's entry. */
function aclGrants(
  acl: readonly AclEntry[],
  inode: Inode,
  wanted: number,
  subject: Subject,
): boolean {
  const limit = acl.find(({ tag }) => tag === AclTag.MASK)?.permissions ?? ALL;
  const named = acl.find(({ tag, id }) => tag === AclTag.USER && id === subject.uid);
  if (named !== undefined) return grants(named.permissions & limit, wanted);
  const groups = acl.filter(({ tag, id }) =>
    (tag === AclTag.GROUP_OBJ && isMember(subject, inode.gid)) ||
    (tag === AclTag.GROUP && isMember(subject, id))
  );
  if (groups.length > 0) {
    return groups.some(({ permissions }) => grants(permissions & limit, wanted));
  }
  return grants(acl.find(({ tag }) => tag === AclTag.OTHER)?.permissions ?? 0, wanted);
}
