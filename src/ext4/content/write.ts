/**
 * Writing to files. Data go straight to the device; what changes beside them is one operation, or
 * several for what lies in many pieces.
 *
 * The order of writes: blocks that were the file's own are overwritten in place. New blocks, and
 * blocks that were unwritten, are filled to their ends before the operation that makes them part of
 * the file ends, and the commit flushes data before it writes a commit record. New blocks belong to
 * nobody by what was last committed (allocation/free_space.ts), so that a crash at any time finds
 * them either unreachable or filled.
 */

import { EXT4_APPEND_FL } from "../../disk/inode.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { sameBytes } from "../../sys/bytes.ts";
import { Errno } from "../../sys/errno.ts";
import { fail, FsError } from "../../sys/fs_error.ts";
import { mapNewBlocks } from "../map/block_map_write.ts";
import { changeSize, requireChangeable, touchContent } from "./content_change.ts";
import { requireOrdinary } from "../map/extent_cursor.ts";
import { convertExtent } from "../map/extents_write.ts";
import { readRaw } from "./read.ts";
import type { FileSystem } from "../filesystem.ts";
import { readInlineRoom } from "./inline_data.ts";
import { inlineCapacity, leaveInline, storeInlineData } from "./inline_data_write.ts";
import type { Inode } from "../inode/inode.ts";
import { mapBlocks, type Mapping, MAX_FILE_BLOCKS } from "../map/block_map.ts";
import { writePadded, zeroMapped } from "./padded_write.ts";
import { maxFileSize } from "../map/size_limits.ts";

/** Runs of blocks that one operation makes part of the file. */
const MOST_RUNS = 32;

/** What a write does to the times of a file; those that are kept are somebody else's concern. */
export type WriteTimes = "set" | "kept";

/**
 * Writes bytes to a file from `position` on, which may be behind its end: what lies between is a
 * hole. Returns how many were written: fewer than all when space, a quota, or the largest file size
 * ends there, or an error of the device. Whoever goes on with the rest then hears the reason: throws
 * when nothing can be written, as ENOSPC, EDQUOT, EFBIG, EPERM, ENOKEY, EIO.
 */
export function writeFile(
  fs: FileSystem,
  inode: Inode,
  position: number,
  bytes: Uint8Array<ArrayBuffer>,
  times: WriteTimes = "set",
): number {
  requireChangeable(inode);
  if (inode.hasFlag(EXT4_APPEND_FL)) requireOnlyAppends(fs, inode, position, bytes);
  if (bytes.length === 0) return 0;
  if (times === "kept" && overwrite(fs, inode, position, bytes)) return bytes.length;
  const most = maxFileSize(fs, inode) - position;
  if (most <= 0) throw fail("EFBIG", "File too large", { ino: inode.ino });
  const end = Math.min(bytes.length, most);
  let done = 0;
  let mostRuns = MOST_RUNS;
  while (done < end) {
    const rest = done === 0 && end === bytes.length ? bytes : bytes.subarray(done, end);
    try {
      done += fs.change((handle) => {
        if (times === "set") touchContent(fs, handle, inode);
        else fs.modifyInode(handle, inode);
        return write(fs, handle, inode, position + done, rest, mostRuns);
      });
    } catch (error) {
      // All was undone. A part of it may have room: it is written a run at a time, up to the end.
      if (isOutOfSpace(error) && mostRuns > 1) mostRuns = 1;
      else if (done > 0 && error instanceof FsError) return done;
      else throw error;
    }
  }
  return done;
}

/** The content of an inode with inline data goes into a block, and the inode has a map of blocks. */
export function moveInlineToBlocks(fs: FileSystem, handle: Handle, inode: Inode): void {
  fs.mapObserver?.changing(inode, 0, MAX_FILE_BLOCKS);
  const content = leaveInline(fs, handle, inode);
  if (content.length === 0) return;
  const wanted = { fileBlock: 0, count: 1, purpose: "data" } as const;
  writePadded(fs, mapNewBlocks(fs, handle, inode, wanted).physicalBlock, 0, content);
}

function isOutOfSpace(error: unknown): boolean {
  return error instanceof FsError &&
    (error.errno === Errno.ENOSPC || error.errno === Errno.EDQUOT);
}

/**
 * Bytes that replace others in one run of blocks need no operation: nothing changes but them. False
 * where it is not so.
 */
