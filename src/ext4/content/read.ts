/** Reading the data of files: what the device holds is handed on, not copied. */

import { type DataSource, lengthOf } from "../../block/device.ts";
import { EXT4_EA_INODE_FL } from "../../disk/inode.ts";
import { fail } from "../../sys/fs_error.ts";
import type { FileSystem } from "../filesystem.ts";
import { readInlineRoom } from "./inline_data.ts";
import type { Inode } from "../inode/inode.ts";
import { mapBlocks } from "../map/block_map.ts";

/** Runs that one seek looks at: pointers to the same pointers make a billion of a few blocks. */
const MAX_SOUGHT = 2 ** 20;

/** What holes and unwritten extents read as. Larger ones are answered with several pieces. */
const ZEROS = new Uint8Array(1 << 20);

/**
 * Where the bytes of a file are: pieces in order, together `length` bytes or up to the end of the
 * file. Throws ENOKEY for an encrypted file.
 */
export function fileSources(
  fs: FileSystem,
  inode: Inode,
  position: number,
  length: number,
): DataSource[] {
  requireKeyless(inode);
  return dataSources(fs, inode, position, Math.min(length, inode.size - position));
}

/** A copy of at most `length` bytes of a file from `position` on. */
export function readBytes(
  fs: FileSystem,
  inode: Inode,
  position: number,
  length: number,
): Uint8Array<ArrayBuffer> {
  requireKeyless(inode);
  return readRaw(fs, inode, position, length);
}

/** As readBytes, for content that the file system itself reads: ciphertext stays what it is. */
export function readRaw(
  fs: FileSystem,
  inode: Inode,
  position: number,
  length: number,
): Uint8Array<ArrayBuffer> {
  const wanted = Math.max(0, Math.min(length, inode.size - position));
  const bytes = new Uint8Array(wanted);
  let filled = 0;
  while (filled < wanted) {
    const run = dataRun(fs, inode, position + filled, wanted - filled);
    if (run.device === undefined) {
      if (run.bytes !== ZEROS) bytes.set(run.bytes.subarray(0, run.length), filled);
    } else if (isMetadata(inode)) {
      copyFromCache(fs, run.device, bytes.subarray(filled, filled + run.length));
    } else {
      fs.device.read(bytes.subarray(filled, filled + run.length), run.device);
    }
    filled += run.length;
  }
  return bytes;
}

/** True for content that goes through the journal: until then, only the cache has it. */
function isMetadata(inode: Inode): boolean {
  return !inode.isRegular || inode.hasFlag(EXT4_EA_INODE_FL);
}

function copyFromCache(fs: FileSystem, position: number, bytes: Uint8Array): void {
  const { blockSize } = fs;
  for (let done = 0; done < bytes.length;) {
    const at = position + done;
    const into = at % blockSize;
    const block = fs.cache.read((at - into) / blockSize);
    const length = Math.min(blockSize - into, bytes.length - done);
    bytes.set(block.bytes.subarray(into, into + length), done);
    done += length;
  }
}

/**
 * The first byte at or behind `position` that is not in a hole, as lseek(2) with SEEK_DATA; throws
 * ENXIO when there is none. Unwritten extents count as holes, as for the kernel's ext4.
 */
export function seekData(fs: FileSystem, inode: Inode, position: number): number {
  return seek(fs, inode, position, true);
}

/** The first byte of a hole at or behind `position`; the end of the file counts as one. */
export function seekHole(fs: FileSystem, inode: Inode, position: number): number {
  return seek(fs, inode, position, false);
}

function seek(fs: FileSystem, inode: Inode, position: number, forData: boolean): number {
  const { size } = inode;
  if (position < 0 || position >= size) {
    throw fail("ENXIO", `Seek to ${position} in ${size} bytes`, { ino: inode.ino });
  }
  if (inode.hasInlineData) return forData ? position : size;
  const { blockSize } = fs;
  const end = Math.ceil(size / blockSize);
  let fileBlock = Math.floor(position / blockSize);
  for (let runs = 0; fileBlock < end; runs++) {
    // Whoever looks at data finds the holes in it, too.
    if (runs === MAX_SOUGHT) return forData ? fileBlock * blockSize : size;
    const mapping = mapBlocks(fs, inode, fileBlock, end - fileBlock);
    if ((mapping.kind === "mapped") === forData) {
      return Math.max(position, fileBlock * blockSize);
    }
    fileBlock += mapping.count;
  }
  if (!forData) return size;
  throw fail("ENXIO", `No data behind ${position}`, { ino: inode.ino });
}

function requireKeyless(inode: Inode): void {
  if (inode.isEncrypted && inode.isRegular) {
    throw fail("ENOKEY", "The file is encrypted", { ino: inode.ino });
  }
}

function dataSources(
  fs: FileSystem,
  inode: Inode,
  position: number,
  length: number,
): DataSource[] {
  const sources: DataSource[] = [];
  let done = 0;
  while (done < length) {
    const run = dataRun(fs, inode, position + done, length - done);
    if (run.device === undefined) {
      sources.push({ kind: "memory", bytes: run.bytes.subarray(0, run.length) });
      done += run.length;
      continue;
    }
    const source = fs.device.source(run.device, run.length);
    sources.push(source);
    done += lengthOf(source);
  }
  return sources;
}

/** A piece of a file: `length` bytes at a byte of the device, or in memory. */
type DataRun =
  | { readonly device: number; readonly length: number }
  | {
    readonly device: undefined;
    readonly bytes: Uint8Array<ArrayBuffer>;
    readonly length: number;
  };

function dataRun(fs: FileSystem, inode: Inode, position: number, length: number): DataRun {
  if (inode.hasInlineData) {
    // mke2fs makes inline files of larger sizes: as for the kernel, what has no room is zeros.
    const bytes = readInlineRoom(inode).subarray(position);
    return bytes.length > 0
      ? { device: undefined, bytes, length: Math.min(length, bytes.length) }
      : { device: undefined, bytes: ZEROS, length: Math.min(length, ZEROS.length) };
  }
  const { blockSize } = fs;
  const fileBlock = Math.floor(position / blockSize);
  const into = position - fileBlock * blockSize;
  const mapping = mapBlocks(fs, inode, fileBlock, Math.ceil((into + length) / blockSize));
  const available = Math.min(length, mapping.count * blockSize - into);
  if (mapping.kind === "mapped") {
    return { device: mapping.physicalBlock * blockSize + into, length: available };
  }
  return { device: undefined, bytes: ZEROS, length: Math.min(available, ZEROS.length) };
}
