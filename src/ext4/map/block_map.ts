/**
 * Where is a file's data? The one answer that reading, SEEK_DATA and SEEK_HOLE, bmap, the extents
 * command and the iomap requests all come back to.
 *
 * File blocks count from the start of the file, physical blocks from the start of the file system.
 */

import { corrupt } from "../../sys/fs_error.ts";
import { mapExtents } from "./extents.ts";
import type { FileSystem } from "../filesystem.ts";
import { mapIndirect } from "./indirect.ts";
import type { Inode } from "../inode/inode.ts";

/**
 * A run of file blocks that lie together:
 * - `mapped`: at `physicalBlock` and the blocks behind it
 * - `unwritten`: the same, but they read as zeros
 * - `hole`: nowhere; they read as zeros
 * - `inline`: in the inode itself; ask inline_data.ts for the bytes
 */
export interface Mapping {
  readonly kind: "mapped" | "unwritten" | "hole" | "inline";
  readonly fileBlock: number;
  /** 0 where there is none. */
  readonly physicalBlock: number;
  /** At least 1. */
  readonly count: number;
}

/** File blocks are numbered with 32 bits. */
export const MAX_FILE_BLOCKS = 2 ** 32;

/**
 * The run that `fileBlock` is in, cut to at most `count` blocks from there on. It may end early:
 * ask again for what follows. Throws EUCLEAN or EBADMSG for a damaged tree.
 */
export function mapBlocks(
  fs: FileSystem,
  inode: Inode,
  fileBlock: number,
  count: number,
): Mapping {
  if (inode.hasInlineData) return { kind: "inline", fileBlock, physicalBlock: 0, count };
  if (fileBlock >= MAX_FILE_BLOCKS) {
    throw corrupt(`block map: file block ${fileBlock} is out of range`, { ino: inode.ino });
  }
  const wanted = Math.min(count, MAX_FILE_BLOCKS - fileBlock);
  const mapping = inode.usesExtents
    ? mapExtents(fs, inode, fileBlock, wanted)
    : mapIndirect(fs, inode, fileBlock, wanted);
  if (mapping.kind !== "hole") checkRun(fs, inode, mapping);
  return mapping;
}

/**
 * Data must lie inside the file system, and not over its superblock. Names and links are written to
 * where they are found: they must not lie in anything else of the file system's own.
 */
export function checkRun(fs: FileSystem, inode: Inode, mapping: Mapping): void {
  const { physicalBlock, count } = mapping;
  const { firstDataBlock, blocksCount } = fs.superblock;
  if (physicalBlock <= firstDataBlock || physicalBlock + count > blocksCount) {
    throw corrupt(`block map: file block ${mapping.fileBlock} at blocks outside the file system`, {
      ino: inode.ino,
      block: physicalBlock,
    });
  }
  if (fs.isReadOnly || inode.isRegular || !fs.writing.blocks.zones.touches(physicalBlock, count)) {
    return;
  }
  throw corrupt("block map: leads into the file system's own blocks", {
    ino: inode.ino,
    block: physicalBlock,
  });
}