function overwrite(
  fs: FileSystem,
  inode: Inode,
  position: number,
  bytes: Uint8Array<ArrayBuffer>,
): boolean {
  const { blockSize } = fs;
  if (position + bytes.length > inode.size || inode.hasInlineData) return false;
  fs.writing.transactions.requireWritable();
  const fileBlock = Math.floor(position / blockSize);
  const into = position - fileBlock * blockSize;
  const wanted = Math.ceil((into + bytes.length) / blockSize);
  const { kind, physicalBlock, count } = mapBlocks(fs, inode, fileBlock, wanted);
  if (kind !== "mapped" || count < wanted) return false;
  requireOrdinary(fs, inode, physicalBlock, count);
  fs.writeData(bytes, physicalBlock * blockSize + into);
  return true;
}

/**
 * One operation, in which the inode was announced: writes as many of the bytes as lie in `mostRuns`
 * runs of new blocks.
 */
function write(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  position: number,
  bytes: Uint8Array<ArrayBuffer>,
  mostRuns: number,
): number {
  if (inode.hasInlineData) {
    if (writeInline(fs, handle, inode, position, bytes)) return bytes.length;
    moveInlineToBlocks(fs, handle, inode);
  }
  const { size } = inode;
  if (position > size) zeroTail(fs, inode, position);
  const end = position + bytes.length;
  const writtenEnd = Math.ceil(Math.max(size, end) / fs.blockSize);
  let at = position;
  for (let runs = 0; at < end;) {
    const fileBlock = Math.floor(at / fs.blockSize);
    const into = at - fileBlock * fs.blockSize;
    const found = mapBlocks(fs, inode, fileBlock, Math.ceil((into + end - at) / fs.blockSize));
    const isFilled = found.kind === "mapped";
    // What was written before a run that there is no room for must count.
    if (!isFilled && (runs++ === mostRuns || (mostRuns === 1 && at > position))) break;
    const { physicalBlock, count } = isFilled ? found : fill(fs, handle, inode, found, writtenEnd);
    const stop = Math.min(end, at - into + count * fs.blockSize);
    const part = at === position && stop === end
      ? bytes
      : bytes.subarray(at - position, stop - position);
    if (isFilled) {
      requireOrdinary(fs, inode, physicalBlock, count);
      fs.writeData(part, physicalBlock * fs.blockSize + into);
    } else writePadded(fs, physicalBlock, into, part);
    at = stop;
  }
  if (at > size) changeSize(fs, handle, inode, at);
  return at - position;
}

/**
 * Makes a hole, or a run of unwritten blocks, mapped and written: how many, and where they are. The
 * caller has to write to all of them.
 */
function fill(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  { kind, fileBlock, physicalBlock, count }: Mapping,
  writtenEnd: number,
): { readonly physicalBlock: number; readonly count: number } {
  if (kind === "hole") {
    return mapNewBlocks(fs, handle, inode, { fileBlock, count, purpose: "data" });
  }
  requireOrdinary(fs, inode, physicalBlock, count);
  const run = { fileBlock, count, unwritten: false, writtenEnd };
  return { physicalBlock, count: convertExtent(fs, handle, inode, run) };
}

/** False when the data do not fit into the inode. */
function writeInline(
  fs: FileSystem,
  handle: Handle,
  inode: Inode,
  position: number,
  bytes: Uint8Array<ArrayBuffer>,
): boolean {
  const end = position + bytes.length;
  if (end > inlineCapacity(fs, inode)) return false;
  const before = readInlineRoom(inode).subarray(0, inode.size);
  const after = new Uint8Array(Math.max(before.length, end));
  after.set(before);
  after.set(bytes, position);
  storeInlineData(fs, handle, inode, after);
  if (end > inode.size) inode.size = end;
  return true;
}

/**
 * The file grows and leaves its last block behind: what the block has behind the old end must read
 * as zeros from now on. It has zeros there already, unless a crash or another system left something.
 */
export function zeroTail(fs: FileSystem, inode: Inode, newSize: number): void {
  const blockEnd = Math.ceil(inode.size / fs.blockSize) * fs.blockSize;
  zeroMapped(fs, inode, inode.size, Math.min(blockEnd, newSize));
}

/**
 * The kernel's cache sends whole pages, which begin with what was there before. Throws EPERM where
 * that would change.
 */
function requireOnlyAppends(
  fs: FileSystem,
  inode: Inode,
  position: number,
  bytes: Uint8Array,
): void {
  const before = readRaw(fs, inode, position, bytes.length);
  if (sameBytes(before, bytes.subarray(0, before.length))) return;
  throw fail("EPERM", "The file is append-only", { ino: inode.ino });
}
