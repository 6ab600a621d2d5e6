/**
 * Names come into a directory and leave it. What is to be done is found out first, with all that
 * can be wrong with it, and then done:
 *
 *     findRoom -> addName                findEntry -> removeName, replaceName
 *
 * A directory that is full grows: out of its inode, by a block, or by an index over its blocks.
 */

import { EXT4_NAME_LEN } from "../../disk/directory.ts";
import { EXT4_APPEND_FL, EXT4_IMMUTABLE_FL, EXT4_INDEX_FL } from "../../disk/inode.ts";
import { EXT4_ENC_STRICT_MODE_FL, Ext4SuperBlock as Sb } from "../../disk/superblock.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { corrupt, fail, type FsError } from "../../sys/fs_error.ts";
import { isValidUtf8 } from "./casefold.ts";
import { type EntryPlace, searchChain } from "./chain_search.ts";
import {
  directoryBlock,
  directoryBlocks,
  type EntryChain,
  isDotName,
  leafChain,
  recordLength,
} from "./directory_block.ts";
import { appendLeaf, fillHole } from "./directory_growth.ts";
import { type EntryRoom, insertEntry, modifyChain, removeEntry, setTarget } from "./entry_write.ts";
import type { FileSystem } from "../filesystem.ts";
import { continues, HashTree, IndexDamage, leafOf } from "./htree.ts";
import { divideLeaf, makeIndex } from "./htree_write.ts";
import { inlineDirectory } from "./inline_directory.ts";
import { extendInlineDirectory, leaveInlineDirectory } from "./inline_directory_write.ts";
import type { Inode } from "../inode/inode.ts";
import { mapBlocks } from "../map/block_map.ts";
import { isCasefolded } from "./name_hash.ts";
import { type NameQuery, nameQuery } from "./name_query.ts";

/** Where a new name is going to be. Good as long as the directory does not change. */
export interface NameRoom {
  readonly name: Uint8Array;
  readonly query: NameQuery;
  /** Undefined where the directory has to grow first. */
  readonly room: EntryRoom | undefined;
  /** A block that a damaged directory does not have. */
  readonly hole?: number;
  /** The directory is changed as if it had no index, and has none afterwards. */
  readonly givesUpIndex: boolean;
}

const SLASH = 0x2f;

/**
 * Finds the place for a new name. Throws EEXIST, ENAMETOOLONG, EINVAL for what cannot be a name
 * there, ENOENT in a directory that was removed, EPERM in an immutable one, ENOKEY in an encrypted
 * one, and EUCLEAN or EBADMSG.
 */
export function findRoom(fs: FileSystem, dir: Inode, name: Uint8Array): NameRoom {
  requireChangeable(fs, dir);
  requireNewName(fs, dir, name);
  const query = nameQuery(fs, dir, name);
  if (query === undefined) throw fail("EINVAL", "Not a possible name", { ino: dir.ino });
  const room = dir.hasInlineData
    ? roomInline(fs, dir, name, query)
    : roomInBlocks(fs, dir, name, query);
  if (dir.hasFlag(EXT4_IMMUTABLE_FL)) throw notPermitted(dir);
  return room;
}

/** Adds a name that leads to an inode. Throws ENOSPC and EDQUOT where the directory must grow. */
export function addName(
  fs: FileSystem,
  handle: Handle,
  dir: Inode,
  found: NameRoom,
  inode: Inode,
): void {
  if (found.givesUpIndex) {
    fs.modifyInode(handle, dir);
    dir.setFlag(EXT4_INDEX_FL, false);
  }
  const room = found.room ?? makeRoom(fs, handle, dir, found);
  const chain = modifyChain(fs, handle, dir, room.chain);
  insertEntry(fs, chain, room.at, found.name, inode);
  directoryChanged(fs, handle, dir);
}

/** Takes a name away. */
export function removeName(
  fs: FileSystem,
  handle: Handle,
  dir: Inode,
  { chain, at, before }: EntryPlace,
): void {
  requireRemovable(fs, dir);
  removeEntry(fs, modifyChain(fs, handle, dir, chain), at, before);
  directoryChanged(fs, handle, dir);
}

