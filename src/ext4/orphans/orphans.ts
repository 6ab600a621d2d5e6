/**
 * Orphans: files that were unlinked while open, or truncated in part, when the system went down
 * (kernel documentation: filesystems/ext4/orphan.rst). They are a list through the inodes, from
 * s_last_orphan on by i_dtime, and, with orphan_file, the numbers in a file.
 *
 * A read-only mount leaves them as they are and counts them.
 */

import { Ext4Inode } from "../../disk/inode.ts";
import { EXT4_ORPHAN_BLOCK_MAGIC, Ext4OrphanBlockTail as Tail } from "../../disk/orphan_file.ts";
import { Ext4SuperBlock as Sb } from "../../disk/superblock.ts";
import { corrupt, FsError } from "../../sys/fs_error.ts";
import { readRaw } from "../content/read.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";

/** Inode numbers of all orphans. A damaged list ends where it is damaged, with a message. */
export function listOrphans(fs: FileSystem): number[] {
  const orphans = new Set<number>();
  try {
    addListed(fs, orphans);
    addThoseInFile(fs, orphans);
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    fs.report(error);
  }
  return [...orphans];
}

function addListed(fs: FileSystem, seen: Set<number>): void {
  let ino = Sb.s_last_orphan.get(fs.superblock.view, 0);
  while (ino !== 0) {
    if (seen.has(ino)) throw corrupt("orphan list: runs in a circle", { ino });
    seen.add(ino);
    // An orphan without links is no file any more: its record is read as it stands.
    const { view } = fs.rawInode(ino);
    ino = Ext4Inode.i_dtime.get(view, 0);
  }
}

function addThoseInFile(fs: FileSystem, orphans: Set<number>): void {
  const { superblock, blockSize } = fs;
  if (!superblock.features.has("orphan_file")) return;
  const holder = fs.ownInode(Sb.s_orphan_file_inum.get(superblock.view, 0), "orphan file");
  requireOrphanFileSize(fs, holder);
  const tailAt = blockSize - Tail.byteLength;
  for (let position = 0; position + blockSize <= holder.size; position += blockSize) {
    const block = readRaw(fs, holder, position, blockSize);
    const view = new DataView(block.buffer);
    if (Tail.ob_magic.get(view, tailAt) !== EXT4_ORPHAN_BLOCK_MAGIC) {
      throw corrupt("orphan file: bad magic", { ino: holder.ino });
    }
    for (let at = 0; at + 4 <= tailAt; at += 4) {
      const ino = view.getUint32(at, true);
      if (ino !== 0) orphans.add(ino);
    }
  }
}

/** mke2fs makes no larger ones than of 512 blocks. */
const MAX_FILE_BLOCKS = 1024;

/** Throws EUCLEAN for what is too large to be an orphan file, or not of whole blocks. */
export function requireOrphanFileSize({ blockSize }: FileSystem, { ino, size }: Inode): void {
  const blocks = size / blockSize;
  if (Number.isInteger(blocks) && blocks <= MAX_FILE_BLOCKS) return;
  throw corrupt(`orphan file: ${size} bytes`, { ino });
}
