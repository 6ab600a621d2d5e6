/** File types and permission bits of st_mode (inode(7)), and the numbering of device nodes. */

export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;

export const S_ISUID = 0o4000;
export const S_ISGID = 0o2000;
export const S_ISVTX = 0o1000;
export const S_IXGRP = 0o010;

/** A device number as user space has it in st_rdev: makedev(3) of the GNU C library. */
export function makeDevice(major: number, minor: number): number {
  const low = (minor % 256) + (major % 4096) * 256 + Math.floor(minor / 256) * 2 ** 20;
  return low + Math.floor(major / 4096) * 2 ** 44;
}

/** The reverse of {@linkcode makeDevice}. */
export function splitDevice(rdev: number): { readonly major: number; readonly minor: number } {
  const low = rdev % 2 ** 32;
  const high = Math.floor(rdev / 2 ** 32);
  return {
    major: ((low >>> 8) & 0xfff) | (high & ~0xfff),
    minor: (low & 0xff) | ((low >>> 12) & 0xfff00),
  };
}
