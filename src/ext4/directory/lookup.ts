/** Finding a name in a directory. */

import { EXT4_NAME_LEN, Ext4DirEntry2 as Entry } from "../../disk/directory.ts";
import { EXT4_EA_INODE_FL, EXT4_INDEX_FL, EXT4_ROOT_INO } from "../../disk/inode.ts";
import { Ext4SuperBlock as Sb } from "../../disk/superblock.ts";
import { corrupt, fail } from "../../sys/fs_error.ts";
import { type EntryPlace, searchChain } from "./chain_search.ts";
import { directoryChains } from "./directory.ts";
import { directoryBlock, type EntryChain, isDotName, leafChain } from "./directory_block.ts";
import type { FileSystem } from "../filesystem.ts";
import { continues, HashTree, IndexDamage, leafOf } from "./htree.ts";
import type { Inode } from "../inode/inode.ts";
import { type NameQuery, nameQuery } from "./name_query.ts";

/** Files that the superblock names, beside the inodes with reserved numbers. */
const OWN_FILES = [
  Sb.s_usr_quota_inum,
  Sb.s_grp_quota_inum,
  Sb.s_prj_quota_inum,
  Sb.s_orphan_file_inum,
];

/**
 * The inode number behind a name, or undefined. Names of encrypted directories are given in their
 * no-key form. Throws ENOTDIR, ENAMETOOLONG, and EUCLEAN or EBADMSG for a damaged directory.
 */
export function lookup(fs: FileSystem, dir: Inode, name: Uint8Array): number | undefined {
  const place = findEntry(fs, dir, name);
  return place && Entry.inode.get(place.chain.view, place.at);
}

/** Where the entry of a name is, or undefined. As lookup. */
export function findEntry(fs: FileSystem, dir: Inode, name: Uint8Array): EntryPlace | undefined {
  if (!dir.isDirectory) throw fail("ENOTDIR", "Cannot look up in a file", { ino: dir.ino });
  if (name.length > EXT4_NAME_LEN) {
    throw fail("ENAMETOOLONG", `A name of ${name.length} bytes`, { ino: dir.ino });
  }
  const query = nameQuery(fs, dir, name);
  if (query === undefined) return undefined;
  const indexed = dir.hasFlag(EXT4_INDEX_FL) && fs.superblock.features.has("dir_index");
  if (indexed && !dir.hasInlineData && !isDotName(name)) {
    try {
      return findByHash(fs, dir, query);
    } catch (error) {
      // Without its index the directory can still be searched; without a leaf it can't.
      if (!(error instanceof IndexDamage)) throw error;
      fs.report(error);
    }
  }
  return findInOrder(fs, dir, query);
}

/**
 * The inode behind a name, or undefined. As lookup, and EUCLEAN for a name that leads to an inode
 * that is not in use or not meant to have names.
 */
export function namedInode(fs: FileSystem, dir: Inode, name: Uint8Array): Inode | undefined {
  return placedInode(fs, dir, name)?.inode;
}

/** The inode behind a name, and where the entry is. As namedInode. */
export function placedInode(
  fs: FileSystem,
  dir: Inode,
  name: Uint8Array,
): { readonly place: EntryPlace; readonly inode: Inode } | undefined {
  const place = findEntry(fs, dir, name);
  if (place === undefined) return undefined;
  return { place, inode: entryInode(fs, dir, Entry.inode.get(place.chain.view, place.at)) };
}

/** The inode that an entry of `dir` names. */
export function entryInode(fs: FileSystem, dir: Inode, ino: number): Inode {
  const inode = fs.ownInode(ino, `directory ${dir.ino}, one of its entries`);
  if (isOrdinary(fs, inode)) return inode;
  throw corrupt(`directory ${dir.ino}: an entry names an inode of the file system's own`, { ino });
}

/** False for an inode that is the file system's own: nobody may have it as a file. */
export function isOrdinary({ superblock }: FileSystem, inode: Inode): boolean {
  const { ino } = inode;
  if (ino < superblock.firstInode && ino !== EXT4_ROOT_INO) return false;
  if (OWN_FILES.some((field) => field.get(superblock.view, 0) === ino)) return false;
  return !inode.hasFlag(EXT4_EA_INODE_FL);
}

function findByHash(fs: FileSystem, dir: Inode, query: NameQuery): EntryPlace | undefined {
  const tree = new HashTree(fs, dir);
  const hash = query.hash(tree.hashVersion);
  const path = tree.descend(hash);
  do {
    const block = directoryBlock(fs, dir, leafOf(path));
    if (block === undefined) continue;
    const place = findInChain(fs, dir, leafChain(fs, dir, block), query);
    if (place !== undefined) return place;
  } while (tree.advance(path) && continues(path, hash));
  return undefined;
}

function findInOrder(fs: FileSystem, dir: Inode, query: NameQuery): EntryPlace | undefined {
  for (const { chain } of directoryChains(fs, dir, 0)) {
    const place = findInChain(fs, dir, chain, query);
    if (place !== undefined) return place;
  }
  return undefined;
}

function findInChain(
  fs: FileSystem,
  dir: Inode,
  chain: EntryChain,
  query: NameQuery,
): EntryPlace | undefined {
  const { found, before } = searchChain(fs, dir, chain, query);
  return found < 0 ? undefined : { chain, at: found, before };
}