/** Lets a name lead to another inode. */
export function replaceName(
  fs: FileSystem,
  handle: Handle,
  dir: Inode,
  { chain, at }: EntryPlace,
  inode: Inode,
): void {
  requireRemovable(fs, dir);
  setTarget(fs, modifyChain(fs, handle, dir, chain), at, inode);
  directoryChanged(fs, handle, dir);
}

/** Throws EPERM where names can only be added, or not even that. */
export function requireRemovable(fs: FileSystem, dir: Inode): void {
  requireChangeable(fs, dir);
  if (dir.hasFlag(EXT4_IMMUTABLE_FL | EXT4_APPEND_FL)) throw notPermitted(dir);
}

function notPermitted(dir: Inode): FsError {
  return fail("EPERM", "The names of the directory are protected", { ino: dir.ino });
}

function requireChangeable({ superblock }: FileSystem, dir: Inode): void {
  const { ino } = dir;
  if (!dir.isDirectory) throw fail("ENOTDIR", "Not a directory", { ino });
  if (dir.linksCount === 0) throw fail("ENOENT", "The directory was removed", { ino });
  // What looks like free space to whoever does not know the index has checksums of another kind.
  if (dir.hasFlag(EXT4_INDEX_FL) && superblock.hasMetadataChecksums) {
    if (!superblock.features.has("dir_index")) {
      throw corrupt("directory: an index on a file system without dir_index", { ino });
    }
  }
}

function requireNewName(fs: FileSystem, dir: Inode, name: Uint8Array): void {
  const { ino } = dir;
  if (dir.isEncrypted) throw fail("ENOKEY", "The names of the directory are encrypted", { ino });
  if (name.length > EXT4_NAME_LEN) {
    throw fail("ENAMETOOLONG", `A name of ${name.length} bytes`, { ino });
  }
  if (isDotName(name)) throw fail("EEXIST", "Every directory has . and ..", { ino });
  if (name.length === 0 || name.includes(SLASH) || name.includes(0)) {
    throw fail("EINVAL", "Not a possible name", { ino });
  }
  const isStrict = (Sb.s_encoding_flags.get(fs.superblock.view, 0) & EXT4_ENC_STRICT_MODE_FL) !== 0;
  if (isStrict && isCasefolded(fs, dir) && !isValidUtf8(name)) {
    throw fail("EINVAL", "A name that is not UTF-8", { ino });
  }
}

// ---------------------------------------------------------------- finding

function roomInline(
  fs: FileSystem,
  dir: Inode,
  name: Uint8Array,
  query: NameQuery,
): NameRoom {
  const [, ...chains] = inlineDirectory(fs, dir);
  let room: EntryRoom | undefined;
  for (const { chain } of chains) {
    const here = roomInChain(fs, dir, chain, name, query);
    room ??= here;
  }
  return { name, query, room, givesUpIndex: false };
}

function roomInBlocks(
  fs: FileSystem,
  dir: Inode,
  name: Uint8Array,
  query: NameQuery,
): NameRoom {
  if (!dir.hasFlag(EXT4_INDEX_FL)) return roomInOrder(fs, dir, name, query, false);
  if (!fs.superblock.features.has("dir_index")) return roomInOrder(fs, dir, name, query, true);
  try {
    return { name, query, room: roomByHash(fs, dir, name, query), givesUpIndex: false };
  } catch (error) {
    // Its blocks would have the wrong checksums without it.
    if (!(error instanceof IndexDamage) || fs.superblock.hasMetadataChecksums) throw error;
    fs.report(error);
    return roomInOrder(fs, dir, name, query, true);
  }
}

