/**
 * The blocks of a directory and the chains of entries in them (kernel documentation:
 * filesystems/ext4/directory.rst; structures: disk/directory.ts).
 */

import type { Block } from "../../block/block_cache.ts";
import { crc32c } from "../../disk/crc32c.ts";
import {
  EXT4_FT_DIR_CSUM,
  Ext4DirEntry2 as Entry,
  Ext4DirEntryHash,
  Ext4DirEntryTail as Tail,
} from "../../disk/directory.ts";
import { EXT4_CASEFOLD_FL, EXT4_INDEX_FL } from "../../disk/inode.ts";
import { badChecksum, corrupt } from "../../sys/fs_error.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { mapBlocks } from "../map/block_map.ts";
import { claim, Kind } from "../verified.ts";

const ALIGNMENT = 4;
/** From here on, lengths of entries do not fit into 16 bits. */
const LARGE_BLOCK = 65536;

/** A piece of memory that is filled by a chain of entries: a block, or a part of inline data. */
export interface EntryChain {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  readonly start: number;
  readonly end: number;
  /** For messages; undefined for inline data. */
  readonly block: number | undefined;
}

/** A chain, and the position in the directory that its byte 0 has. */
export interface PlacedChain {
  readonly chain: EntryChain;
  readonly origin: number;
}

/** How many blocks a directory has. A directory larger than its file system is damage. */
export function directoryBlocks(fs: FileSystem, dir: Inode): number {
  const count = Math.ceil(dir.size / fs.blockSize);
  if (count > fs.superblock.blocksCount) {
    throw corrupt(`directory: size ${dir.size}`, { ino: dir.ino });
  }
  return count;
}

/** A block of a directory, not verified; undefined for a hole, which only damage brings about. */
export function directoryBlock(fs: FileSystem, dir: Inode, fileBlock: number): Block | undefined {
  const mapping = mapBlocks(fs, dir, fileBlock, 1);
  if (mapping.kind !== "mapped") return undefined;
  return fs.cache.read(mapping.physicalBlock);
}

/** Bytes of a directory that are read together when it is listed. */
const PORTION = 128 << 10;

/** Reads a block together with its neighbours: a listing comes to all of them, in whatever order. */
export function fetchAround(fs: FileSystem, dir: Inode, fileBlock: number): void {
  const { kind, physicalBlock } = mapBlocks(fs, dir, fileBlock, 1);
  if (kind !== "mapped" || fs.cache.peek(physicalBlock) !== undefined) return;
  const portion = Math.max(1, PORTION / fs.blockSize);
  const start = fileBlock - fileBlock % portion;
  const run = mapBlocks(fs, dir, start, Math.min(portion, directoryBlocks(fs, dir) - start));
  if (run.kind === "mapped" && start + run.count > fileBlock) {
    fs.cache.fetch(run.physicalBlock, run.count);
  }
}

/** The chain of entries of a leaf. Throws EBADMSG when its checksum is wrong. */
export function leafChain(fs: FileSystem, dir: Inode, block: Block): EntryChain {
  const { bytes, view, number } = block;
  const end = leafEnd(fs);
  const chain = { bytes, view, start: 0, end, block: number };
  const seen = leafClaim(dir);
  if (!fs.superblock.hasMetadataChecksums) {
    block.verifiedAs = seen;
    return chain;
  }
  const tail = end;
  if (block.verifiedAs !== seen) {
    const hasTail = Tail.det_reserved_zero1.get(view, tail) === 0 &&
      Tail.det_rec_len.get(view, tail) === Tail.byteLength &&
      Tail.det_reserved_zero2.get(view, tail) === 0 &&
      Tail.det_reserved_ft.get(view, tail) === EXT4_FT_DIR_CSUM;
    const computed = crc32c(dir.checksumSeed, bytes, 0, tail);
    if (!hasTail || computed !== Tail.det_checksum.get(view, tail)) {
      throw badChecksum("the directory block", { ino: dir.ino, block: number });
    }
    block.verifiedAs = seen;
  }
  return chain;
}

/** True for blocks of a tree, which have no entries but `.` and `..`, and checksums of another kind. */
export function isIndexBlock(
  fs: FileSystem,
  dir: Inode,
  { view }: Block,
  fileBlock: number,
): boolean {
  if (!dir.hasFlag(EXT4_INDEX_FL)) return false;
  const spansBlock = Entry.rec_len.get(view, 0) === encodeRecordLength(fs.blockSize);
  return fileBlock === 0 || (Entry.inode.get(view, 0) === 0 && spansBlock);
}

