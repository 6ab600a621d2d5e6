/**
 * fallocate(2): blocks for what is not written yet, holes, zeros, and parts of a file that move.
 * Arguments are judged as by the kernel's ext4. Work that is too long for one operation is cut into
 * several; a failure in between leaves what was done until then, as it does in the kernel.
 *
 * The order of writes: zeros over a part of a block go to the device at once, and are flushed
 * before the commit. Everything else is metadata.
 */

import { EXT4_APPEND_FL } from "../../disk/inode.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { fail } from "../../sys/fs_error.ts";
import { mapNewBlocks, unmapBlocks } from "../map/block_map_write.ts";
import {
  changeSize,
  requireChangeable,
  requireRewritable,
  touchContent,
} from "./content_change.ts";
import { endOfExtents, shiftToEnd, shiftToStart } from "../map/extents_shift.ts";
import { convertExtent, splitExtent } from "../map/extents_write.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { mapBlocks } from "../map/block_map.ts";
import { zeroMapped } from "./padded_write.ts";
import { EXT_MAX_BLOCKS, requireSize } from "../map/size_limits.ts";
import { moveInlineToBlocks, zeroTail } from "./write.ts";

export const FALLOC_FL_KEEP_SIZE = 0x01;
export const FALLOC_FL_PUNCH_HOLE = 0x02;
export const FALLOC_FL_COLLAPSE_RANGE = 0x08;
export const FALLOC_FL_ZERO_RANGE = 0x10;
export const FALLOC_FL_INSERT_RANGE = 0x20;

/** Which of them go together. */
const MODES: ReadonlySet<number> = new Set([
  0,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_ZERO_RANGE,
  FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_COLLAPSE_RANGE,
  FALLOC_FL_INSERT_RANGE,
]);

/** Runs of blocks that one operation changes. */
const MOST_RUNS = 32;

/** Bytes [offset, end) of a file. */
interface Range {
  readonly offset: number;
  readonly end: number;
}

/**
 * fallocate(2) with the FALLOC_FL flags `mode`. Throws EINVAL, EOPNOTSUPP, EPERM, EFBIG, ENOSPC,
 * EDQUOT.
 */
export function fallocate(
  fs: FileSystem,
  inode: Inode,
  mode: number,
  offset: number,
  length: number,
): void {
  requireArguments(inode, mode, offset, length);
  const range = { offset, end: offset + length };
  if ((mode & FALLOC_FL_PUNCH_HOLE) === 0) requireSize(fs, inode, range.end);
  if (inode.hasInlineData) fs.change((handle) => moveInlineToBlocks(fs, handle, inode));
  if ((mode & FALLOC_FL_PUNCH_HOLE) !== 0) return punchHole(fs, inode, range);
  if (!inode.usesExtents) {
    throw fail("EOPNOTSUPP", "The file has no extents", { ino: inode.ino });
  }
  if (mode === FALLOC_FL_COLLAPSE_RANGE) return collapseRange(fs, inode, range);
  if (mode === FALLOC_FL_INSERT_RANGE) return insertRange(fs, inode, range);
  const keepSize = (mode & FALLOC_FL_KEEP_SIZE) !== 0;
  if ((mode & FALLOC_FL_ZERO_RANGE) !== 0) zeroRange(fs, inode, range, keepSize);
  else allocateRange(fs, inode, range, keepSize);
}

/** What the kernel checks for all file systems, and which modes ext4 has. */
function requireArguments(inode: Inode, mode: number, offset: number, length: number): void {
  if (!(offset >= 0 && length > 0)) throw fail("EINVAL", "Not a range of bytes");
  if (!MODES.has(mode)) throw fail("EOPNOTSUPP", `Unknown mode of fallocate: ${mode}`);
  requireChangeable(inode);
  const onlyAdds = (mode & ~FALLOC_FL_KEEP_SIZE) === 0;
  if (!onlyAdds && inode.hasFlag(EXT4_APPEND_FL)) requireRewritable(inode);
}

/** Gives unwritten blocks to the holes of a range. */
function allocateRange(fs: FileSystem, inode: Inode, range: Range, keepSize: boolean): void {
  eachPart(fs, inode, range, keepSize, (handle, fileBlock, end) => {
    const { kind, count } = mapBlocks(fs, inode, fileBlock, end - fileBlock);
    if (kind !== "hole") return count;
    const wanted = { fileBlock, count, unwritten: true, purpose: "data" } as const;
    return mapNewBlocks(fs, handle, inode, wanted).count;
  });
}

