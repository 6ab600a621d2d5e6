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

/** Inode numbers of all orphans. A damaged list ends where it is damaged, with a message. */
export function listOrphans(fs: FileSystem): number[] {
  const orphans: number[] = [];
  try {
    orphans.push(...listedOrphans(fs));
    orphans.push(...orphansInFile(fs));
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    fs.report(error);
  }
  return orphans;
}

function listedOrphans(fs: FileSystem): number[] {
  const seen = new Set<number>();
  let ino = Sb.s_last_orphan.get(fs.superblock.view, 0);
  while (ino !== 0) {
    if (seen.has(ino)) throw corrupt("orphan list: runs in a circle", { ino });
    seen.add(ino);
    // An orphan without links is no file any more: its record is read as it stands.
    const { view } = fs.rawInode(ino);
    ino = Ext4Inode.i_dtime.get(view, 0);
  }
  return [...seen];
}

function orphansInFile(fs: FileSystem): number[] {
  const { superblock, blockSize } = fs;
  if (!superblock.features.has("orphan_file")) return [];
  const holder = fs.ownInode(Sb.s_orphan_file_inum.get(superblock.view, 0), "orphan file");
  const orphans: number[] = [];
  const tailAt = blockSize - Tail.byteLength;
  for (let position = 0; position + blockSize <= holder.size; position += blockSize) {
    const block = readRaw(fs, holder, position, blockSize);
    const view = new DataView(block.buffer);
    if (Tail.ob_magic.get(view, tailAt) !== EXT4_ORPHAN_BLOCK_MAGIC) {
      throw corrupt("orphan file: bad magic", { ino: holder.ino });
    }
    for (let at = 0; at + 4 <= tailAt; at += 4) {
      const ino = view.getUint32(at, true);
      if (ino !== 0) orphans.push(ino);
    }
  }
  return orphans;
}