/** A block as the chain that it looks like to whoever does not know of indexes. */
export function wholeBlock({ bytes, view, number }: Block): EntryChain {
  return { bytes, view, start: 0, end: bytes.length, block: number };
}

/** Where the entries of a leaf end: at its tail, if it has one. */
export function leafEnd(fs: FileSystem): number {
  return fs.blockSize - (fs.superblock.hasMetadataChecksums ? Tail.byteLength : 0);
}

/** What a leaf of the directory is verified as. */
export function leafClaim(dir: Inode): number {
  return claim(Kind.DIRECTORY_LEAF, dir.ino);
}

/**
 * Length of the entry at byte `at`, checked as far as its own fields go: whoever uses the entry
 * may read all of it. Throws EUCLEAN.
 */
export function entryLength(
  fs: FileSystem,
  dir: Inode,
  chain: EntryChain,
  at: number,
): number {
  const { view, end } = chain;
  const place = { ino: dir.ino, block: chain.block };
  if (at + Entry.byteLength > end) throw corrupt(`directory entry at byte ${at}: cut off`, place);
  const length = decodeRecordLength(Entry.rec_len.get(view, at), fs.blockSize);
  const nameLength = Entry.name_len.get(view, at);
  const least = leastRecordLength(dir, nameLength, chain, at);
  if (length < least || length % ALIGNMENT !== 0 || at + length > end) {
    throw corrupt(`directory entry at byte ${at}: length ${length}, name ${nameLength}`, place);
  }
  const ino = Entry.inode.get(view, at);
  if (ino > fs.superblock.inodesCount) {
    throw corrupt(`directory entry at byte ${at}: inode ${ino}`, place);
  }
  return length;
}

/** The name of a checked entry, in place. */
export function entryName(chain: EntryChain, at: number): Uint8Array<ArrayBuffer> {
  const start = at + Entry.byteLength;
  return chain.bytes.subarray(start, start + Entry.name_len.get(chain.view, at));
}

/** File type of a checked entry, 0 when the file system does not keep it there. */
export function entryFileType(fs: FileSystem, chain: EntryChain, at: number): number {
  return fs.superblock.features.has("filetype") ? Entry.file_type.get(chain.view, at) & 0x0f : 0;
}

/** True when names of the directory carry their hash behind them: it can't be computed. */
export function hashIsStored(dir: Inode): boolean {
  return dir.isEncrypted && dir.hasFlag(EXT4_CASEFOLD_FL);
}

/** The hash behind the name of a checked entry of such a directory. */
export function storedHash(
  chain: EntryChain,
  at: number,
): { readonly major: number; readonly minor: number } {
  const hashAt = roundUp(at + Entry.byteLength + Entry.name_len.get(chain.view, at));
  return {
    major: Ext4DirEntryHash.hash.get(chain.view, hashAt),
    minor: Ext4DirEntryHash.minor_hash.get(chain.view, hashAt),
  };
}

/** True for `.` and `..`. */
export function isDotName(name: Uint8Array): boolean {
  return name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e));
}

function leastRecordLength(
  dir: Inode,
  nameLength: number,
  chain: EntryChain,
  at: number,
): number {
  const least = recordLength(nameLength);
  if (!hashIsStored(dir) || nameLength === 0) return least;
  const start = at + Entry.byteLength;
  return isDotName(chain.bytes.subarray(start, start + nameLength))
    ? least
    : least + Ext4DirEntryHash.byteLength;
}

/** 16 bits have to do for lengths up to 65,536: the two low bits, always zero, become the high ones. */
export function decodeRecordLength(stored: number, blockSize: number): number {
  if (blockSize < LARGE_BLOCK) return stored;
  if (stored === 0 || stored === 65535) return blockSize;
  return (stored & 0xfffc) | ((stored & 3) << 16);
}

/** The reverse of decodeRecordLength. */
export function encodeRecordLength(length: number): number {
  return length < LARGE_BLOCK ? length : 65535;
}

/** Bytes that an entry with such a name needs, where no hash is stored behind it. */
export function recordLength(nameLength: number): number {
  return roundUp(Entry.byteLength + nameLength);
}

function roundUp(length: number): number {
  return (length + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
}
