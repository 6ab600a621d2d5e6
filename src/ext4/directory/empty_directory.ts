/** Whether a directory may be removed. */

import { Ext4DirEntry2 as Entry } from "../../disk/directory.ts";
import { corrupt, fail, FsError } from "../../sys/fs_error.ts";
import {
  directoryBlocks,
  type EntryChain,
  entryLength,
  entryName,
  isDotName,
  isIndexBlock,
  leafChain,
  wholeBlock,
} from "./directory_block.ts";
import type { FileSystem } from "../filesystem.ts";
import { inlineDirectory } from "./inline_directory.ts";
import type { Inode } from "../inode/inode.ts";
import { mapBlocks } from "../map/block_map.ts";

/**
 * Throws ENOTEMPTY for a directory with names in it, and for one that cannot be read as a whole,
 * which is reported: what is in it would be lost.
 */
export function requireEmpty(fs: FileSystem, dir: Inode): void {
  try {
    if (hasOnlyDots(fs, dir)) return;
  } catch (error) {
    if (!(error instanceof FsError) || !error.isCorruption) throw error;
    fs.report(error);
  }
  throw fail("ENOTEMPTY", "The directory is not empty", { ino: dir.ino });
}

function hasOnlyDots(fs: FileSystem, dir: Inode): boolean {
  let isFirst = true;
  for (const chain of chainsOf(fs, dir)) {
    const start = isFirst ? endOfDots(fs, dir, chain) : chain.start;
    if (!isUnused(fs, dir, chain, start)) return false;
    isFirst = false;
  }
  if (isFirst) throw corrupt("directory: it has no blocks", { ino: dir.ino });
  return true;
}

/** Holes have no names in them; but the first block must be there. */
function* chainsOf(fs: FileSystem, dir: Inode): Generator<EntryChain> {
  if (dir.hasInlineData) {
    for (const { chain } of inlineDirectory(fs, dir)) yield chain;
    return;
  }
  const count = directoryBlocks(fs, dir);
  for (let fileBlock = 0; fileBlock < count;) {
    const mapping = mapBlocks(fs, dir, fileBlock, count - fileBlock);
    const isMapped = mapping.kind === "mapped";
    if (!isMapped && fileBlock === 0) return;
    for (let index = 0; isMapped && index < mapping.count; index++) {
      const block = fs.cache.read(mapping.physicalBlock + index);
      const isIndex = isIndexBlock(fs, dir, block, fileBlock + index);
      yield isIndex ? wholeBlock(block) : leafChain(fs, dir, block);
    }
    fileBlock += mapping.count;
  }
}

function endOfDots(fs: FileSystem, dir: Inode, chain: EntryChain): number {
  let at = chain.start;
  for (const length of [1, 2]) {
    const next = at + entryLength(fs, dir, chain, at);
    const name = entryName(chain, at);
    const ino = Entry.inode.get(chain.view, at);
    const isRight = name.length === length && isDotName(name) &&
      (length === 1 ? ino === dir.ino : ino !== 0);
    if (!isRight) {
      throw corrupt("directory: it does not begin with . and ..", {
        ino: dir.ino,
        block: chain.block,
      });
    }
    at = next;
  }
  return at;
}

function isUnused(fs: FileSystem, dir: Inode, chain: EntryChain, start: number): boolean {
  for (let at = start; at < chain.end; at += entryLength(fs, dir, chain, at)) {
    entryLength(fs, dir, chain, at);
    if (Entry.inode.get(chain.view, at) !== 0) return false;
  }
  return true;
}
