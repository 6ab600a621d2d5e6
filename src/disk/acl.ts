/**
 * POSIX ACLs (acl(5)) as the value of an extended attribute: ext4's form on the disk (kernel
 * documentation: filesystems/ext4/attributes.rst), and the form of getxattr(2) and setxattr(2).
 *
 *     on the disk:  version 1 (4) | tag (2) permissions (2) [id (4)] ...   id for USER and GROUP only
 *     user space:   version 2 (4) | tag (2) permissions (2)  id (4)  ...
 */

import { struct, u16, u32 } from "./struct.ts";

export const EXT4_ACL_VERSION = 1;
export const POSIX_ACL_XATTR_VERSION = 2;

/** The id of an entry that has none. */
export const ACL_UNDEFINED_ID = 0xffffffff;

/** e_tag: whose permissions an entry tells. */
export const AclTag = {
  /** The owner of the file. */
  USER_OBJ: 0x01,
  /** The user with this id. */
  USER: 0x02,
  /** The group of the file. */
  GROUP_OBJ: 0x04,
  /** The group with this id. */
  GROUP: 0x08,
  /** The most that USER, GROUP_OBJ and GROUP entries can give. */
  MASK: 0x10,
  OTHER: 0x20,
} as const;

/** Both forms begin with their version. */
export const AclHeader = struct("ext4_acl_header", 4, {
  a_version: u32,
});

/** An entry in user space, and one of USER or GROUP on the disk. */
export const AclEntryLong = struct("ext4_acl_entry", 8, {
  e_tag: u16,
  /** rwx as 4, 2, 1. */
  e_perm: u16,
  e_id: u32,
});

/** Any other entry on the disk. */
export const AclEntryShort = struct("ext4_acl_entry_short", 4, {
  e_tag: u16,
  e_perm: u16,
});
