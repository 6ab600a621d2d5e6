/**
 * One quota file (disk/quota.ts) as its blocks: where each lies in the file system, what the file's
 * header says of them, and how the file grows.
 *
 * What the header says is read from the block whenever it is needed, and changed there: so it is
 * undone with the operation, without a copy in memory that could differ.
 */

import type { Block } from "../../block/block_cache.ts";
import {
  QT_TREEOFF,
  QtDiskDqdbheader as LeafHeader,
  QUOTA_BLOCK_SIZE,
  QUOTA_MAGIC,
  QUOTA_VERSION_1,
  V2DiskDqheader as Header,
  V2DiskDqinfo as Info,
} from "../../disk/quota.ts";
import type { Field } from "../../disk/struct.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { corrupt, fail, type FsError } from "../../sys/fs_error.ts";
import { mapNewBlocks } from "../map/block_map_write.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { mapBlocks } from "../map/block_map.ts";
import { MetadataZones } from "../allocation/metadata_zones.ts";

/** Whose use of the file system a file counts. */
export type QuotaType = keyof typeof QUOTA_MAGIC;

/** A block of the quota file: it begins at byte `at` of a block of the file system. */
export interface QuotaBlock {
  readonly block: Block;
  readonly at: number;
}

/** Most blocks of 1 KiB: as many entries as there are ids, each in a leaf and with nodes alone. */
const MAX_BLOCKS = 2 ** 32;

export class QuotaFile {
  readonly type: QuotaType;
  readonly ino: number;
  readonly #fs: FileSystem;
  /** By the number of the file block: the block of the file system. */
  readonly #physical = new Map<number, number>();
  readonly #zones: MetadataZones;

  /** Reads and checks the header. Throws EUCLEAN when the file cannot be used. */
  constructor(fs: FileSystem, type: QuotaType, ino: number) {
    this.#fs = fs;
    this.type = type;
    this.ino = ino;
    this.#zones = MetadataZones.of(fs);
    this.#check();
  }

  /** Seconds for which a soft limit of space, or of inodes, may be exceeded. */
  get spaceGrace(): number {
    return this.#get(Info.dqi_bgrace);
  }

  get inodeGrace(): number {
    return this.#get(Info.dqi_igrace);
  }

