/**
 * At the start of writing: frees and cuts what an earlier mount left as orphans (orphans.ts).
 *
 * Nothing is taken on trust: an orphan that is no inode in use is damage. It is reported; the list
 * ends before it, as for the kernel, and e2fsck finds what was behind. A file system that is known to
 * have errors is not cleaned at all: what its list says may be wrong.
 */

import { EXT4_ERROR_FS, Ext4SuperBlock as Sb } from "../../disk/superblock.ts";
import { Ext4Inode } from "../../disk/inode.ts";
import { corrupt, FsError } from "../../sys/fs_error.ts";
import { isSet, wordsOf } from "../allocation/bits.ts";
import { evict } from "../inode/evict.ts";
import type { FileSystem } from "../filesystem.ts";
import { groupOfInode } from "../allocation/group_choice.ts";
import type { Inode } from "../inode/inode.ts";
import { OrphanFile } from "./orphan_file.ts";
import { removeOrphan } from "./orphans_write.ts";
import { zeroMapped } from "../content/padded_write.ts";
import { modifySuperblock } from "../superblock/superblock_write.ts";
import { freeBlocksBehindSize } from "../content/truncate.ts";

/**
 * To be called once, before any other operation. Tells the log how many inodes were freed or cut.
 * Damage is reported: it does not keep the file system from being written.
 */
export function cleanOrphans(fs: FileSystem): void {
  let cleaned = 0;
  for (const ino of takeIn(fs)) {
    try {
      cleanOne(fs, ino);
      cleaned++;
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      fs.report(error);
    }
  }
  if (cleaned > 0) fs.log.info(`${fs.device.name}: ${cleaned} deleted or cut files cleaned up`);
}

/** What is to be cleaned. From now on, fs.writing.orphans knows it. */
function takeIn(fs: FileSystem): number[] {
  const fromFile = openOrphanFile(fs);
  if ((Sb.s_state.get(fs.superblock.view, 0) & EXT4_ERROR_FS) !== 0) {
    forgetList(fs);
    return [];
  }
  return [...takeInList(fs), ...fromFile];
}

/** Without a usable file, orphans go on the list. */
function openOrphanFile(fs: FileSystem): number[] {
  if (!fs.superblock.features.has("orphan_file")) return [];
  try {
    const file = new OrphanFile(fs);
    fs.writing.orphans.file = file;
    return file.load();
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    fs.report(error);
    return [];
  }
}

/** The errors may have come from the list itself. e2fsck finds the inodes without it. */
function forgetList(fs: FileSystem): void {
  if (Sb.s_last_orphan.get(fs.superblock.view, 0) === 0) return;
  fs.log.warn(`${fs.device.name}: errors were found in it before: its orphans are not cleaned up`);
  fs.change((handle) => Sb.s_last_orphan.set(modifySuperblock(fs, handle), 0, 0));
}

/** Reads the list up to its end, or to where it is damaged: then it ends there. */
function takeInList(fs: FileSystem): number[] {
  const seen = new Set<number>();
  let ino = Sb.s_last_orphan.get(fs.superblock.view, 0);
  try {
    while (ino !== 0) {
      if (seen.has(ino)) throw corrupt("orphan list: runs in a circle", { ino });
      const inode = orphan(fs, ino);
      seen.add(ino);
      ino = inode.dtime;
    }
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    fs.report(error);
    endList(fs, [...seen].at(-1));
  }
  const numbers = [...seen];
  fs.writing.orphans.takeInList(numbers);
  return numbers;
}

function endList(fs: FileSystem, last: number | undefined): void {
  fs.change((handle) => {
    if (last === undefined) Sb.s_last_orphan.set(modifySuperblock(fs, handle), 0, 0);
    else {
      const inode = fs.inode(last);
      fs.modifyInode(handle, inode);
      inode.dtime = 0;
    }
  });
}

/**
 * An orphan's inode, with or without links. Throws EUCLEAN or EBADMSG when it cannot be one, and is
 * not a file then.
 */
function orphan(fs: FileSystem, ino: number): Inode {
  const { firstInode, inodesCount, inodesPerGroup } = fs.superblock;
  if (!(ino >= firstInode && ino <= inodesCount)) {
    throw corrupt("orphan: not the number of a file", { ino });
  }
  const bitmap = fs.writing.blocks.bitmaps.ofInodes(groupOfInode(fs, ino));
  if (!isSet(wordsOf(bitmap.bytes), (ino - 1) % inodesPerGroup)) {
    throw corrupt("orphan: inode not in use", { ino });
  }
  const hasLinks = Ext4Inode.i_links_count.get(fs.rawInode(ino).view, 0) > 0;
  if (!hasLinks) fs.unlinkedInodes.add(ino);
  try {
    const inode = fs.ownInode(ino, "orphan");
    if (hasLinks && !canBeCut(inode)) throw corrupt("orphan: nothing to be cut", { ino });
    return inode;
  } catch (error) {
    fs.unlinkedInodes.delete(ino);
    throw error;
  }
}

/** Only what has content in blocks can have been cut in part. */
function canBeCut(inode: Inode): boolean {
  return inode.isRegular || inode.isDirectory || inode.isSymlink;
}

function cleanOne(fs: FileSystem, ino: number): void {
  const inode = orphan(fs, ino);
  if (inode.linksCount === 0) {
    evict(fs, inode);
    return;
  }
  if (inode.isRegular && !inode.hasInlineData && !inode.isEncrypted) {
    // Who cuts a file, or writes behind its end past the cache, may have left data there.
    const { size } = inode;
    zeroMapped(fs, inode, size, Math.ceil(size / fs.blockSize) * fs.blockSize);
  }
  freeBlocksBehindSize(fs, inode);
  fs.change((handle) => removeOrphan(fs, handle, inode));
}
