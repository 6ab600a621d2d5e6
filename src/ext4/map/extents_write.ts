/**
 * Changes to what a file's extents say: blocks are mapped, and turn from unwritten to written and
 * back. Neighbours that go together become one extent.
 */

import { EXT_INIT_MAX_LEN } from "../../disk/extent.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { ExtentCursor, flatten, requireOrdinary } from "./extent_cursor.ts";
import { entryCount, extentAt, type ExtentRun, lastEntryUpTo } from "./extent_node.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { checkRun } from "./block_map.ts";
import { writeZeros } from "../content/padded_write.ts";

/** A short unwritten extent is filled with zeros as a whole, rather than being cut in three. */
const ZEROED_BYTES = 32768;

/** Most blocks of one extent. */
export function maxExtentLength(unwritten: boolean): number {
  return unwritten ? EXT_INIT_MAX_LEN - 1 : EXT_INIT_MAX_LEN;
}

/**
 * Makes mapped blocks written or unwritten, where they are not: as many of the `count` ones from
 * `fileBlock` on as lie in one extent. Returns how many these are.
 *
 * @param writtenEnd the file's data end before this file block: where it is given, a short extent
 * may become written as a whole, up to there, filled with zeros around the blocks meant
 */
export function convertExtent(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  { fileBlock, count, unwritten, writtenEnd = 0 }: {
    readonly fileBlock: number;
    readonly count: number;
    readonly unwritten: boolean;
    readonly writtenEnd?: number;
  },
): number {
  const cursor = new ExtentCursor(fs, inode, fileBlock, true);
  const at = lastEntryUpTo(cursor.leaf, fileBlock);
  const run = extentAt(cursor.leaf, at);
  const end = Math.min(
    fileBlock + Math.min(count, maxExtentLength(unwritten)),
    run.fileBlock + run.count,
  );
  if (run.unwritten === unwritten) return end - fileBlock;
  fs.mapObserver?.changing(inode, run.fileBlock, run.fileBlock + run.count);
  if (!unwritten && isWorthZeroing(fs, run, writtenEnd)) {
    // The caller knows of the blocks that it asked for only.
    checkRun(fs, inode, { ...run, kind: "unwritten" });
    requireOrdinary(fs, inode, run.physicalBlock, run.count);
    writeZeros(fs, run.physicalBlock, 0, (fileBlock - run.fileBlock) * fs.blockSize);
    const rest = run.fileBlock + run.count - end;
    const endBlock = run.physicalBlock + end - run.fileBlock;
    writeZeros(fs, endBlock, 0, rest * fs.blockSize);
    replaceExtents(cursor, handle, at, 1, [{ ...run, unwritten }]);
  } else {
    const pieces = [
      part(run, run.fileBlock, fileBlock),
      { ...part(run, fileBlock, end), unwritten },
      part(run, end, run.fileBlock + run.count),
    ];
    replaceExtents(cursor, handle, at, 1, pieces.filter((piece) => piece.count > 0));
  }
  flatten(fs, handle, inode);
  return end - fileBlock;
}

/** Begins a new extent at `fileBlock`, where it lies within one. */
export function splitExtent(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  fileBlock: number,
): void {
  const cursor = new ExtentCursor(fs, inode, fileBlock, true);
  const at = lastEntryUpTo(cursor.leaf, fileBlock);
  if (at < 0) return;
  const run = extentAt(cursor.leaf, at);
  const end = run.fileBlock + run.count;
  if (run.fileBlock === fileBlock || fileBlock >= end) return;
  cursor.replace(handle, at, 1, [part(run, run.fileBlock, fileBlock), part(run, fileBlock, end)]);
}

/** Joins the extent that begins at `fileBlock` with the one before it, where they go together. */
export function joinExtents(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  fileBlock: number,
): void {
  const cursor = new ExtentCursor(fs, inode, fileBlock);
  const at = lastEntryUpTo(cursor.leaf, fileBlock);
  if (at < 1) return;
  const joined = join(extentAt(cursor.leaf, at - 1), extentAt(cursor.leaf, at));
  if (joined !== undefined) cursor.replace(handle, at - 1, 2, [joined]);
}

/** The file blocks [start, end) of an extent. */
export function part(run: ExtentRun, start: number, end: number): ExtentRun {
  const physicalBlock = run.physicalBlock + start - run.fileBlock;
  return { fileBlock: start, count: end - start, physicalBlock, unwritten: run.unwritten };
}

/** Replaces extents of the leaf; the first and the last new one join their neighbours if they can. */
export function replaceExtents(
  cursor: ExtentCursor,
  handle: Handle,
  at: number,
  removed: number,
  runs: ExtentRun[],
): void {
  const { leaf } = cursor;
  let start = at;
  let end = at + removed;
  if (start > 0) {
    const joined = fillUp(extentAt(leaf, start - 1), runs[0]);
    if (joined !== undefined) {
      runs.splice(0, 1, ...joined);
      start--;
    }
  }
  const last = runs.length - 1;
  const behind = end < entryCount(leaf) ? join(runs[last], extentAt(leaf, end)) : undefined;
  if (behind !== undefined) {
    runs[last] = behind;
    end++;
  }
  cursor.replace(handle, start, end - start, runs);
}

/** Two extents as one, or as a longest one and the rest; undefined where they do not go together. */
function fillUp(first: ExtentRun, second: ExtentRun): ExtentRun[] | undefined {
  if (!goTogether(first, second)) return undefined;
  const count = first.count + second.count;
  const most = maxExtentLength(first.unwritten);
  if (count <= most) return [{ ...first, count }];
  if (first.count === most) return undefined;
  const end = second.fileBlock + second.count;
  return [{ ...first, count: most }, part(second, first.fileBlock + most, end)];
}

/** Two extents as one, where that can be. */
function join(first: ExtentRun, second: ExtentRun): ExtentRun | undefined {
  const count = first.count + second.count;
  if (count > maxExtentLength(first.unwritten) || !goTogether(first, second)) return undefined;
  return { ...first, count };
}

function goTogether(first: ExtentRun, second: ExtentRun): boolean {
  return first.unwritten === second.unwritten &&
    first.fileBlock + first.count === second.fileBlock &&
    first.physicalBlock + first.count === second.physicalBlock;
}

/** Blocks behind the end of the data must not become written. */
function isWorthZeroing(fs: FileSystem, run: ExtentRun, writtenEnd: number): boolean {
  return run.count * fs.blockSize <= ZEROED_BYTES && run.fileBlock + run.count <= writtenEnd;
}
