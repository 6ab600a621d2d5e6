/** POSIX ACLs: between ext4's form on the disk and the one of user space (layouts: disk/acl.ts). */

import {
  ACL_UNDEFINED_ID,
  AclEntryLong,
  AclEntryShort,
  AclHeader,
  AclTag,
  EXT4_ACL_VERSION,
  POSIX_ACL_XATTR_VERSION,
} from "../../disk/acl.ts";
import { viewOf } from "../../sys/bytes.ts";
import { corrupt, fail } from "../../sys/fs_error.ts";

export { AclTag };

export interface AclEntry {
  /** One of AclTag. */
  readonly tag: number;
  /** rwx as 4, 2, 1. */
  readonly permissions: number;
  /** uid or gid of USER and GROUP, ACL_UNDEFINED_ID otherwise. */
  readonly id: number;
}

const ALL_PERMISSIONS = 7;
const KNOWN_TAGS: ReadonlySet<number> = new Set(Object.values(AclTag));

/** The value that getxattr(2) gives for an ACL; undefined for one without entries. Throws EUCLEAN. */
export function posixAclFromDisk(stored: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  const entries = parseAcl(stored);
  return entries.length === 0 ? undefined : formatPosixAcl(entries);
}

/** The entries of an ACL as it is on the disk. Throws EUCLEAN. */
export function parseAcl(stored: Uint8Array): AclEntry[] {
  const view = viewOf(stored);
  if (
    stored.length < AclHeader.byteLength || AclHeader.a_version.get(view, 0) !== EXT4_ACL_VERSION
  ) {
    throw corrupt("ACL: unknown version");
  }
  const entries: AclEntry[] = [];
  for (let at = AclHeader.byteLength; at < stored.length;) {
    if (at + AclEntryShort.byteLength > stored.length) throw corrupt("ACL: cut off");
    const tag = AclEntryShort.e_tag.get(view, at);
    if (!KNOWN_TAGS.has(tag)) throw corrupt(`ACL: tag 0x${tag.toString(16)}`);
    const size = storedSize(tag);
    if (at + size > stored.length) throw corrupt("ACL: cut off");
    entries.push({
      tag,
      permissions: AclEntryShort.e_perm.get(view, at),
      id: hasId(tag) ? AclEntryLong.e_id.get(view, at) : ACL_UNDEFINED_ID,
    });
    at += size;
  }
  return entries;
}

/**
 * The entries of a value in the form of user space, checked to make an ACL: they come in the order
 * of their tags, one each for owner, group and others, and a mask when a USER or GROUP is named.
 * Throws EOPNOTSUPP for an unknown version, and EINVAL.
 */
export function parsePosixAcl(value: Uint8Array): AclEntry[] {
  const view = viewOf(value);
  const length = value.length - AclHeader.byteLength;
  if (length < 0) throw invalid("no header");
  const version = AclHeader.a_version.get(view, 0);
  if (version !== POSIX_ACL_XATTR_VERSION) throw fail("EOPNOTSUPP", `ACL of version ${version}`);
  if (length % AclEntryLong.byteLength !== 0) throw invalid("cut off");
  const entries: AclEntry[] = [];
  for (let at = AclHeader.byteLength; at < value.length; at += AclEntryLong.byteLength) {
    const tag = AclEntryLong.e_tag.get(view, at);
    entries.push({
      tag,
      permissions: AclEntryLong.e_perm.get(view, at),
      // What user space writes there for other tags has no meaning.
      id: hasId(tag) ? AclEntryLong.e_id.get(view, at) : ACL_UNDEFINED_ID,
    });
  }
  if (entries.length > 0) requireValid(entries);
  return entries;
}

function requireValid(entries: readonly AclEntry[]): void {
  let before = 0;
  for (const { tag, permissions, id } of entries) {
    if (!KNOWN_TAGS.has(tag)) throw invalid(`tag 0x${tag.toString(16)}`);
    if (permissions > ALL_PERMISSIONS) throw invalid(`permissions 0x${permissions.toString(16)}`);
    if (hasId(tag) && id === ACL_UNDEFINED_ID) throw invalid("no id where there must be one");
    if (tag < before || (tag === before && !hasId(tag))) throw invalid("entries out of order");
    before = tag;
  }
  const has = (tag: number) => entries.some((entry) => entry.tag === tag);
  for (const tag of [AclTag.USER_OBJ, AclTag.GROUP_OBJ, AclTag.OTHER]) {
    if (!has(tag)) throw invalid(`no entry with tag 0x${tag.toString(16)}`);
  }
  if (entries.some(({ tag }) => hasId(tag)) && !has(AclTag.MASK)) throw invalid("no mask");
}

/** The form on the disk. */
export function formatAcl(entries: readonly AclEntry[]): Uint8Array<ArrayBuffer> {
  const size = entries.reduce((sum, { tag }) => sum + storedSize(tag), AclHeader.byteLength);
  const stored = new Uint8Array(size);
  const view = viewOf(stored);
  AclHeader.a_version.set(view, 0, EXT4_ACL_VERSION);
  let at = AclHeader.byteLength;
  for (const { tag, permissions, id } of entries) {
    AclEntryShort.e_tag.set(view, at, tag);
    AclEntryShort.e_perm.set(view, at, permissions);
    if (hasId(tag)) AclEntryLong.e_id.set(view, at, id);
    at += storedSize(tag);
  }
  return stored;
}

function formatPosixAcl(entries: readonly AclEntry[]): Uint8Array<ArrayBuffer> {
  const value = new Uint8Array(AclHeader.byteLength + entries.length * AclEntryLong.byteLength);
  const view = viewOf(value);
  AclHeader.a_version.set(view, 0, POSIX_ACL_XATTR_VERSION);
  for (const [index, { tag, permissions, id }] of entries.entries()) {
    const at = AclHeader.byteLength + index * AclEntryLong.byteLength;
    AclEntryLong.e_tag.set(view, at, tag);
    AclEntryLong.e_perm.set(view, at, permissions);
    AclEntryLong.e_id.set(view, at, id);
  }
  return value;
}

function hasId(tag: number): boolean {
  return tag === AclTag.USER || tag === AclTag.GROUP;
}

/** Bytes of an entry on the disk. */
function storedSize(tag: number): number {
  return hasId(tag) ? AclEntryLong.byteLength : AclEntryShort.byteLength;
}

function invalid(what: string) {
  return fail("EINVAL", `Invalid ACL: ${what}`);
}
