/**
 * Where the data of files is, by fast commits: ranges of a file lie somewhere, or nowhere any more.
 * Only the tree changes here, and nothing is freed: see fast_commit_replay_space.ts.
 */

import type { FastCommitOperation } from "../../jbd2/fast_commit.ts";
import { corrupt } from "../../sys/fs_error.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { ExtentCursor, flatten } from "../map/extent_cursor.ts";
import { extentAt, type ExtentRun, lastEntryUpTo } from "../map/extent_node.ts";
import { mapExtents } from "../map/extents.ts";
import { maxExtentLength, part, replaceExtents } from "../map/extents_write.ts";
import { inodeInUse } from "./fast_commit_replay_inodes.ts";
import { hasExtents, type ReplayedSpace } from "./fast_commit_replay_space.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { MAX_FILE_BLOCKS } from "../map/block_map.ts";

type AddRange = Extract<FastCommitOperation, { kind: "add_range" }>;
type DelRange = Extract<FastCommitOperation, { kind: "del_range" }>;

/** Pieces of a range that one operation changes at most. */
const PIECES_AT_ONCE = 64;

/** The range lies at these blocks, wherever it was before. */
export function replayAddRange(fs: FileSystem, space: ReplayedSpace, range: AddRange): void {
  const inode = inodeWithExtents(fs, space, range.ino);
  if (inode === undefined) return;
  const { length, start: physicalBlock, unwritten } = range;
  const wanted = { fileBlock: range.fileBlock, count: length, physicalBlock, unwritten };
  requireInside(inode, range.fileBlock, length);
  if (length > maxExtentLength(unwritten)) {
    throw corrupt(`fast commit: an extent of ${length} blocks`, { ino: inode.ino });
  }
  eachPiece(fs, range.fileBlock, range.fileBlock + length, (handle, at, end) => {
    const { kind, count, physicalBlock: here } = mapExtents(fs, inode, at, end - at);
    const piece = part(wanted, at, at + count);
    const isThere = kind !== "hole" && here === piece.physicalBlock &&
      (kind === "unwritten") === unwritten;
    if (!isThere) replacePiece(fs, handle, inode, piece);
    return at + count;
  });
}

/** The range is a hole. */
export function replayDelRange(fs: FileSystem, space: ReplayedSpace, range: DelRange): void {
  const inode = inodeWithExtents(fs, space, range.ino);
  if (inode === undefined) return;
  const end = Math.min(range.fileBlock + range.length, MAX_FILE_BLOCKS);
  eachPiece(fs, range.fileBlock, end, (handle, at, stop) => {
    const { kind, count } = mapExtents(fs, inode, at, stop - at);
    if (kind !== "hole") removePiece(fs, handle, inode, at, at + count);
    return at + count;
  });
  fs.change((handle) => flatten(fs, handle, inode));
}

/** Undefined where no file has the number any more: it was deleted later. */
function inodeWithExtents(fs: FileSystem, space: ReplayedSpace, ino: number): Inode | undefined {
  const inode = inodeInUse(fs, ino);
  if (inode === undefined) return undefined;
  if (!hasExtents(inode)) throw corrupt("fast commit: a range of a file without extents", { ino });
  space.touch(inode);
  return inode;
}

function requireInside(inode: Inode, fileBlock: number, length: number): void {
  if (length > 0 && fileBlock + length <= MAX_FILE_BLOCKS) return;
  throw corrupt(`fast commit: ${length} file blocks from ${fileBlock}`, { ino: inode.ino });
}

/** Calls `act` for the rest of a range until nothing is left; it returns where it got to. */
function eachPiece(
  fs: FileSystem,
  start: number,
  end: number,
  act: (handle: Handle, at: number, end: number) => number,
): void {
  for (let at = start; at < end;) {
    at = fs.change((handle) => {
      let reached = at;
      for (let left = PIECES_AT_ONCE; left > 0 && reached < end; left--) {
        reached = act(handle, reached, end);
      }
      return reached;
    });
  }
}

/** Puts a piece into the tree, in the place of a hole or of a part of one extent. */
function replacePiece(fs: FileSystem, handle: Handle, inode: Inode, piece: ExtentRun): void {
  const cursor = new ExtentCursor(fs, inode, piece.fileBlock, true);
  const at = lastEntryUpTo(cursor.leaf, piece.fileBlock);
  const old = at < 0 ? undefined : extentAt(cursor.leaf, at);
  const end = piece.fileBlock + piece.count;
  if (old === undefined || old.fileBlock + old.count <= piece.fileBlock) {
    replaceExtents(cursor, handle, at + 1, 0, [piece]);
    return;
  }
  const runs = [
    part(old, old.fileBlock, piece.fileBlock),
    piece,
    part(old, end, old.fileBlock + old.count),
  ];
  replaceExtents(cursor, handle, at, 1, runs.filter(({ count }) => count > 0));
}

/** Takes file blocks [start, end), which lie in one extent, out of the tree. */
function removePiece(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  start: number,
  end: number,
): void {
  const cursor = new ExtentCursor(fs, inode, start, true);
  const at = lastEntryUpTo(cursor.leaf, start);
  const old = extentAt(cursor.leaf, at);
  const kept = [part(old, old.fileBlock, start), part(old, end, old.fileBlock + old.count)];
  cursor.replace(handle, at, 1, kept.filter(({ count }) => count > 0));
}
