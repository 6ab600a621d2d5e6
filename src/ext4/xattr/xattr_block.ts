/**
 * The block with the attributes that do not fit into the inode (layout: disk/xattr.ts). Files with
 * the same attributes can share one, which counts them. So its checksum takes in its own number and
 * no inode's.
 */

import type { Block } from "../../block/block_cache.ts";
import { crc32c } from "../../disk/crc32c.ts";
import { EXT4_XATTR_MAGIC, Ext4XattrHeader as Header } from "../../disk/xattr.ts";
import type { Seal } from "../../jbd2/handle.ts";
import { badChecksum, corrupt } from "../../sys/fs_error.ts";
import { crc32cOfU64, crc32cOfZeros } from "../checksum.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { claim, Kind } from "../verified.ts";
import { parseXattrTable, type XattrEntry } from "./xattr_table.ts";

const VERIFIED = claim(Kind.XATTR_BLOCK, 0);

/** A block of attributes, checked. */
export interface XattrBlock {
  readonly block: Block;
  readonly entries: XattrEntry[];
}

/** The attribute block of an inode, or undefined. Throws EUCLEAN and EBADMSG. */
export function xattrBlockOf(fs: FileSystem, inode: Inode): XattrBlock | undefined {
  return inode.fileAcl === 0 ? undefined : readXattrBlock(fs, inode.fileAcl, inode.ino);
}

/** @param ino an inode that uses the block, for messages */
export function readXattrBlock(fs: FileSystem, number: number, ino?: number): XattrBlock {
  const { superblock } = fs;
  const place = { ino, block: number };
  if (number <= superblock.firstDataBlock || number >= superblock.blocksCount) {
    throw corrupt("attribute block: outside the file system", place);
  }
  const block = fs.cache.read(number);
  const { view } = block;
  const isNew = block.verifiedAs !== VERIFIED;
  if (isNew) {
    if (Header.h_magic.get(view, 0) !== EXT4_XATTR_MAGIC || Header.h_blocks.get(view, 0) !== 1) {
      throw corrupt("attribute block: bad header", place);
    }
    if (superblock.hasMetadataChecksums && block.isSealed) {
      if (blockChecksum(superblock.checksumSeed, block) !== Header.h_checksum.get(view, 0)) {
        throw badChecksum("the attribute block", place);
      }
    }
    block.verifiedAs = VERIFIED;
  }
  const entries = parseXattrTable(block, Header.byteLength, 0, place, superblock.features);
  if (isNew && !fs.isReadOnly) fs.writing.xattrBlocks.note({ block, entries });
  return { block, entries };
}

/** What was just written into the block need not be checked. */
export function trustXattrBlock(block: Block): void {
  block.verifiedAs = VERIFIED;
}

/** Fills in the checksum, where the file system has one. */
export function xattrBlockSeal({ superblock }: FileSystem): Seal | undefined {
  if (!superblock.hasMetadataChecksums) return undefined;
  const { checksumSeed } = superblock;
  return (block) => Header.h_checksum.set(block.view, 0, blockChecksum(checksumSeed, block));
}

function blockChecksum(seed: number, { number, bytes }: Block): number {
  const field = Header.h_checksum;
  let crc = crc32cOfU64(seed, number);
  crc = crc32c(crc, bytes, 0, field.offset);
  crc = crc32cOfZeros(crc, field.size);
  return crc32c(crc, bytes, field.offset + field.size);
}