  /** First of the leaves with room, 0 for none. Throws EUCLEAN when it cannot be one. */
  get firstWithRoom(): number {
    return this.checkedLink(this.#get(Info.dqi_free_entry));
  }

  setFirstWithRoom(handle: Handle, number: number): void {
    this.#set(handle, Info.dqi_free_entry, number);
  }

  /** A block by its number. Throws EUCLEAN for one that the file does not have. */
  read(number: number): QuotaBlock {
    if (!(number >= 0 && number < this.#get(Info.dqi_blocks))) throw this.damage(`block ${number}`);
    return this.#read(number);
  }

  /** A block that is about to be changed. */
  modify(handle: Handle, number: number): QuotaBlock {
    const found = this.read(number);
    handle.modify(found.block);
    return found;
  }

  /** The number of a block of zeros: one that is not in use, or the file becomes longer. */
  allocate(handle: Handle): number {
    const free = this.checkedLink(this.#get(Info.dqi_free_blk));
    if (free === 0) return this.#append(handle);
    const { block, at } = this.modify(handle, free);
    this.#set(handle, Info.dqi_free_blk, LeafHeader.dqdh_next_free.get(block.view, at));
    block.bytes.fill(0, at, at + QUOTA_BLOCK_SIZE);
    return free;
  }

  /** A number that stands for a block behind the root of the tree, or 0. Throws EUCLEAN for others. */
  checkedLink(number: number): number {
    const isBlock = number > QT_TREEOFF && number < this.#get(Info.dqi_blocks);
    if (number !== 0 && !isBlock) throw this.damage(`link to block ${number}`);
    return number;
  }

  damage(what: string): FsError {
    return corrupt(`quota file of the ${this.type}s: ${what}`, { ino: this.ino });
  }

  get #inode(): Inode {
    return this.#fs.ownInode(this.ino, `quota file of the ${this.type}s`);
  }

  #check(): void {
    const inode = this.#inode;
    if (!inode.isRegular || inode.hasInlineData || inode.isEncrypted) {
      throw this.damage("not a regular file with blocks");
    }
    const blocks = Math.floor(inode.size / QUOTA_BLOCK_SIZE);
    if (blocks <= QT_TREEOFF || blocks > MAX_BLOCKS) throw this.damage(`${inode.size} bytes`);
    const { block, at } = this.#read(0);
    const magic = Header.dqh_magic.get(block.view, at);
    const version = Header.dqh_version.get(block.view, at);
    if (magic !== QUOTA_MAGIC[this.type]) throw this.damage(`magic 0x${magic.toString(16)}`);
    if (version !== QUOTA_VERSION_1) throw this.damage(`version ${version}`);
    const count = this.#get(Info.dqi_blocks);
    if (count <= QT_TREEOFF || count > blocks) throw this.damage(`${count} blocks of ${blocks}`);
    this.checkedLink(this.#get(Info.dqi_free_blk));
    this.checkedLink(this.#get(Info.dqi_free_entry));
  }

  #append(handle: Handle): number {
    const number = this.#get(Info.dqi_blocks);
    if (number >= MAX_BLOCKS - 1) throw fail("ENOSPC", "The quota file is full", { ino: this.ino });
    const inode = this.#inode;
    const end = (number + 1) * QUOTA_BLOCK_SIZE;
    this.#growTo(handle, inode, Math.floor(number * QUOTA_BLOCK_SIZE / this.#fs.blockSize));
    if (inode.size < end) {
      this.#fs.modifyInode(handle, inode);
      inode.size = end;
    }
    this.#set(handle, Info.dqi_blocks, number + 1);
    const { block, at } = this.modify(handle, number);
    block.bytes.fill(0, at, at + QUOTA_BLOCK_SIZE);
    return number;
  }

  /** Gives the file a block of the file system, where it has none. */
  #growTo(handle: Handle, inode: Inode, fileBlock: number): void {
    const { kind } = mapBlocks(this.#fs, inode, fileBlock, 1);
    if (kind === "mapped") return;
    if (kind !== "hole") throw this.damage(`file block ${fileBlock} is ${kind}`);
    const wanted = { fileBlock, count: 1, purpose: "metadata" } as const;
    const { physicalBlock } = mapNewBlocks(this.#fs, handle, inode, wanted);
    handle.create(physicalBlock);
    handle.onUndo(() => this.#physical.delete(fileBlock));
  }

  #get(field: Field<number>): number {
    const { block, at } = this.#read(0);
    return field.get(block.view, at + Header.byteLength);
  }

  #set(handle: Handle, field: Field<number>, value: number): void {
    const { block, at } = this.#read(0);
    handle.modify(block);
    field.set(block.view, at + Header.byteLength, value);
  }

  #read(number: number): QuotaBlock {
    const byte = number * QUOTA_BLOCK_SIZE;
    const { blockSize } = this.#fs;
    const block = this.#fs.cache.read(this.#physicalBlock(Math.floor(byte / blockSize)));
    return { block, at: byte % blockSize };
  }

  #physicalBlock(fileBlock: number): number {
    const known = this.#physical.get(fileBlock);
    if (known !== undefined) return known;
    const { kind, physicalBlock } = mapBlocks(this.#fs, this.#inode, fileBlock, 1);
    if (kind !== "mapped") throw this.damage(`nothing in place of file block ${fileBlock}`);
    if (this.#zones.touches(physicalBlock, 1)) {
      throw this.damage(`file block ${fileBlock} is the file system's own`);
    }
    this.#physical.set(fileBlock, physicalBlock);
    return physicalBlock;
  }
}
