/** Directories get more blocks, one at a time and at their end. */

import type { Block } from "../../block/block_cache.ts";
import type { Handle, Seal } from "../../jbd2/handle.ts";
import { corrupt, fail } from "../../sys/fs_error.ts";
import { mapNewBlocks } from "../map/block_map_write.ts";
import { directoryBlocks, type EntryChain } from "./directory_block.ts";
import { initLeaf, leafSeal } from "./entry_write.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { mapBlocks } from "../map/block_map.ts";

/** Without large_dir the size of a directory has 32 bits. */
const MAX_SIZE = 2 ** 32 - 1;

/** A new block of a directory, all zeros. */
export interface NewDirectoryBlock {
  readonly block: Block;
  readonly fileBlock: number;
}

/** Puts an announced block of zeros at the end of a directory. Throws ENOSPC, EDQUOT. */
export function appendBlock(
  fs: FileSystem,
  handle: Handle,
  dir: Inode,
  seal: Seal | undefined,
): NewDirectoryBlock {
  const fileBlock = directoryBlocks(fs, dir);
  const size = (fileBlock + 1) * fs.blockSize;
  if (size > MAX_SIZE && !fs.superblock.features.has("large_dir")) {
    throw fail("ENOSPC", "The directory cannot become larger", { ino: dir.ino });
  }
  if (mapBlocks(fs, dir, fileBlock, 1).kind !== "hole") {
    throw corrupt("directory: it has blocks behind its end", { ino: dir.ino });
  }
  const block = newBlock(fs, handle, dir, fileBlock, seal);
  fs.modifyInode(handle, dir);
  dir.size = size;
  return { block, fileBlock };
}

/** Puts an empty leaf at the end of a directory. Throws ENOSPC, EDQUOT. */
export function appendLeaf(fs: FileSystem, handle: Handle, dir: Inode): EntryChain {
  return initLeaf(fs, dir, appendBlock(fs, handle, dir, leafSeal(fs, dir)).block);
}

/** Puts an empty leaf where a damaged directory has a hole. Throws ENOSPC, EDQUOT. */
export function fillHole(
  fs: FileSystem,
  handle: Handle,
  dir: Inode,
  fileBlock: number,
): EntryChain {
  return initLeaf(fs, dir, newBlock(fs, handle, dir, fileBlock, leafSeal(fs, dir)));
}

function newBlock(
  fs: FileSystem,
  handle: Handle,
  dir: Inode,
  fileBlock: number,
  seal: Seal | undefined,
): Block {
  const wanted = { fileBlock, count: 1, purpose: "metadata" } as const;
  const { physicalBlock } = mapNewBlocks(fs, handle, dir, wanted);
  return handle.create(physicalBlock, seal);
}
