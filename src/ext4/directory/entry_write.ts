/**
 * Changes to the entries of a chain: one is put in, taken out, or leads to another file. The chain
 * fills its memory all the time, so each change is one of a few fields:
 *
 *     | a | b, and free room |   ->   | a | b | new, and free room |
 *     | a | b | c |              ->   | a, and free room | c |
 */

import type { Block } from "../../block/block_cache.ts";
import { crc32c } from "../../disk/crc32c.ts";
import {
  EXT4_FT_DIR_CSUM,
  EXT4_FT_UNKNOWN,
  Ext4DirEntry2 as Entry,
  Ext4DirEntryTail as Tail,
} from "../../disk/directory.ts";
import type { Handle, Seal } from "../../jbd2/handle.ts";
import {
  decodeRecordLength,
  encodeRecordLength,
  type EntryChain,
  leafChain,
  leafClaim,
  leafEnd,
  recordLength,
} from "./directory_block.ts";
import { fileTypeOfMode } from "../inode/file_type.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";

/** A checked entry that is unused, or has free room behind it. */
export interface EntryRoom {
  readonly chain: EntryChain;
  readonly at: number;
}

/**
 * Announces changes to a chain of the directory: to its block, or to the inode that it lies in.
 * Returns the chain to be changed: the block may have left the cache since it was looked through,
 * and be another copy now.
 */
export function modifyChain(
  fs: FileSystem,
  handle: Handle,
  dir: Inode,
  chain: EntryChain,
): EntryChain {
  if (chain.block === undefined) {
    fs.modifyInode(handle, dir);
    return chain;
  }
  const block = fs.cache.read(chain.block);
  // Verified before it changes: afterwards its checksum says nothing.
  const current = leafChain(fs, dir, block);
  handle.modify(block, leafSeal(fs, dir));
  return current;
}

/** What fills in the checksum of a leaf, where leaves have one. */
export function leafSeal(fs: FileSystem, dir: Inode): Seal | undefined {
  if (!fs.superblock.hasMetadataChecksums) return undefined;
  const { checksumSeed } = dir;
  return ({ bytes, view }) => {
    const tail = bytes.length - Tail.byteLength;
    Tail.det_checksum.set(view, tail, crc32c(checksumSeed, bytes, 0, tail));
  };
}

/** Makes an announced block of zeros a leaf of one unused entry. */
export function initLeaf(fs: FileSystem, dir: Inode, block: Block): EntryChain {
  const { bytes, view, number } = block;
  const end = leafEnd(fs);
  setLength(view, 0, end);
  if (end < bytes.length) initTail(view, end);
  block.verifiedAs = leafClaim(dir);
  return { bytes, view, start: 0, end, block: number };
}

/** Disguises what lies behind the entries of a leaf as one more, which is not used. */
function initTail(view: DataView, at: number): void {
  Tail.det_reserved_zero1.set(view, at, 0);
  Tail.det_rec_len.set(view, at, Tail.byteLength);
  Tail.det_reserved_zero2.set(view, at, 0);
  Tail.det_reserved_ft.set(view, at, EXT4_FT_DIR_CSUM);
}

/** Writes an entry into an announced chain, where there is enough room for it. */
export function insertEntry(
  fs: FileSystem,
  chain: EntryChain,
  at: number,
  name: Uint8Array,
  inode: Inode,
): void {
  const { view } = chain;
  let place = at;
  let room = lengthOf(fs, view, at);
  if (Entry.inode.get(view, at) !== 0) {
    const used = recordLength(Entry.name_len.get(view, at));
    setLength(view, at, used);
    place += used;
    room -= used;
  }
  setLength(view, place, room);
  Entry.name_len.set(view, place, name.length);
  chain.bytes.set(name, place + Entry.byteLength);
  setTarget(fs, chain, place, inode);
}

/** Takes an entry out of an announced chain. Its room goes to the entry before it, if there is one. */
export function removeEntry(
  fs: FileSystem,
  { bytes, view }: EntryChain,
  at: number,
  before: number,
): void {
  const length = lengthOf(fs, view, at);
  if (before >= 0) {
    setLength(view, before, lengthOf(fs, view, before) + length);
    bytes.fill(0, at, at + length);
  } else {
    Entry.inode.set(view, at, 0);
    bytes.fill(0, at + Entry.name_len.offset, at + length);
  }
}

/** Lets an entry of an announced chain lead to another file. */
export function setTarget(fs: FileSystem, chain: EntryChain, at: number, inode: Inode): void {
  Entry.inode.set(chain.view, at, inode.ino);
  const fileType = fs.superblock.features.has("filetype")
    ? fileTypeOfMode(inode.mode)
    : EXT4_FT_UNKNOWN;
  Entry.file_type.set(chain.view, at, fileType);
}

/** Lengthens the last entry of an announced chain, so that it ends at byte `end`. */
export function extendLastEntry(
  fs: FileSystem,
  view: DataView,
  start: number,
  oldEnd: number,
  end: number,
): void {
  let last = start;
  for (let at = start; at < oldEnd; at += lengthOf(fs, view, at)) last = at;
  setLength(view, last, end - last);
}

export function setLength(view: DataView, at: number, length: number): void {
  Entry.rec_len.set(view, at, encodeRecordLength(length));
}

function lengthOf(fs: FileSystem, view: DataView, at: number): number {
  return decodeRecordLength(Entry.rec_len.get(view, at), fs.blockSize);
}
