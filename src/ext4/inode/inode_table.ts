/** Reads inodes from the tables of their groups, checks them, and remembers them. */

import type { BlockCache } from "../../block/block_cache.ts";
import { crc32c } from "../../disk/crc32c.ts";
import { EXT4_GOOD_OLD_INODE_SIZE, Ext4Inode } from "../../disk/inode.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK } from "../../sys/stat.ts";
import { badChecksum, corrupt, fail } from "../../sys/fs_error.ts";
import { crc32cOfZeros, inodeChecksumSeed } from "../checksum.ts";
import type { GroupDescriptors } from "../allocation/groups.ts";
import { Inode } from "./inode.ts";
import type { Superblock } from "../superblock/superblock.ts";

/** Bytes of the table that are read together: neighbours are asked for soon, in whatever order. */
const PORTION = 128 << 10;
/** Records of inodes are copied into pieces of memory of this size: small ones cost more to make. */
const SLAB = 32 << 10;
/** Inodes kept decoded. */
const MAX_KEPT = 16384;
const FILE_TYPES = new Set([S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK]);

export class InodeTable {
  readonly #superblock: Superblock;
  readonly #groups: GroupDescriptors;
  readonly #cache: BlockCache;
  /** Inodes without links that are files all the same, since somebody has them open. */
  readonly unlinked = new Set<number>();
  /** In the order in which they came. */
  readonly #kept = new Map<number, Inode>();
  #slab = new Uint8Array(0);
  #slabUsed = 0;

  constructor(superblock: Superblock, groups: GroupDescriptors, cache: BlockCache) {
    this.#superblock = superblock;
    this.#groups = groups;
    this.#cache = cache;
  }

  /**
   * The inode of this number. Throws ESTALE for a number that no file has, EUCLEAN or EBADMSG for a
   * damaged record.
   */
  get(ino: number): Inode {
    const kept = this.#kept.get(ino);
    if (kept !== undefined && (kept.linksCount > 0 || this.unlinked.has(ino))) {
      kept.recent = true;
      return kept;
    }
    const inode = this.#read(ino);
    this.#keep(inode);
    return inode;
  }

  /**
   * Announces changes to an inode. Call it before the first change in each operation: the record
   * goes into its block, with its checksum, when the operation succeeds, and the inode is put back
   * as it was when it fails.
   */
  modify(handle: Handle, inode: Inode): void {
    handle.enlist(inode, () => {
      const kept = this.#kept.get(inode.ino);
      if (kept === undefined) this.#keep(inode);
      else if (kept !== inode) throw new Error(`inode ${inode.ino}: an old copy was changed`);
      const before = inode.bytes.slice();
      return {
        undo: () => {
          inode.bytes.set(before);
          inode.recordChanged();
        },
        finish: () => this.#store(handle, inode),
      };
    });
    inode.recordChanged();
  }

  /**
   * An inode with a record of zeros, for a number that was just allocated; announced as by modify.
   * @param generation goes into the record and into the seed of all checksums
   */
  create(handle: Handle, ino: number, generation: number): Inode {
    const { inodeSize, hasMetadataChecksums, checksumSeed, features } = this.#superblock;
    const bytes = new Uint8Array(inodeSize);
    Ext4Inode.i_generation.set(new DataView(bytes.buffer), 0, generation);
    const seed = hasMetadataChecksums ? inodeChecksumSeed(checksumSeed, ino, generation) : 0;
    const inode = new Inode(ino, bytes, seed, features);
    const replaced = this.#kept.get(ino);
    this.#kept.delete(ino);
    handle.onUndo(() => {
      this.#kept.delete(ino);
      if (replaced !== undefined) this.#kept.set(ino, replaced);
    });
    this.modify(handle, inode);
    return inode;
  }

