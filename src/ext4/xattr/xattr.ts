/**
 * Extended attributes (kernel documentation: filesystems/ext4/attributes.rst; layout:
 * disk/xattr.ts). They lie behind the fields of the inode, then in one block of their own, and a
 * large value in an inode of its own (ea_inode).
 */

import {
  EXT4_XATTR_INDEX_POSIX_ACL_ACCESS,
  EXT4_XATTR_INDEX_POSIX_ACL_DEFAULT,
  EXT4_XATTR_INDEX_SECURITY,
  EXT4_XATTR_INDEX_TRUSTED,
  EXT4_XATTR_INDEX_USER,
} from "../../disk/xattr.ts";
import { sameBytes } from "../../sys/bytes.ts";
import { atPlace, fail } from "../../sys/fs_error.ts";
import { readValueInode } from "./ea_inode.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { posixAclFromDisk } from "./posix_acl.ts";
import { xattrBlockOf } from "./xattr_block.ts";
import { type XattrEntry, xattrOf } from "./xattr_table.ts";

/** What user space sees of an index: names of other indexes stay hidden. */
const PREFIXES: readonly { readonly index: number; readonly prefix: string }[] = [
  { index: EXT4_XATTR_INDEX_USER, prefix: "user." },
  { index: EXT4_XATTR_INDEX_POSIX_ACL_ACCESS, prefix: "system.posix_acl_access" },
  { index: EXT4_XATTR_INDEX_POSIX_ACL_DEFAULT, prefix: "system.posix_acl_default" },
  { index: EXT4_XATTR_INDEX_TRUSTED, prefix: "trusted." },
  { index: EXT4_XATTR_INDEX_SECURITY, prefix: "security." },
];
const ENCODED_PREFIXES = PREFIXES.map(({ index, prefix }) => ({
  index,
  bytes: new TextEncoder().encode(prefix),
  /** The whole name, not only its beginning. */
  whole: !prefix.endsWith("."),
}));

/** The name of every attribute that user space may see, with its prefix. */
export function listXattrNames(fs: FileSystem, inode: Inode): Uint8Array[] {
  const names: Uint8Array[] = [];
  for (const entry of allEntries(fs, inode)) {
    const prefix = ENCODED_PREFIXES.find(({ index }) => index === entry.nameIndex);
    if (prefix === undefined) continue;
    const name = new Uint8Array(prefix.bytes.length + (prefix.whole ? 0 : entry.name.length));
    name.set(prefix.bytes);
    if (!prefix.whole) name.set(entry.name, prefix.bytes.length);
    names.push(name);
  }
  return names;
}

/**
 * The value of an attribute by its whole name, such as `user.mime_type`, as getxattr(2) gives it;
 * undefined when the file has no such attribute. Throws EOPNOTSUPP for a namespace that ext4 does
 * not have.
 */
export function getXattr(
  fs: FileSystem,
  inode: Inode,
  fullName: Uint8Array,
): Uint8Array<ArrayBuffer> | undefined {
  const { index, name } = splitName(fullName);
  const value = diskXattr(fs, inode, index, name);
  if (value === undefined) return undefined;
  return isAclIndex(index) ? atPlace({ ino: inode.ino }, () => posixAclFromDisk(value)) : value;
}

/** The value of an attribute by index and rest of its name, as it is on the disk, or undefined. */
export function diskXattr(
  fs: FileSystem,
  inode: Inode,
  index: number,
  name: Uint8Array,
): Uint8Array<ArrayBuffer> | undefined {
  const entry = findEntry(fs, inode, index, name);
  if (entry === undefined) return undefined;
  return entry.valueIno === 0 ? entry.value.slice() : readValueInode(fs, inode, entry);
}

/** True when there is an attribute with this index and rest of its name. */
export function hasDiskXattr(
  fs: FileSystem,
  inode: Inode,
  index: number,
  name: Uint8Array,
): boolean {
  return findEntry(fs, inode, index, name) !== undefined;
}

/** True for the two kinds of ACLs, which have another form on the disk than in user space. */
export function isAclIndex(index: number): boolean {
  return index === EXT4_XATTR_INDEX_POSIX_ACL_ACCESS ||
    index === EXT4_XATTR_INDEX_POSIX_ACL_DEFAULT;
}

/**
 * Index and rest of a whole name. Throws EOPNOTSUPP for a namespace that ext4 does not have, EINVAL
 * for the name of one alone.
 */
export function splitName(fullName: Uint8Array): { index: number; name: Uint8Array } {
  const text = () => new TextDecoder().decode(fullName);
  for (const { index, bytes, whole } of ENCODED_PREFIXES) {
    const length = bytes.length;
    if (!sameBytes(fullName.subarray(0, length), bytes)) continue;
    const rest = fullName.length - length;
    if (whole ? rest === 0 : rest > 0) return { index, name: fullName.subarray(length) };
    if (!whole) throw fail("EINVAL", `Extended attribute ${text()}: no name`);
  }
  throw fail("EOPNOTSUPP", `Extended attribute ${text()}: ext4 has no such namespace`);
}

function findEntry(
  fs: FileSystem,
  inode: Inode,
  index: number,
  name: Uint8Array,
): XattrEntry | undefined {
  const inBody = xattrOf(inode.xattrEntries(), index, name);
  if (inBody !== undefined) return inBody;
  const block = xattrBlockOf(fs, inode);
  return block && xattrOf(block.entries, index, name);
}

/** The entries of all attributes, those that user space does not see among them. */
export function* allEntries(fs: FileSystem, inode: Inode): Generator<XattrEntry> {
  yield* inode.xattrEntries();
  const block = xattrBlockOf(fs, inode);
  if (block !== undefined) yield* block.entries;
}
