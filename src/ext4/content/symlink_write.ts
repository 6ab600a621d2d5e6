/**
 * Targets of new symbolic links: a short one lies in i_block, a longer one in a block that goes
 * through the journal, as the name of the link does.
 */

import { EXT4_EXTENTS_FL, I_BLOCK_SIZE } from "../../disk/inode.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { fail } from "../../sys/fs_error.ts";
import { mapNewBlocks } from "../map/block_map_write.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";

/** Longest path of a system call, without the NUL at its end. */
const MAX_TARGET = 4095;

/** Throws ENOENT for an empty target, ENAMETOOLONG for one that no block has room for. */
export function requireTarget(fs: FileSystem, target: Uint8Array): void {
  if (target.length === 0) throw fail("ENOENT", "A symbolic link to nowhere");
  if (target.length > MAX_TARGET || target.length >= fs.blockSize) {
    throw fail("ENAMETOOLONG", `A link to ${target.length} bytes`);
  }
  if (target.includes(0)) throw fail("EINVAL", "A target with a NUL byte in it");
}

/** Gives an announced new inode its target. Throws ENOSPC and EDQUOT. */
export function storeTarget(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  target: Uint8Array,
): void {
  if (target.length < I_BLOCK_SIZE) {
    inode.setFlag(EXT4_EXTENTS_FL, false);
    inode.iBlock.fill(0);
    inode.iBlock.set(target);
  } else {
    const wanted = { fileBlock: 0, count: 1, purpose: "metadata" } as const;
    const { physicalBlock } = mapNewBlocks(fs, handle, inode, wanted);
    handle.create(physicalBlock).bytes.set(target);
  }
  inode.size = target.length;
}
