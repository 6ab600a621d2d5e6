/** The types of files as directory entries have them, and as modes have them. */

import {
  EXT4_FT_BLKDEV,
  EXT4_FT_CHRDEV,
  EXT4_FT_DIR,
  EXT4_FT_FIFO,
  EXT4_FT_REG_FILE,
  EXT4_FT_SOCK,
  EXT4_FT_SYMLINK,
  EXT4_FT_UNKNOWN,
} from "../../disk/directory.ts";
import {
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
} from "../../sys/stat.ts";

const TYPES: readonly (readonly [number, number])[] = [
  [EXT4_FT_REG_FILE, S_IFREG],
  [EXT4_FT_DIR, S_IFDIR],
  [EXT4_FT_CHRDEV, S_IFCHR],
  [EXT4_FT_BLKDEV, S_IFBLK],
  [EXT4_FT_FIFO, S_IFIFO],
  [EXT4_FT_SOCK, S_IFSOCK],
  [EXT4_FT_SYMLINK, S_IFLNK],
];
/** By file_type. */
const MODES = new Uint16Array(16);
/** By the four bits of S_IFMT. */
const FILE_TYPES = new Uint8Array(16).fill(EXT4_FT_UNKNOWN);
for (const [fileType, mode] of TYPES) {
  MODES[fileType] = mode;
  FILE_TYPES[mode >>> 12] = fileType;
}

/** S_IFMT bits for the file_type of an entry, 0 for one that is not known. */
export function modeOfFileType(fileType: number): number {
  return MODES[fileType & 0x0f];
}

/** file_type for a mode. */
export function fileTypeOfMode(mode: number): number {
  return FILE_TYPES[(mode & S_IFMT) >>> 12];
}
