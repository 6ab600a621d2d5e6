/**
 * Writes file data to the device in whole blocks: what is left of a block before and behind the
 * data becomes zeros.
 */

import { requireOrdinary } from "../map/extent_cursor.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { mapBlocks } from "../map/block_map.ts";

const ZEROS = new Uint8Array(1 << 20);
/** Data up to this size is copied in order to be written at once, together with its padding. */
const MAX_GATHERED = 65536;
/** Memory for gathering; one thread does all the writing. */
const gathered = new Uint8Array(MAX_GATHERED);

/**
 * Fills the blocks from `block` on that `bytes`, which begin at byte `into` of them, touch. Throws
 * EIO.
 */
export function writePadded(
  fs: FileSystem,
  block: number,
  into: number,
  bytes: Uint8Array<ArrayBuffer>,
): void {
  const { blockSize } = fs;
  const end = into + bytes.length;
  const total = Math.ceil(end / blockSize) * blockSize;
  const position = block * blockSize;
  if (total === bytes.length) fs.writeData(bytes, position);
  else if (total <= MAX_GATHERED) fs.writeData(padded(into, bytes, total), position);
  else {
    // The whole blocks go as they are; at both ends there may be a part of one.
    const first = Math.ceil(into / blockSize) * blockSize;
    const last = Math.floor(end / blockSize) * blockSize;
    if (first > into) fs.writeData(padded(into, bytes.subarray(0, first - into), first), position);
    fs.writeData(bytes.subarray(first - into, last - into), position + first);
    if (last < end) {
      fs.writeData(padded(0, bytes.subarray(last - into), blockSize), position + last);
    }
  }
}

/** Writes `length` zeros from a byte of a block on. Throws EIO. */
export function writeZeros(fs: FileSystem, block: number, into: number, length: number): void {
  const position = block * fs.blockSize + into;
  for (let done = 0; done < length; done += ZEROS.length) {
    fs.writeData(ZEROS.subarray(0, Math.min(ZEROS.length, length - done)), position + done);
  }
}

/**
 * Writes zeros over the bytes [start, end) of a file, as far as they lie in blocks that are written:
 * others read as zeros already. Throws EIO.
 */
export function zeroMapped(fs: FileSystem, inode: Inode, start: number, end: number): void {
  const { blockSize } = fs;
  for (let at = start; at < end;) {
    const fileBlock = Math.floor(at / blockSize);
    const wanted = Math.ceil(end / blockSize) - fileBlock;
    const { kind, physicalBlock, count } = mapBlocks(fs, inode, fileBlock, wanted);
    const stop = Math.min(end, (fileBlock + count) * blockSize);
    if (kind === "mapped") {
      requireOrdinary(fs, inode, physicalBlock, count);
      writeZeros(fs, physicalBlock, at - fileBlock * blockSize, stop - at);
    }
    at = stop;
  }
}

/** `bytes` at `into` in `total` bytes of zeros; good until the next call. */
function padded(into: number, bytes: Uint8Array, total: number): Uint8Array<ArrayBuffer> {
  gathered.fill(0, 0, into);
  gathered.set(bytes, into);
  gathered.fill(0, into + bytes.length, total);
  return gathered.subarray(0, total);
}
