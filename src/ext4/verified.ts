/**
 * Names for what a cached block was verified as. A block that a damaged file system uses for two
 * purposes, or for two inodes, is verified for each of them.
 */

/** What a block can be. Extent nodes count their depth from EXTENT_NODE upwards. */
export const Kind = {
  EXTENT_NODE: 0,
  DIRECTORY_LEAF: 8,
  INDEX_NODE: 9,
  XATTR_BLOCK: 10,
  BITMAP: 11,
  ORPHAN_BLOCK: 12,
  POINTERS: 13,
} as const;

/**
 * One number for a kind of block of one inode, never 0. `detail` tells further apart, as far as
 * its low 16 bits go.
 */
export function claim(kind: number, ino: number, detail = 0): number {
  return ino * 2 ** 21 + kind * 2 ** 16 + (detail % 2 ** 16) + 1;
}