  /** Where the record lies: a block and a byte in it. */
  locate(ino: number): { block: number; offset: number } {
    const { inodesPerGroup, inodesCount, inodeSize, blockSize } = this.#superblock;
    if (!(ino >= 1 && ino <= inodesCount)) {
      throw corrupt(`inode number: ${ino} of ${inodesCount}`, { ino });
    }
    const group = Math.floor((ino - 1) / inodesPerGroup);
    const byte = ((ino - 1) % inodesPerGroup) * inodeSize;
    const descriptor = this.#groups.get(group);
    return {
      block: descriptor.inodeTable + Math.floor(byte / blockSize),
      offset: byte % blockSize,
    };
  }

  /** The record of an inode that may be out of use: not checked, not remembered. */
  raw(ino: number): Inode {
    const { block, offset } = this.locate(ino);
    return this.#decode(ino, block, offset);
  }

  /** True where the record of a number, which should be free, is that of a file. */
  isFile(ino: number): boolean {
    const kept = this.#kept.get(ino);
    if (kept !== undefined && kept.linksCount > 0) return true;
    const { block, offset } = this.locate(ino);
    const { view } = this.#cache.read(block);
    return Ext4Inode.i_links_count.get(view, offset) > 0 &&
      Ext4Inode.i_mode.get(view, offset) !== 0 && Ext4Inode.i_dtime.get(view, offset) === 0;
  }

  #keep(inode: Inode): void {
    if (this.#kept.size >= MAX_KEPT) this.#dropOldest();
    this.#kept.set(inode.ino, inode);
  }

  /** Brings a changed record into its block. */
  #store(handle: Handle, inode: Inode): void {
    const { block: number, offset } = this.locate(inode.ino);
    const block = this.#cache.read(number);
    handle.modify(block);
    if (this.#superblock.hasMetadataChecksums) storeChecksum(inode, inodeChecksum(inode));
    block.bytes.set(inode.bytes, offset);
    // Should another copy have been read meanwhile, it is older.
    this.#kept.set(inode.ino, inode);
  }

  #read(ino: number): Inode {
    const { block, offset } = this.locate(ino);
    const group = Math.floor((ino - 1) / this.#superblock.inodesPerGroup);
    this.#fetch(group, block);
    const inode = this.#decode(ino, block, offset);
    this.#check(inode, block);
    return inode;
  }

  #decode(ino: number, block: number, offset: number): Inode {
    const { inodeSize, hasMetadataChecksums, checksumSeed } = this.#superblock;
    const table = this.#cache.read(block);
    const bytes = this.#memory(inodeSize);
    bytes.set(table.bytes.subarray(offset, offset + inodeSize));
    const seed = hasMetadataChecksums
      ? inodeChecksumSeed(checksumSeed, ino, Ext4Inode.i_generation.get(table.view, offset))
      : 0;
    return new Inode(ino, bytes, seed, this.#superblock.features);
  }

  /** Zeros. */
  #memory(size: number): Uint8Array<ArrayBuffer> {
    if (this.#slabUsed + size > this.#slab.length) {
      this.#slab = new Uint8Array(Math.max(SLAB, size));
      this.#slabUsed = 0;
    }
    const start = this.#slabUsed;
    this.#slabUsed += size;
    return this.#slab.subarray(start, start + size);
  }

  #check(inode: Inode, block: number): void {
    const { ino } = inode;
    requireSoundExtraSize(this.#superblock, inode, block);
    if (this.#superblock.hasMetadataChecksums && !isBlank(inode)) {
      if (inodeChecksum(inode) !== storedChecksum(inode)) {
        throw badChecksum("the inode", { ino, block });
      }
    }
    if (inode.linksCount === 0 && !this.unlinked.has(ino)) {
      throw fail("ESTALE", "Inode not in use", { ino });
    }
    requireSoundRecord(this.#superblock, inode, block);
  }

  /** Reads the part of the table around a block, but not what was never used. */
  #fetch(group: number, block: number): void {
    if (this.#cache.peek(block) !== undefined) return;
    const { inodeTable, unusedInodes } = this.#groups.get(group);
    const { inodesPerGroup, inodeSize, blockSize } = this.#superblock;
    const portion = Math.max(1, PORTION / blockSize);
    const start = block - (block - inodeTable) % portion;
    const used = Math.max(0, inodesPerGroup - unusedInodes);
    const end = inodeTable + Math.ceil(used * inodeSize / blockSize);
    this.#cache.fetch(start, Math.min(portion, end - start));
  }

  /** One look at each: what was asked for since the last time may be in use by an operation. */
  #dropOldest(): void {
    let toDrop = MAX_KEPT / 8;
    let toLookAt = this.#kept.size;
    for (const [ino, inode] of this.#kept) {
      if (toDrop === 0 || toLookAt-- === 0) return;
      this.#kept.delete(ino);
      if (inode.recent) {
        inode.recent = false;
        this.#kept.set(ino, inode);
      } else toDrop--;
    }
  }
}

