/**
 * Setting and removing extended attributes in an operation (layout: xattr.ts). An attribute goes
 * into the inode's record when it fits there, else into the attribute block, else, with ea_inode,
 * its value goes into an inode of its own. Which is tried first is as for the kernel.
 *
 * Inode, block, and value become durable together.
 */

import { EXT4_XATTR_ROUND } from "../../disk/xattr.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { sameBytes } from "../../sys/bytes.ts";
import { fail, FsError } from "../../sys/fs_error.ts";
import { valueInode, XATTR_SIZE_MAX } from "./ea_inode.ts";
import { addReference, dropReference, refundValue, storeValueInode } from "./ea_inode_write.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { setFeature } from "../superblock/superblock_write.ts";
import { xattrBlockOf } from "./xattr_block.ts";
import {
  blockTableSize,
  fitsIntoBlock,
  storeBlockEntries,
  xattrBlockUsers,
} from "./xattr_block_write.ts";
import { bodyTableSize, storeBodyEntries } from "./xattr_body.ts";
import { entryHash } from "./xattr_hash.ts";
import {
  findXattr,
  roundUp,
  type XattrEntry,
  xattrEntrySize,
  xattrOf,
  xattrTableSize,
} from "./xattr_table.ts";

/** A name without its prefix. */
const XATTR_NAME_MAX = 255;
/** A value that does not fit into a block with a name of this length goes into an inode at once. */
const SHORT_NAME = 3;
/** Values that one operation lets go of: each may take many blocks of the journal. */
const MOST_DROPPED = 16;
/** With ea_inode, a block keeps so much of its room, and at most so many bytes, for names. */
const RESERVED_SHARE = 8;
const RESERVED_MOST = 1024;

/** The attributes of an inode, in the two places. */
interface Entries {
  readonly body: readonly XattrEntry[];
  readonly block: readonly XattrEntry[];
}

interface Tables extends Entries {
  /** Other files use the block, too. */
  readonly isShared: boolean;
}

/**
 * Sets or, with undefined, removes one attribute, by index and rest of its name, in an operation.
 * Throws ENOSPC when it does not fit, ERANGE for a longer name, E2BIG for a longer value, EDQUOT.
 */
export function storeXattr(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  index: number,
  name: Uint8Array,
  value: Uint8Array | undefined,
): void {
  requireSizes(name, value);
  const tables = tablesOf(fs, inode);
  const { body, block } = tables;
  const old = xattrOf(body, index, name) ?? xattrOf(block, index, name);
  if (value === undefined ? old === undefined : old !== undefined && hasValue(old, value)) return;
  fs.modifyInode(handle, inode);
  const next = value === undefined
    ? { body: without(body, index, name), block: without(block, index, name) }
    : withEntry(fs, handle, inode, tables, plainEntry(index, name, value));
  storeTables(fs, handle, inode, tables, next);
  setFeature(fs, handle, "ext_attr", true);
  inode.ctime = fs.writing.now();
}

/**
 * Lets go of what the attributes of an inode that is about to be freed hold outside of it. False
 * when it has to be called again, in another operation, as there is too much for one.
 */
export function dropXattrs(fs: FileSystem, handle: Handle, inode: Inode): boolean {
  if (inode.fileAcl === 0 && !fs.superblock.features.has("ea_inode")) return true;
  const tables = tablesOf(fs, inode);
  const { body, block, isShared } = tables;
  const holdsValue = ({ valueIno }: XattrEntry) => valueIno !== 0;
  const values = [...body, ...(isShared ? [] : block)].filter(holdsValue);
  if (values.length <= MOST_DROPPED) {
    const rest = { body: filtered(body, (entry) => !holdsValue(entry)), block: [] };
    storeTables(fs, handle, inode, tables, rest, reportDamage);
    return true;
  }
  const dropped = new Set(values.slice(0, MOST_DROPPED));
  const isKept = (entry: XattrEntry) => !dropped.has(entry);
  const rest = { body: filtered(body, isKept), block: isShared ? block : filtered(block, isKept) };
  storeTables(fs, handle, inode, tables, rest, reportDamage);
  return false;
}

function tablesOf(fs: FileSystem, inode: Inode): Tables {
  const block = xattrBlockOf(fs, inode);
  return {
    body: inode.xattrEntries(),
    block: block?.entries ?? [],
    isShared: block !== undefined && xattrBlockUsers(block) > 1,
  };
}

/** The tables with an entry, wherever it fits. Its value may be in an inode then. */
function withEntry(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  tables: Tables,
  entry: XattrEntry,
): Entries {
  const mayBeInInode = fs.superblock.features.has("ea_inode") && entry.value.length > 0;
  const most = blockTableSize(fs) - xattrEntrySize(SHORT_NAME, 0) - EXT4_XATTR_ROUND;
  const isLarge = mayBeInInode && roundUp(entry.value.length) > most;
  const place = isLarge ? undefined : placed(fs, inode, tables, entry);
  if (place !== undefined) return place;
  const withoutValue = { ...entry, value: entry.value.subarray(0, 0) };
  if (mayBeInInode && placed(fs, inode, tables, withoutValue) !== undefined) {
    return placed(fs, inode, tables, storeValueInode(fs, handle, inode, entry))!;
  }
  throw fail("ENOSPC", "No room for the extended attribute", { ino: inode.ino });
}

