/**
 * Targets of symbolic links (kernel documentation: filesystems/ext4/ifork.rst). A short one lies
 * in i_block ("fast"), one of an inline_data file system behind the inode's fields too, a longer
 * one in a block.
 */

import { I_BLOCK_SIZE } from "../../disk/inode.ts";
import { corrupt } from "../../sys/fs_error.ts";
import { encryptedSymlinkTarget } from "../directory/encryption.ts";
import type { FileSystem } from "../filesystem.ts";
import { readInlineData } from "./inline_data.ts";
import type { Inode } from "../inode/inode.ts";
import { mapBlocks } from "../map/block_map.ts";

/** The target of a link, as readlink(2). Throws EUCLEAN for one without a target. */
export function readSymlink(fs: FileSystem, inode: Inode): Uint8Array<ArrayBuffer> {
  const stored = storedTarget(fs, inode);
  if (inode.isEncrypted) return encryptedSymlinkTarget(inode, stored);
  // The kernel ends a target at its first NUL byte.
  const nul = stored.indexOf(0);
  const target = nul < 0 ? stored : stored.subarray(0, nul);
  if (target.length === 0) throw corrupt("symbolic link: empty", { ino: inode.ino });
  return target;
}

function storedTarget(fs: FileSystem, inode: Inode): Uint8Array<ArrayBuffer> {
  const { size } = inode;
  if (inode.hasInlineData) return readInlineData(inode);
  if (isFastSymlink(fs, inode)) {
    if (size >= I_BLOCK_SIZE) {
      throw corrupt(`symbolic link: ${size} bytes in the inode`, { ino: inode.ino });
    }
    return inode.iBlock.slice(0, size);
  }
  if (size > fs.blockSize) {
    throw corrupt(`symbolic link: ${size} bytes long`, { ino: inode.ino });
  }
  const mapping = mapBlocks(fs, inode, 0, 1);
  if (mapping.kind !== "mapped") throw corrupt("symbolic link: no block", { ino: inode.ino });
  // The block goes through the journal: the device may not have it yet.
  return fs.cache.read(mapping.physicalBlock).bytes.slice(0, size);
}

/**
 * A fast link has no blocks but, perhaps, one of attributes. With ea_inode, attributes can take up
 * more; then its length tells, which old file systems did not keep to.
 */
export function isFastSymlink(fs: FileSystem, inode: Inode): boolean {
  if (fs.superblock.features.has("ea_inode")) return inode.size > 0 && inode.size < I_BLOCK_SIZE;
  const clusterSize = fs.blockSize * fs.superblock.clusterRatio;
  const forAttributes = inode.fileAcl === 0 ? 0 : clusterSize / 512;
  return inode.blocks512(fs.blockSize) - forAttributes === 0;
}