/** The same, and what is written becomes unwritten, or zeros where a block lies in it in part. */
function zeroRange(fs: FileSystem, inode: Inode, range: Range, keepSize: boolean): void {
  const { blockSize } = fs;
  const { offset, end: endByte } = range;
  const firstWhole = Math.ceil(offset / blockSize);
  const endWhole = Math.floor(endByte / blockSize);
  eachPart(fs, inode, range, keepSize, (handle, fileBlock, end) => {
    const { kind, count } = mapBlocks(fs, inode, fileBlock, end - fileBlock);
    if (kind === "hole") {
      const wanted = { fileBlock, count, unwritten: true, purpose: "data" } as const;
      return mapNewBlocks(fs, handle, inode, wanted).count;
    }
    if (kind === "unwritten") return count;
    if (fileBlock < firstWhole || fileBlock >= endWhole) {
      const start = fileBlock * blockSize;
      zeroMapped(fs, inode, Math.max(offset, start), Math.min(endByte, start + blockSize));
      return 1;
    }
    const written = { fileBlock, count: Math.min(count, endWhole - fileBlock), unwritten: true };
    return convertExtent(fs, handle, inode, written);
  });
}

/**
 * Calls `act` for one run of file blocks of a range after the other, as many as one operation takes
 * in each; `act` returns how many blocks it dealt with. The size follows, unless it is to stay.
 */
function eachPart(
  fs: FileSystem,
  inode: Inode,
  { offset, end }: Range,
  keepSize: boolean,
  act: (handle: Handle, fileBlock: number, end: number) => number,
): void {
  const { blockSize } = fs;
  const endBlock = Math.ceil(end / blockSize);
  for (let next = Math.floor(offset / blockSize); next < endBlock;) {
    next = fs.change((handle) => {
      touchContent(fs, handle, inode);
      let at = next;
      for (let runs = 0; at < endBlock && runs < MOST_RUNS; runs++) {
        at += act(handle, at, endBlock);
      }
      const size = Math.min(end, at * blockSize);
      if (!keepSize && size > inode.size) {
        zeroTail(fs, inode, size);
        changeSize(fs, handle, inode, size);
      }
      return at;
    });
  }
}

/** Whole blocks become a hole, parts of blocks zeros. What is behind the end stays. */
function punchHole(fs: FileSystem, inode: Inode, { offset, end: endByte }: Range): void {
  const { blockSize } = fs;
  if (offset >= inode.size) return;
  const end = endByte < inode.size ? endByte : Math.ceil(inode.size / blockSize) * blockSize;
  const start = Math.ceil(offset / blockSize);
  const stop = Math.max(start, Math.floor(end / blockSize));
  let left = fs.change((handle) => {
    touchContent(fs, handle, inode);
    zeroMapped(fs, inode, offset, Math.min(end, start * blockSize));
    zeroMapped(fs, inode, Math.max(offset, stop * blockSize), end);
    return unmapBlocks(fs, handle, inode, start, stop);
  });
  while (left > start) {
    left = fs.change((handle) => unmapBlocks(fs, handle, inode, start, left));
  }
}

/** The range leaves the file, and what is behind it moves up. */
function collapseRange(fs: FileSystem, inode: Inode, range: Range): void {
  const { start, end } = clustersOf(fs, range);
  if (range.end >= inode.size) {
    throw fail("EINVAL", "The range reaches the end of the file", { ino: inode.ino });
  }
  let left = end;
  let next: number | undefined = end;
  while (next !== undefined) {
    [left, next] = fs.change((handle) => {
      touchContent(fs, handle, inode);
      const rest = left > start ? unmapBlocks(fs, handle, inode, start, left) : start;
      if (rest > start) return [rest, end];
      const following = shiftToStart(fs, handle, inode, next ?? end, end - start);
      if (following === undefined) {
        changeSize(fs, handle, inode, inode.size - (range.end - range.offset));
        fs.writing.blocks.dropReservation(inode.ino, handle);
      }
      return [start, following];
    });
  }
}

/** What is in and behind the range moves back and leaves a hole. The size grows first. */
function insertRange(fs: FileSystem, inode: Inode, range: Range): void {
  const { start, end } = clustersOf(fs, range);
  const distance = end - start;
  requireSize(fs, inode, inode.size + range.end - range.offset);
  if (range.offset >= inode.size) {
    throw fail("EINVAL", "The range is behind the end of the file", { ino: inode.ino });
  }
  const last = endOfExtents(fs, inode);
  if (last + distance > EXT_MAX_BLOCKS) {
    throw fail("EINVAL", "No room for the end of the file", { ino: inode.ino });
  }
  let next = fs.change((handle) => {
    touchContent(fs, handle, inode);
    changeSize(fs, handle, inode, inode.size + range.end - range.offset);
    fs.writing.blocks.dropReservation(inode.ino, handle);
    if (last <= start) return undefined;
    splitExtent(fs, handle, inode, start);
    return shiftToEnd(fs, handle, inode, { start, end: last, distance });
  });
  while (next !== undefined) {
    const stop: number = next;
    next = fs.change((handle) => shiftToEnd(fs, handle, inode, { start, end: stop, distance }));
  }
}

/** The file blocks of a range of whole clusters. Throws EINVAL for another one. */
function clustersOf(fs: FileSystem, { offset, end }: Range) {
  const { blockSize, superblock } = fs;
  const clusterSize = blockSize * superblock.clusterRatio;
  if (offset % clusterSize !== 0 || end % clusterSize !== 0) {
    throw fail("EINVAL", "Only whole blocks can leave or enter a file");
  }
  return { start: offset / blockSize, end: end / blockSize };
}