/** All leaves that names of this hash can be in are searched; the first of them is to have it. */
function roomByHash(
  fs: FileSystem,
  dir: Inode,
  name: Uint8Array,
  query: NameQuery,
): EntryRoom | undefined {
  const tree = new HashTree(fs, dir);
  const hash = query.hash(tree.hashVersion);
  const path = tree.descend(hash);
  const room = roomInChain(fs, dir, indexedLeaf(fs, dir, leafOf(path)), name, query);
  while (tree.advance(path) && continues(path, hash)) {
    roomInChain(fs, dir, indexedLeaf(fs, dir, leafOf(path)), name, query);
  }
  return room;
}

function indexedLeaf(fs: FileSystem, dir: Inode, fileBlock: number): EntryChain {
  const block = directoryBlock(fs, dir, fileBlock);
  if (block === undefined || fileBlock === 0) {
    throw corrupt(`directory index: file block ${fileBlock} is no leaf`, { ino: dir.ino });
  }
  return leafChain(fs, dir, block);
}

function roomInOrder(
  fs: FileSystem,
  dir: Inode,
  name: Uint8Array,
  query: NameQuery,
  givesUpIndex: boolean,
): NameRoom {
  let room: EntryRoom | undefined;
  let hole: number | undefined;
  const count = directoryBlocks(fs, dir);
  if (count === 0) throw corrupt("directory: it has no blocks", { ino: dir.ino });
  for (let fileBlock = 0; fileBlock < count;) {
    const mapping = mapBlocks(fs, dir, fileBlock, count - fileBlock);
    if (mapping.kind === "mapped") {
      fs.cache.willRead(mapping.physicalBlock, mapping.count);
      for (let index = 0; index < mapping.count; index++) {
        const chain = leafChain(fs, dir, fs.cache.read(mapping.physicalBlock + index));
        const here = roomInChain(fs, dir, chain, name, query);
        room ??= here;
      }
    } else if (mapping.kind === "hole") hole ??= fileBlock;
    fileBlock += mapping.count;
  }
  return { name, query, room, hole, givesUpIndex };
}

/** Throws EEXIST when the name is there. */
function roomInChain(
  fs: FileSystem,
  dir: Inode,
  chain: EntryChain,
  name: Uint8Array,
  query: NameQuery,
): EntryRoom | undefined {
  const { found, room } = searchChain(fs, dir, chain, query, recordLength(name.length));
  if (found >= 0) throw fail("EEXIST", "The name exists", { ino: dir.ino });
  return room < 0 ? undefined : { chain, at: room };
}

// ---------------------------------------------------------------- growing

function makeRoom(fs: FileSystem, handle: Handle, dir: Inode, found: NameRoom): EntryRoom {
  const { query, hole } = found;
  if (dir.hasInlineData) return leaveFullInode(fs, handle, dir, found);
  if (dir.hasFlag(EXT4_INDEX_FL)) return divideLeaf(fs, handle, dir, query);
  if (hole !== undefined) return { chain: fillHole(fs, handle, dir, hole), at: 0 };
  const canHaveIndex = fs.superblock.features.has("dir_index") && !found.givesUpIndex;
  if (canHaveIndex && directoryBlocks(fs, dir) === 1) {
    makeIndex(fs, handle, dir);
    return divideLeaf(fs, handle, dir, query);
  }
  return { chain: appendLeaf(fs, handle, dir), at: 0 };
}

function leaveFullInode(fs: FileSystem, handle: Handle, dir: Inode, found: NameRoom): EntryRoom {
  const { name, query } = found;
  if (extendInlineDirectory(fs, handle, dir)) {
    const { room } = roomInline(fs, dir, name, query);
    if (room !== undefined) return room;
  }
  const chain = leaveInlineDirectory(fs, handle, dir);
  return roomInChain(fs, dir, chain, name, query) ?? makeRoom(fs, handle, dir, found);
}

function directoryChanged(fs: FileSystem, handle: Handle, dir: Inode): void {
  fs.modifyInode(handle, dir);
  const now = fs.writing.now();
  dir.mtime = now;
  dir.ctime = now;
  dir.bumpVersion();
  if (dir.hasFlag(EXT4_INDEX_FL) && !fs.superblock.features.has("dir_index")) {
    dir.setFlag(EXT4_INDEX_FL, false);
  }
}
