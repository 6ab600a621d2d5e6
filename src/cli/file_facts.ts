/** Attributes of a file in words: what ls and stat print. */

import type { FileSystem } from "../ext4/filesystem.ts";
import type { Inode, InodeTime } from "../ext4/inode/inode.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK } from "../sys/stat.ts";

interface FileType {
  readonly name: string;
  /** First letter of `ls -l`. */
  readonly letter: string;
}

const FILE_TYPES = new Map<number, FileType>([
  [S_IFREG, { name: "file", letter: "-" }],
  [S_IFDIR, { name: "directory", letter: "d" }],
  [S_IFLNK, { name: "symlink", letter: "l" }],
  [S_IFCHR, { name: "character device", letter: "c" }],
  [S_IFBLK, { name: "block device", letter: "b" }],
  [S_IFIFO, { name: "fifo", letter: "p" }],
  [S_IFSOCK, { name: "socket", letter: "s" }],
]);

const UNKNOWN: FileType = { name: "unknown", letter: "?" };

/** `directory`, from the S_IFMT bits. */
export function typeName(type: number): string {
  return (FILE_TYPES.get(type) ?? UNKNOWN).name;
}

/** `drwxr-xr-t` */
export function modeString(inode: Inode): string {
  const { mode } = inode;
  const letter = (FILE_TYPES.get(inode.fileType) ?? UNKNOWN).letter;
  return letter + triad(mode >> 6, mode & 0o4000, "s") + triad(mode >> 3, mode & 0o2000, "s") +
    triad(mode, mode & 0o1000, "t");
}

/** Three permission bits; the third place also shows set-ID or sticky. */
function triad(bits: number, special: number, letter: string): string {
  const execute = (bits & 1) !== 0;
  const last = special !== 0 ? (execute ? letter : letter.toUpperCase()) : execute ? "x" : "-";
  return ((bits & 4) !== 0 ? "r" : "-") + ((bits & 2) !== 0 ? "w" : "-") + last;
}

/** `0644`: permissions with set-ID and sticky bits. */
export function permissions(inode: Inode): string {
  return (inode.mode & 0o7777).toString(8).padStart(4, "0");
}

/** `2026-11-24T11:47:47.000000000Z` */
export function timeString(time: InodeTime): string {
  const seconds = new Date(time.sec * 1000).toISOString().replace(/\.000Z$/, "");
  return `${seconds}.${String(time.nsec).padStart(9, "0")}Z`;
}

/** `2026-11-24 11:47`, for listings. */
export function shortTime(time: InodeTime): string {
  return new Date(time.sec * 1000).toISOString().slice(0, 16).replace("T", " ");
}

/** Inode flags by the names and letters of chattr(1), in the order of their bits. */
const FLAGS: readonly (readonly [number, string])[] = [
  [0x00000001, "secure_deletion"],
  [0x00000002, "undelete"],
  [0x00000004, "compressed"],
  [0x00000008, "sync"],
  [0x00000010, "immutable"],
  [0x00000020, "append_only"],
  [0x00000040, "no_dump"],
  [0x00000080, "no_atime"],
  [0x00000800, "encrypted"],
  [0x00001000, "indexed"],
  [0x00004000, "journaled_data"],
  [0x00008000, "no_tail_merging"],
  [0x00010000, "dirsync"],
  [0x00020000, "top_of_hierarchy"],
  [0x00040000, "huge_file"],
  [0x00080000, "extents"],
  [0x00100000, "verity"],
  [0x00200000, "ea_inode"],
  [0x02000000, "dax"],
  [0x10000000, "inline_data"],
  [0x20000000, "project_inherit"],
  [0x40000000, "casefold"],
];

/** Names of the flags that are set. */
export function flagNames(inode: Inode): string[] {
  return FLAGS.filter(([bit]) => inode.hasFlag(bit)).map(([, name]) => name);
}

/** Bytes that the file takes on the disk. */
export function allocatedBytes(fs: FileSystem, inode: Inode): number {
  return inode.blocks512(fs.blockSize) * 512;
}
