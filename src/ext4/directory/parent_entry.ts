/** `..`, the entry of a directory that leads to the one it is in. */

import { Ext4DirEntry2 as Entry } from "../../disk/directory.ts";
import { EXT4_INDEX_FL } from "../../disk/inode.ts";
import type { Handle, Seal } from "../../jbd2/handle.ts";
import { corrupt } from "../../sys/fs_error.ts";
import { directoryBlock } from "./directory_block.ts";
import { leafSeal } from "./entry_write.ts";
import type { FileSystem } from "../filesystem.ts";
import { HashTree, ROOT_INDEX_OFFSET } from "./htree.ts";
import { indexSeal } from "./htree_write.ts";
import { setInlineParent } from "./inline_directory_write.ts";
import type { Inode } from "../inode/inode.ts";
import { findEntry } from "./lookup.ts";

const DOT_DOT = Uint8Array.of(0x2e, 0x2e);

/** The number of the directory that `dir` is in. Throws EUCLEAN. */
export function parentOf(fs: FileSystem, dir: Inode): number {
  const place = findEntry(fs, dir, DOT_DOT);
  if (place === undefined) throw corrupt("directory: it has no ..", { ino: dir.ino });
  return Entry.inode.get(place.chain.view, place.at);
}

/**
 * `dir` moves from one directory to another. Throws EUCLEAN when it does not know to be in the
 * first.
 */
export function setParent(
  fs: FileSystem,
  handle: Handle,
  dir: Inode,
  from: Inode,
  to: Inode,
): void {
  const place = findEntry(fs, dir, DOT_DOT);
  if (place === undefined || Entry.inode.get(place.chain.view, place.at) !== from.ino) {
    throw corrupt(`directory: its .. is not inode ${from.ino}`, { ino: dir.ino });
  }
  const { chain, at } = place;
  if (chain.block === undefined) {
    fs.modifyInode(handle, dir);
    setInlineParent(dir, to);
    return;
  }
  const first = directoryBlock(fs, dir, 0);
  if (first?.number !== chain.block) {
    throw corrupt("directory: its .. is not at its start", { ino: dir.ino, block: chain.block });
  }
  handle.modify(first, firstBlockSeal(fs, dir));
  Entry.inode.set(first.view, at, to.ino);
}

function firstBlockSeal(fs: FileSystem, dir: Inode): Seal | undefined {
  if (!dir.hasFlag(EXT4_INDEX_FL)) return leafSeal(fs, dir);
  // The checksum lies where the root says: it has to be a sound one.
  if (fs.superblock.hasMetadataChecksums) new HashTree(fs, dir);
  return indexSeal(fs, dir, ROOT_INDEX_OFFSET);
}