/** The tables with an entry in the inode's record or, where there is no room, in the block. */
function placed(
  fs: FileSystem,
  inode: Inode,
  { body, block }: Tables,
  entry: XattrEntry,
): Entries | undefined {
  const { nameIndex, name, value } = entry;
  const nextBody = replaced(body, entry);
  if (xattrTableSize(nextBody) <= bodyTableSize(inode)) {
    return { body: nextBody, block: without(block, nameIndex, name) };
  }
  const hash = entry.valueIno === 0 ? entryHash(name, value) : entry.hash;
  const nextBlock = replaced(block, { ...entry, hash });
  if (!fitsIntoBlock(fs, nextBlock)) return undefined;
  if (value.length > 0 && !leavesRoomForNames(fs, nextBlock)) return undefined;
  return { body: without(body, nameIndex, name), block: nextBlock };
}

/** Names of which the values lie elsewhere still need room in the block. */
function leavesRoomForNames(fs: FileSystem, block: readonly XattrEntry[]): boolean {
  if (!fs.superblock.features.has("ea_inode")) return true;
  const values = block.reduce((sum, { value }) => sum + roundUp(value.length), 0);
  return values <= fs.blockSize - Math.min(fs.blockSize / RESERVED_SHARE, RESERVED_MOST);
}

/** Writes what changed, and lets go of values that no entry refers to any more. */
function storeTables(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  before: Tables,
  after: Entries,
  isUsable: IsUsable = requireUsable,
): void {
  for (const entry of goneValues(before.body, after.body)) {
    if (!isUsable(fs, inode, entry)) continue;
    refundValue(fs, handle, inode, entry);
    dropReference(fs, handle, inode, entry);
  }
  for (const entry of goneValues(before.block, after.block)) {
    if (!isUsable(fs, inode, entry)) continue;
    refundValue(fs, handle, inode, entry);
    // The shared block stays, and goes on referring to it.
    if (!before.isShared) dropReference(fs, handle, inode, entry);
  }
  if (before.body !== after.body) storeBodyEntries(fs, handle, inode, after.body);
  if (before.block === after.block) return;
  if (before.isShared) {
    // What is kept will be in two blocks.
    const kept = before.block.filter((entry) =>
      entry.valueIno !== 0 && after.block.includes(entry)
    );
    for (const entry of kept) addReference(fs, handle, inode, entry);
  }
  storeBlockEntries(fs, handle, inode, after.block);
}

/** Whether a value inode can be let go of. */
type IsUsable = (fs: FileSystem, owner: Inode, entry: XattrEntry) => boolean;

function requireUsable(fs: FileSystem, owner: Inode, entry: XattrEntry): boolean {
  valueInode(fs, owner, entry);
  return true;
}

/** What nobody will ever ask for again is left to e2fsck when it is damaged. */
function reportDamage(fs: FileSystem, owner: Inode, entry: XattrEntry): boolean {
  try {
    return requireUsable(fs, owner, entry);
  } catch (error) {
    if (!(error instanceof FsError) || !error.isCorruption) throw error;
    fs.report(error);
    return false;
  }
}

/** Entries with a value in an inode that are not kept. */
function goneValues(
  before: readonly XattrEntry[],
  after: readonly XattrEntry[],
): readonly XattrEntry[] {
  if (before === after) return [];
  return before.filter((entry) => entry.valueIno !== 0 && !after.includes(entry));
}

/** The entries with one in place of the one with its name, or at the end. */
function replaced(entries: readonly XattrEntry[], entry: XattrEntry): readonly XattrEntry[] {
  const at = findXattr(entries, entry.nameIndex, entry.name);
  return at < 0 ? [...entries, entry] : entries.with(at, entry);
}

/** The same array when all entries are kept. */
function filtered(
  entries: readonly XattrEntry[],
  isKept: (entry: XattrEntry) => boolean,
): readonly XattrEntry[] {
  return entries.every(isKept) ? entries : entries.filter(isKept);
}

/** The same array when there is no such entry. */
function without(
  entries: readonly XattrEntry[],
  index: number,
  name: Uint8Array,
): readonly XattrEntry[] {
  const at = findXattr(entries, index, name);
  return at < 0 ? entries : entries.toSpliced(at, 1);
}

function plainEntry(nameIndex: number, name: Uint8Array, value: Uint8Array): XattrEntry {
  return {
    nameIndex,
    name: name.slice(),
    value: value.slice(),
    valueSize: value.length,
    valueIno: 0,
    hash: 0,
  };
}

function hasValue(entry: XattrEntry, value: Uint8Array): boolean {
  return entry.valueIno === 0 && sameBytes(entry.value, value);
}

function requireSizes(name: Uint8Array, value: Uint8Array | undefined): void {
  if (name.length > XATTR_NAME_MAX) {
    throw fail("ERANGE", `Name of ${name.length} bytes for an extended attribute`);
  }
  if (value !== undefined && value.length > XATTR_SIZE_MAX) {
    throw fail("E2BIG", `Value of ${value.length} bytes for an extended attribute`);
  }
}
