/**
 * Links of directories: its name, its `.`, and the `..` of each directory in it. A directory can
 * have more of these than the number has room for; with dir_nlink, and an index, it is 1 then, and
 * stays so.
 */

import { EXT4_INDEX_FL } from "../../disk/inode.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { fail } from "../../sys/fs_error.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "./inode.ts";

/** Most links of anything. */
export const EXT4_LINK_MAX = 65000;
/** A directory with more directories in it than can be counted. */
const UNCOUNTED = 1;
/** Of an empty directory. */
const LEAST = 2;

/** Throws EMLINK when there can be no more directories in the directory. */
export function requireRoomForSubdirectory(fs: FileSystem, dir: Inode): void {
  if (dir.linksCount < EXT4_LINK_MAX) return;
  if (isIndexed(fs, dir) && fs.superblock.features.has("dir_nlink")) return;
  throw fail("EMLINK", "Too many directories in the directory", { ino: dir.ino });
}

/** A directory has come into the directory. */
export function addSubdirectory(fs: FileSystem, handle: Handle, dir: Inode): void {
  fs.modifyInode(handle, dir);
  const count = dir.linksCount + 1;
  const isTooMany = isIndexed(fs, dir) && (count > EXT4_LINK_MAX || count === UNCOUNTED + 1);
  dir.linksCount = isTooMany ? UNCOUNTED : count;
}

/** A directory has left the directory. */
export function dropSubdirectory(fs: FileSystem, handle: Handle, dir: Inode): void {
  if (dir.linksCount <= LEAST) return;
  fs.modifyInode(handle, dir);
  dir.linksCount--;
}

function isIndexed(fs: FileSystem, dir: Inode): boolean {
  return dir.hasFlag(EXT4_INDEX_FL) && fs.superblock.features.has("dir_index");
}