/** Throws EUCLEAN for what no inode in use can have. */
export function requireSoundRecord(superblock: Superblock, inode: Inode, block?: number): void {
  const { ino } = inode;
  requireSoundExtraSize(superblock, inode, block);
  if (!FILE_TYPES.has(inode.fileType) && ino >= superblock.firstInode) {
    throw corrupt(`inode: mode 0${inode.mode.toString(8)}`, { ino, block });
  }
  if (inode.size > Number.MAX_SAFE_INTEGER) {
    throw corrupt(`inode: size ${inode.size}`, { ino, block });
  }
}

function requireSoundExtraSize({ inodeSize }: Superblock, inode: Inode, block?: number): void {
  const { ino, extraSize } = inode;
  if (extraSize % 4 === 0 && EXT4_GOOD_OLD_INODE_SIZE + extraSize <= inodeSize) return;
  throw corrupt(`inode: extra size ${extraSize}`, { ino, block });
}

/** crc32c of the record, with 16 bits where the record has no room for the upper half. */
export function inodeChecksum(inode: Inode): number {
  const { bytes, checksumSeed } = inode;
  const low = Ext4Inode.l_i_checksum_lo;
  let crc = crc32c(checksumSeed, bytes, 0, low.offset);
  crc = crc32cOfZeros(crc, low.size);
  crc = crc32c(crc, bytes, low.offset + low.size, EXT4_GOOD_OLD_INODE_SIZE);
  if (bytes.length <= EXT4_GOOD_OLD_INODE_SIZE) return crc & 0xffff;
  const high = Ext4Inode.i_checksum_hi;
  crc = crc32c(crc, bytes, EXT4_GOOD_OLD_INODE_SIZE, high.offset);
  if (!hasHighChecksum(inode)) {
    return crc32c(crc, bytes, high.offset) & 0xffff;
  }
  crc = crc32cOfZeros(crc, high.size);
  return crc32c(crc, bytes, high.offset + high.size);
}

function storedChecksum(inode: Inode): number {
  const low = Ext4Inode.l_i_checksum_lo.get(inode.view, 0);
  if (!hasHighChecksum(inode)) return low;
  return low + Ext4Inode.i_checksum_hi.get(inode.view, 0) * 65536;
}

function storeChecksum(inode: Inode, checksum: number): void {
  Ext4Inode.l_i_checksum_lo.set(inode.view, 0, checksum & 0xffff);
  if (hasHighChecksum(inode)) Ext4Inode.i_checksum_hi.set(inode.view, 0, checksum >>> 16);
}

function hasHighChecksum(inode: Inode): boolean {
  const high = Ext4Inode.i_checksum_hi;
  return high.offset + high.size <= EXT4_GOOD_OLD_INODE_SIZE + inode.extraSize;
}

/** A record of zeros was never used and carries no checksum. */
function isBlank(inode: Inode): boolean {
  return inode.mode === 0 && inode.linksCount === 0 && inode.bytes.every((byte) => byte === 0);
}
