/**
 * Extended attributes (kernel documentation: filesystems/ext4/attributes.rst; layout:
 * disk/xattr.ts). They lie behind the fields of the inode, then in one block of their own, and a
 * large value in an inode of its own (ea_inode).
 */

import type { Block } from "../block/block_cache.ts";
import { crc32c } from "../disk/crc32c.ts";
import { EXT4_EA_INODE_FL, Ext4Inode } from "../disk/inode.ts";
import {
  EXT4_XATTR_INDEX_POSIX_ACL_ACCESS,
  EXT4_XATTR_INDEX_POSIX_ACL_DEFAULT,
  EXT4_XATTR_INDEX_SECURITY,
  EXT4_XATTR_INDEX_TRUSTED,
  EXT4_XATTR_INDEX_USER,
  EXT4_XATTR_MAGIC,
  Ext4XattrHeader as Header,
} from "../disk/xattr.ts";
import { atPlace, badChecksum, corrupt, fail } from "../sys/fs_error.ts";
import { crc32cOfU64, crc32cOfZeros } from "./checksum.ts";
import { readRaw } from "./file.ts";
import type { FileSystem } from "./filesystem.ts";
import type { Inode } from "./inode.ts";
import { posixAclFromDisk } from "./posix_acl.ts";
import { claim, Kind } from "./verified.ts";
import { parseXattrTable, sameBytes, type XattrEntry } from "./xattr_table.ts";

/** Largest value that the VFS lets through (XATTR_SIZE_MAX). */
const MAX_VALUE_SIZE = 65536;

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
  const isAcl = index === EXT4_XATTR_INDEX_POSIX_ACL_ACCESS ||
    index === EXT4_XATTR_INDEX_POSIX_ACL_DEFAULT;
  return isAcl ? atPlace({ ino: inode.ino }, () => posixAclFromDisk(value)) : value;
}

/** The value of an attribute by index and rest of its name, as it is on the disk, or undefined. */
export function diskXattr(
  fs: FileSystem,
  inode: Inode,
  index: number,
  name: Uint8Array,
): Uint8Array<ArrayBuffer> | undefined {
  const entry = findEntry(fs, inode, index, name);
  return entry === undefined ? undefined : entryValue(fs, inode, entry);
}

function splitName(fullName: Uint8Array): { index: number; name: Uint8Array } {
  for (const { index, bytes, whole } of ENCODED_PREFIXES) {
    const length = bytes.length;
    if (!sameBytes(fullName.subarray(0, length), bytes)) continue;
    const rest = fullName.length - length;
    if (whole ? rest === 0 : rest > 0) return { index, name: fullName.subarray(length) };
  }
  const text = new TextDecoder().decode(fullName);
  throw fail("EOPNOTSUPP", `Extended attribute ${text}: ext4 has no such namespace`);
}

function findEntry(
  fs: FileSystem,
  inode: Inode,
  index: number,
  name: Uint8Array,
): XattrEntry | undefined {
  for (const entry of allEntries(fs, inode)) {
    if (entry.nameIndex === index && sameBytes(entry.name, name)) return entry;
  }
  return undefined;
}

/** The entries of all attributes, those that user space does not see among them. */
export function* allEntries(fs: FileSystem, inode: Inode): Generator<XattrEntry> {
  yield* inode.xattrEntries();
  if (inode.fileAcl !== 0) yield* blockEntries(fs, inode);
}

function blockEntries(fs: FileSystem, inode: Inode): XattrEntry[] {
  const place = { ino: inode.ino, block: inode.fileAcl };
  if (inode.fileAcl <= fs.superblock.firstDataBlock || inode.fileAcl >= fs.superblock.blocksCount) {
    throw corrupt("attribute block: outside the file system", place);
  }
  const block = fs.cache.read(inode.fileAcl);
  const { view } = block;
  // Files share attribute blocks, so the checksum takes in the block number and no inode.
  const seen = claim(Kind.XATTR_BLOCK, 0);
  if (block.verifiedAs !== seen) {
    if (Header.h_magic.get(view, 0) !== EXT4_XATTR_MAGIC || Header.h_blocks.get(view, 0) !== 1) {
      throw corrupt("attribute block: bad header", place);
    }
    verifyBlock(fs, inode, block);
    block.verifiedAs = seen;
  }
  return parseXattrTable(
    block,
    Header.byteLength,
    0,
    place,
    fs.superblock.features,
  );
}

function verifyBlock(fs: FileSystem, inode: Inode, block: Block): void {
  if (!fs.superblock.hasMetadataChecksums) return;
  const field = Header.h_checksum;
  let crc = crc32cOfU64(fs.superblock.checksumSeed, block.number);
  crc = crc32c(crc, block.bytes, 0, field.offset);
  crc = crc32cOfZeros(crc, field.size);
  crc = crc32c(crc, block.bytes, field.offset + field.size);
  if (crc !== field.get(block.view, 0)) {
    throw badChecksum("the attribute block", { ino: inode.ino, block: block.number });
  }
}

function entryValue(
  fs: FileSystem,
  inode: Inode,
  entry: XattrEntry,
): Uint8Array<ArrayBuffer> {
  if (entry.valueIno === 0) return entry.value.slice();
  const place = { ino: entry.valueIno };
  const holder = fs.ownInode(entry.valueIno, "attribute value");
  if (!holder.hasFlag(EXT4_EA_INODE_FL) || !holder.isRegular) {
    throw corrupt(`attribute value: not a value inode, named by inode ${inode.ino}`, place);
  }
  if (entry.valueSize > MAX_VALUE_SIZE || holder.size !== entry.valueSize) {
    throw corrupt(`attribute value: ${holder.size} bytes instead of ${entry.valueSize}`, place);
  }
  const value = readRaw(fs, holder, 0, entry.valueSize);
  verifyValue(fs, inode, holder, value);
  return value;
}

/**
 * A value inode keeps a crc32c of its value in place of its atime. One of the older, unshared kind
 * names its owner in place of its mtime and has no checksum.
 */
function verifyValue(fs: FileSystem, owner: Inode, holder: Inode, value: Uint8Array): void {
  const ownerIno = Ext4Inode.i_mtime.get(holder.view, 0);
  if (ownerIno === owner.ino && holder.generation === owner.generation) return;
  const stored = Ext4Inode.i_atime.get(holder.view, 0);
  const computed = crc32c(fs.superblock.checksumSeed, value);
  if (stored !== computed) throw badChecksum("the attribute value", { ino: holder.ino });
}
