/** copy_file_range(2): content goes from file to file without leaving the server. */

import { fail, FsError } from "../../sys/fs_error.ts";
import { requireRewritable } from "./content_change.ts";
import { readBytes } from "./read.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { mapBlocks } from "../map/block_map.ts";
import { setSize } from "./truncate.ts";
import { writeFile } from "./write.ts";

/** Bytes that are copied at a time. */
const PIECE = 1 << 20;

/**
 * Copies at most `length` bytes, up to the end of `from`. Returns how many were copied: an error that
 * comes later than the first piece ends the copy. A hole stays a hole where the other file has one
 * too, or ends. Throws EINVAL where both ranges are in one file and overlap, and as writeFile.
 */
export function copyRange(
  fs: FileSystem,
  from: Inode,
  fromPosition: number,
  to: Inode,
  toPosition: number,
  length: number,
): number {
  requireRewritable(to);
  if (!from.isRegular) throw fail("EINVAL", "Not a regular file", { ino: from.ino });
  const distance = Math.abs(fromPosition - toPosition);
  if (from === to && distance < length) {
    throw fail("EINVAL", "The ranges overlap", { ino: to.ino });
  }
  const end = Math.min(length, from.size - fromPosition);
  let done = 0;
  try {
    while (done < end) {
      done += copySome(fs, from, fromPosition + done, to, toPosition + done, end - done);
    }
  } catch (error) {
    if (done === 0 || !(error instanceof FsError)) throw error;
  }
  return Math.max(0, done);
}

/** Copies what is a hole of both files, or else a piece. Returns how many bytes that were. */
function copySome(
  fs: FileSystem,
  from: Inode,
  fromPosition: number,
  to: Inode,
  toPosition: number,
  length: number,
): number {
  const source = holeAt(fs, from, fromPosition, length);
  const isFree = source === 0 || toPosition >= to.size;
  const hole = isFree ? source : Math.min(source, holeAt(fs, to, toPosition, source));
  if (hole === 0) {
    const bytes = readBytes(fs, from, fromPosition, Math.min(PIECE, length));
    return writeFile(fs, to, toPosition, bytes);
  }
  // Only the size tells of a hole at the end.
  if (toPosition + hole > to.size) setSize(fs, to, toPosition + hole);
  return hole;
}

/** How many bytes from a position on lie in a hole, or in blocks that are not written. */
function holeAt(fs: FileSystem, inode: Inode, position: number, length: number): number {
  const { blockSize } = fs;
  const fileBlock = Math.floor(position / blockSize);
  const into = position - fileBlock * blockSize;
  const { kind, count } = mapBlocks(fs, inode, fileBlock, Math.ceil((into + length) / blockSize));
  if (kind === "mapped" || kind === "inline") return 0;
  return Math.min(length, count * blockSize - into);
}
