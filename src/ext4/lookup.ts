/** Finding a name in a directory. */

import { EXT4_NAME_LEN, Ext4DirEntry2 as Entry } from "../disk/directory.ts";
import { EXT4_EA_INODE_FL, EXT4_INDEX_FL, EXT4_ROOT_INO } from "../disk/inode.ts";
import { corrupt, fail } from "../sys/fs_error.ts";
import { foldName } from "./casefold.ts";
import { directoryChains } from "./directory.ts";
import {
  directoryBlock,
  type EntryChain,
  entryLength,
  entryName,
  isDotName,
  leafChain,
} from "./directory_block.ts";
import { parseNoKeyName } from "./encryption.ts";
import type { FileSystem } from "./filesystem.ts";
import { HashTree, IndexDamage } from "./htree.ts";
import type { Inode } from "./inode.ts";
import { isCasefolded, nameHasher } from "./name_hash.ts";

/** What is looked for: how to tell a stored name, and its hash when there is one to go by. */
interface NameQuery {
  matches(stored: Uint8Array): boolean;
  hash(version: number): number;
}

/**
 * The inode number behind a name, or undefined. Names of encrypted directories are given in their
 * no-key form. Throws ENOTDIR, ENAMETOOLONG, and EUCLEAN or EBADMSG for a damaged directory.
 */
export function lookup(fs: FileSystem, dir: Inode, name: Uint8Array): number | undefined {
  if (!dir.isDirectory) throw fail("ENOTDIR", "Cannot look up in a file", { ino: dir.ino });
  if (name.length > EXT4_NAME_LEN) {
    throw fail("ENAMETOOLONG", `A name of ${name.length} bytes`, { ino: dir.ino });
  }
  const query = nameQuery(fs, dir, name);
  if (query === undefined) return undefined;
  const indexed = dir.hasFlag(EXT4_INDEX_FL) && fs.superblock.features.has("dir_index");
  if (indexed && !dir.hasInlineData && !isDotName(name)) {
    try {
      return lookupByHash(fs, dir, new HashTree(fs, dir), query);
    } catch (error) {
      // Without its index the directory can still be searched; without a leaf it can't.
      if (!(error instanceof IndexDamage)) throw error;
      fs.report(error);
    }
  }
  return lookupInOrder(fs, dir, query);
}

/**
 * The inode behind a name, or undefined. As lookup, and EUCLEAN for a name that leads to an inode
 * that is not in use or not meant to have names.
 */
export function namedInode(fs: FileSystem, dir: Inode, name: Uint8Array): Inode | undefined {
  const ino = lookup(fs, dir, name);
  return ino === undefined ? undefined : entryInode(fs, dir, ino);
}

/** The inode that an entry of `dir` names. */
export function entryInode(fs: FileSystem, dir: Inode, ino: number): Inode {
  const inode = fs.ownInode(ino, `directory ${dir.ino}, one of its entries`);
  const reserved = ino < fs.superblock.firstInode && ino !== EXT4_ROOT_INO;
  if (reserved || inode.hasFlag(EXT4_EA_INODE_FL)) {
    throw corrupt(`directory ${dir.ino}: an entry names an inode of the file system's own`, {
      ino,
    });
  }
  return inode;
}

function nameQuery(fs: FileSystem, dir: Inode, name: Uint8Array): NameQuery | undefined {
  if (dir.isEncrypted && !isDotName(name)) {
    const parsed = parseNoKeyName(name);
    if (parsed === undefined) return undefined;
    return { matches: (stored) => parsed.matches(stored), hash: () => parsed.hash };
  }
  const hash = (version: number) => nameHasher(fs, dir, version)(name).major;
  const same = (stored: Uint8Array) => sameName(stored, name);
  const folded = isCasefolded(fs, dir) ? foldName(name) : undefined;
  if (folded === undefined) return { matches: same, hash };
  return {
    matches: (stored) => {
      if (same(stored)) return true;
      const other = foldName(stored);
      return other !== undefined && sameName(other, folded);
    },
    hash,
  };
}

function lookupByHash(
  fs: FileSystem,
  dir: Inode,
  tree: HashTree,
  query: NameQuery,
): number | undefined {
  const hash = query.hash(tree.hashVersion);
  let first = true;
  for (const leaf of tree.leavesFrom(hash)) {
    const continues = leaf.hash % 2 === 1 && leaf.hash - 1 === hash;
    if (!first && !continues) return undefined;
    first = false;
    const block = directoryBlock(fs, dir, leaf.fileBlock);
    if (block === undefined) continue;
    const found = searchChain(fs, dir, leafChain(fs, dir, block), query);
    if (found !== undefined) return found;
  }
  return undefined;
}

function lookupInOrder(fs: FileSystem, dir: Inode, query: NameQuery): number | undefined {
  for (const { chain } of directoryChains(fs, dir, 0)) {
    const found = searchChain(fs, dir, chain, query);
    if (found !== undefined) return found;
  }
  return undefined;
}

function searchChain(
  fs: FileSystem,
  dir: Inode,
  chain: EntryChain,
  query: NameQuery,
): number | undefined {
  for (let at = chain.start; at < chain.end;) {
    const length = entryLength(fs, dir, chain, at);
    const ino = Entry.inode.get(chain.view, at);
    if (ino !== 0 && query.matches(entryName(chain, at))) return ino;
    at += length;
  }
  return undefined;
}

function sameName(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let index = 0; index < a.length; index++) {
    if (a[index] !== b[index]) return false;
  }
  return true;
}
