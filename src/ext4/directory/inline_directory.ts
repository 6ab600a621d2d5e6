/**
 * A directory that lies in its inode (kernel documentation: filesystems/ext4/inlinedata.rst).
 * `.` and `..` are not written; four bytes name the parent:
 *
 *     i_block:      parent inode (4) | chain of entries (56)
 *     system.data:  chain of entries
 */

import { EXT4_FT_DIR, EXT4_FT_UNKNOWN, Ext4DirEntry2 as Entry } from "../../disk/directory.ts";
import { I_BLOCK_SIZE } from "../../disk/inode.ts";
import { viewOf } from "../../sys/bytes.ts";
import { corrupt } from "../../sys/fs_error.ts";
import type { EntryChain, PlacedChain } from "./directory_block.ts";
import type { FileSystem } from "../filesystem.ts";
import { inlineParts } from "../content/inline_data.ts";
import type { Inode } from "../inode/inode.ts";

export const PARENT_SIZE = 4;
const DOT_LENGTH = 12;
const DOT = 0x2e;
/** Length of the entries `.` and `..` together. */
export const DOTS_LENGTH = 2 * DOT_LENGTH;

/** The chains of an inline directory, the first of them made up: `.` and `..`. */
export function inlineDirectory(fs: FileSystem, dir: Inode): PlacedChain[] {
  const { first, rest } = inlineParts(dir);
  const parent = viewOf(first).getUint32(0, true);
  if (parent === 0 || parent > fs.superblock.inodesCount) {
    throw corrupt(`inline directory: parent inode ${parent}`, { ino: dir.ino });
  }
  if (dir.size < I_BLOCK_SIZE || dir.size > I_BLOCK_SIZE + rest.length) {
    throw corrupt(`inline directory: size ${dir.size}`, { ino: dir.ino });
  }
  const dots = chainOf(dotEntries(fs, dir.ino, parent), 0, DOTS_LENGTH);
  const head = chainOf(first, PARENT_SIZE, I_BLOCK_SIZE);
  const tail = chainOf(rest, 0, dir.size - I_BLOCK_SIZE);
  return [
    { chain: dots, origin: 0 },
    { chain: head, origin: dots.end - PARENT_SIZE },
    { chain: tail, origin: dots.end - PARENT_SIZE + I_BLOCK_SIZE },
  ];
}

function chainOf(bytes: Uint8Array<ArrayBuffer>, start: number, end: number): EntryChain {
  return { bytes, view: viewOf(bytes), start, end, block: undefined };
}

/** The entries `.` and `..`, as a directory in blocks begins with them. */
export function dotEntries(
  fs: FileSystem,
  self: number,
  parent: number,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(DOTS_LENGTH);
  const view = new DataView(bytes.buffer);
  const fileType = fs.superblock.features.has("filetype") ? EXT4_FT_DIR : EXT4_FT_UNKNOWN;
  for (const [index, ino] of [self, parent].entries()) {
    const at = index * DOT_LENGTH;
    Entry.inode.set(view, at, ino);
    Entry.rec_len.set(view, at, DOT_LENGTH);
    Entry.name_len.set(view, at, index + 1);
    Entry.file_type.set(view, at, fileType);
    bytes.fill(DOT, at + Entry.byteLength, at + Entry.byteLength + index + 1);
  }
  return bytes;
}
