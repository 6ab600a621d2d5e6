/**
 * The orphan file (disk/orphan_file.ts) as a place for orphans: each takes a slot in one of its
 * blocks. What is in which slot is kept in memory, so that both ways take no search.
 *
 * A block is verified when it is first needed. A damaged one is left alone, with what it names; when
 * no slot is left, orphans go on the list through the inodes instead (orphans_write.ts).
 */

import type { Block } from "../../block/block_cache.ts";
import { crc32c } from "../../disk/crc32c.ts";
import { EXT4_ORPHAN_BLOCK_MAGIC, Ext4OrphanBlockTail as Tail } from "../../disk/orphan_file.ts";
import { Ext4SuperBlock as Sb } from "../../disk/superblock.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { badChecksum, corrupt, FsError } from "../../sys/fs_error.ts";
import { requireOrphanFileSize } from "./orphans.ts";
import { crc32cOfU64 } from "../checksum.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { mapBlocks } from "../map/block_map.ts";
import { claim, Kind } from "../verified.ts";

/** What is no orphan file at all is damaged in all of its blocks. */
const MOST_REPORTED = 8;

export class OrphanFile {
  readonly #fs: FileSystem;
  readonly #holder: Inode;
  readonly #slotsPerBlock: number;
  readonly #slotCount: number;
  /** Slots by the number of the orphan in them. */
  readonly #slots = new Map<number, number>();
  /** Slots that were given back: the next orphan gets the last one. */
  readonly #free: number[] = [];
  /** All slots from here on are free, as far as nothing was found in them. */
  #unused = 0;
  /** Slots with a number that was found there and means nothing, and those of damaged blocks. */
  readonly #spoilt = new Set<number>();

  /** Throws EUCLEAN where there is no such file. */
  constructor(fs: FileSystem) {
    this.#fs = fs;
    this.#holder = fs.ownInode(Sb.s_orphan_file_inum.get(fs.superblock.view, 0), "orphan file");
    this.#slotsPerBlock = (fs.blockSize - Tail.byteLength) / 4;
    requireOrphanFileSize(fs, this.#holder);
    this.#slotCount = this.#holder.size / fs.blockSize * this.#slotsPerBlock;
  }

  has(ino: number): boolean {
    return this.#slots.has(ino);
  }

  /** Takes in what an earlier mount left, and returns it. The first damaged blocks are reported. */
  load(): number[] {
    const { cache } = this.#fs;
    const found: number[] = [];
    let damaged = 0;
    for (let slot = 0; slot < this.#slotCount; slot += this.#slotsPerBlock) {
      let block: Block;
      try {
        if (slot === 0) cache.willRead(this.#blockNumber(0), this.#slotCount / this.#slotsPerBlock);
        block = this.#blockOf(slot);
      } catch (error) {
        if (!(error instanceof FsError)) throw error;
        if (++damaged <= MOST_REPORTED) this.#fs.report(error);
        this.#spoilBlock(slot);
        continue;
      }
      this.#takeIn(block, slot, found);
    }
    return found;
  }

  /** False when there is no room. */
  add(handle: Handle, ino: number): boolean {
    const slot = this.#take(handle);
    if (slot === undefined) return false;
    this.#slots.set(ino, slot);
    handle.onUndo(() => this.#slots.delete(ino));
    this.#store(handle, slot, ino);
    return true;
  }

  /** The orphan must be in the file. */
  remove(handle: Handle, ino: number): void {
    const slot = this.#slots.get(ino);
    if (slot === undefined) throw new Error(`inode ${ino} is not in the orphan file`);
    this.#slots.delete(ino);
    this.#free.push(slot);
    handle.onUndo(() => {
      this.#free.pop();
      this.#slots.set(ino, slot);
    });
    this.#store(handle, slot, 0);
  }

  #take(handle: Handle): number | undefined {
    const given = this.#free.pop();
    if (given !== undefined) {
      handle.onUndo(() => this.#free.push(given));
      return given;
    }
    while (this.#spoilt.has(this.#unused)) this.#unused++;
    if (this.#unused >= this.#slotCount) return undefined;
    handle.onUndo(() => this.#unused--);
    return this.#unused++;
  }

  #takeIn(block: Block, first: number, found: number[]): void {
    for (let index = 0; index < this.#slotsPerBlock; index++) {
      const ino = block.view.getUint32(index * 4, true);
      if (ino === 0) continue;
      this.#spoilt.add(first + index);
      if (this.#slots.has(ino)) continue;
      this.#slots.set(ino, first + index);
      found.push(ino);
    }
  }

  #spoilBlock(first: number): void {
    for (let index = 0; index < this.#slotsPerBlock; index++) this.#spoilt.add(first + index);
  }

  #store(handle: Handle, slot: number, ino: number): void {
    const block = this.#blockOf(slot);
    handle.modify(block, this.#seal);
    block.view.setUint32((slot % this.#slotsPerBlock) * 4, ino, true);
  }

  /** The block with a slot, verified. Throws EUCLEAN and EBADMSG. */
  #blockOf(slot: number): Block {
    const block = this.#fs.cache.read(this.#blockNumber(Math.floor(slot / this.#slotsPerBlock)));
    const claimed = claim(Kind.ORPHAN_BLOCK, this.#holder.ino);
    if (block.verifiedAs === claimed) return block;
    const place = { ino: this.#holder.ino, block: block.number };
    const tailAt = this.#fs.blockSize - Tail.byteLength;
    if (Tail.ob_magic.get(block.view, tailAt) !== EXT4_ORPHAN_BLOCK_MAGIC) {
      throw corrupt("orphan file: bad magic", place);
    }
    const stored = Tail.ob_checksum.get(block.view, tailAt);
    if (this.#fs.superblock.hasMetadataChecksums && stored !== this.#checksum(block)) {
      throw badChecksum("the orphan file", place);
    }
    block.verifiedAs = claimed;
    return block;
  }

  #blockNumber(fileBlock: number): number {
    const mapping = mapBlocks(this.#fs, this.#holder, fileBlock, 1);
    if (mapping.kind === "mapped") return mapping.physicalBlock;
    throw corrupt("orphan file: a hole", { ino: this.#holder.ino });
  }

  readonly #seal = (block: Block): void => {
    if (!this.#fs.superblock.hasMetadataChecksums) return;
    const tailAt = this.#fs.blockSize - Tail.byteLength;
    Tail.ob_checksum.set(block.view, tailAt, this.#checksum(block));
  };

  #checksum(block: Block): number {
    const crc = crc32cOfU64(this.#holder.checksumSeed, block.number);
    return crc32c(crc, block.bytes, 0, this.#fs.blockSize - Tail.byteLength);
  }
}
