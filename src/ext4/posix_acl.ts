/**
 * POSIX ACLs: from ext4's form to the one of user space (acl(5); kernel documentation:
 * filesystems/ext4/attributes.rst).
 *
 *     on the disk:  version 1 (4) | tag (2) permissions (2) [id (4)] ...   id for USER and GROUP only
 *     user space:   version 2 (4) | tag (2) permissions (2)  id (4)  ...
 */

import { corrupt } from "../sys/fs_error.ts";

const DISK_VERSION = 1;
const USER_SPACE_VERSION = 2;
const HEADER_SIZE = 4;
const SHORT_ENTRY_SIZE = 4;
const ENTRY_SIZE = 8;
/** The id of an entry that has none. */
const NO_ID = 0xffffffff;

export const AclTag = {
  USER_OBJ: 0x01,
  USER: 0x02,
  GROUP_OBJ: 0x04,
  GROUP: 0x08,
  MASK: 0x10,
  OTHER: 0x20,
} as const;

export interface AclEntry {
  /** One of AclTag. */
  readonly tag: number;
  /** rwx as 4, 2, 1. */
  readonly permissions: number;
  /** uid or gid of USER and GROUP, 0xffffffff otherwise. */
  readonly id: number;
}

/** The entries of an ACL as it is on the disk. Throws EUCLEAN. */
export function parseAcl(stored: Uint8Array): AclEntry[] {
  const view = new DataView(stored.buffer, stored.byteOffset, stored.length);
  if (stored.length < HEADER_SIZE || view.getUint32(0, true) !== DISK_VERSION) {
    throw corrupt("ACL: unknown version");
  }
  const entries: AclEntry[] = [];
  for (let at = HEADER_SIZE; at < stored.length;) {
    if (at + SHORT_ENTRY_SIZE > stored.length) throw corrupt("ACL: cut off");
    const tag = view.getUint16(at, true);
    const permissions = view.getUint16(at + 2, true);
    const hasId = tag === AclTag.USER || tag === AclTag.GROUP;
    const size = hasId ? ENTRY_SIZE : SHORT_ENTRY_SIZE;
    if (at + size > stored.length) throw corrupt("ACL: cut off");
    if (!hasId && !KNOWN_TAGS.has(tag)) throw corrupt(`ACL: tag 0x${tag.toString(16)}`);
    entries.push({ tag, permissions, id: hasId ? view.getUint32(at + 4, true) : NO_ID });
    at += size;
  }
  return entries;
}

const KNOWN_TAGS: ReadonlySet<number> = new Set(Object.values(AclTag));

/** The value that getxattr(2) gives for an ACL. Throws EUCLEAN. */
export function posixAclFromDisk(stored: Uint8Array): Uint8Array<ArrayBuffer> {
  const entries = parseAcl(stored);
  const value = new Uint8Array(HEADER_SIZE + entries.length * ENTRY_SIZE);
  const view = new DataView(value.buffer);
  view.setUint32(0, USER_SPACE_VERSION, true);
  for (const [index, { tag, permissions, id }] of entries.entries()) {
    const at = HEADER_SIZE + index * ENTRY_SIZE;
    view.setUint16(at, tag, true);
    view.setUint16(at + 2, permissions, true);
    view.setUint32(at + 4, id, true);
  }
  return value;
}
