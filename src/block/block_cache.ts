/**
 * A cache of metadata blocks. File data never comes here: it goes from the device to the reader.
 *
 * Blocks in use are kept by second chance: a block that was asked for since the last sweep stays,
 * the others leave in the order in which they came. A holder of a Block may go on reading it after
 * it has left the cache. A block whose content the device does not have yet is held: it never
 * leaves, and does not count towards the cache's size (src/jbd2 keeps the number of these in bounds
 * by committing and writing back).
 */

import { corrupt, FsError } from "../sys/fs_error.ts";
import type { Device } from "./device.ts";

/** Blocks that one search for room looks at. */
const MAX_SWEEP = 4096;

/** One block of the device and what is already known about it. */
export class Block {
  /** One view for all structures of the block. */
  readonly view: DataView<ArrayBuffer>;
  /**
   * What the block was last found to be, such as an extent node of inode 12: zero, or a number
   * that the checker makes up. A block that two structures claim is so checked anew for each.
   */
  verifiedAs = 0;
  /** Asked for since the last sweep. */
  recent = true;
  /**
   * How many owners need the block to stay: a transaction that changed it, and the log while the
   * block is not written to its place.
   */
  holds = 0;
  /**
   * Makes the block fit to be written, by filling in its checksum; undefined for a block without.
   * Called once at each commit, not after each change.
   */
  seal: ((block: Block) => void) | undefined;
  /** False while the checksum in the block is older than its content: then it proves nothing. */
  isSealed = true;

  constructor(readonly number: number, readonly bytes: Uint8Array<ArrayBuffer>) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }
}

export class BlockCache {
  readonly #device: Device;
  readonly #blocks = new Map<number, Block>();
  /** Most blocks that nobody holds. */
  readonly #capacity: number;
  /** Blocks that somebody holds. */
  #held = 0;

  /**
   * @param blockSize bytes of a block
   * @param blockCount blocks on the device: a number beyond is damage in whoever asks for it
   * @param cacheBytes how much memory the blocks may take
   */
  constructor(
    device: Device,
    readonly blockSize: number,
    readonly blockCount: number,
    cacheBytes: number,
  ) {
    this.#device = device;
    this.#capacity = Math.max(16, Math.floor(cacheBytes / blockSize));
  }

  /** The block, from memory or the device. Throws EUCLEAN past the end, EIO when it can't be read. */
  read(number: number): Block {
    const cached = this.#blocks.get(number);
    if (cached !== undefined) {
      cached.recent = true;
      return cached;
    }
    this.#checkNumber(number);
    const block = new Block(number, new Uint8Array(this.blockSize));
    this.#device.read(block.bytes, number * this.blockSize);
    this.#add(block);
    return block;
  }

  /**
   * Reads `count` blocks from `number` on at once; those that are in memory stay as they are, and
   * those past the end are left out. Nothing happens when they cannot be read: whoever asks for one
   * of them will be told.
   */
  fetch(number: number, count: number): void {
    const within = Math.min(count, this.blockCount - number);
    if (within <= 0) return;
    const bytes = new Uint8Array(within * this.blockSize);
    try {
      this.#device.read(bytes, number * this.blockSize);
    } catch (error) {
      if (error instanceof FsError) return;
      throw error;
    }
    for (let index = 0; index < within; index++) {
      if (this.#blocks.has(number + index)) continue;
      const start = index * this.blockSize;
      this.#add(new Block(number + index, bytes.subarray(start, start + this.blockSize)));
    }
  }

  /** The block if it is in memory. */
  peek(number: number): Block | undefined {
    return this.#blocks.get(number);
  }

  /** The block as zeros, without reading what the device has. Throws EUCLEAN past the end. */
  create(number: number): Block {
    const cached = this.#blocks.get(number);
    if (cached !== undefined) {
      cached.recent = true;
      cached.bytes.fill(0);
      cached.verifiedAs = 0;
      return cached;
    }
    this.#checkNumber(number);
    const block = new Block(number, new Uint8Array(this.blockSize));
    this.#add(block);
    return block;
  }

  /**
   * The block must not leave until it is released as often as it was held. The cache must know no
   * other copy of it: changes to one of two would be lost.
   */
  hold(block: Block): void {
    const cached = this.#blocks.get(block.number);
    if (cached === undefined) this.#add(block);
    else if (cached !== block) throw new Error(`block ${block.number}: an old copy was changed`);
    if (block.holds++ === 0) this.#held++;
  }

  release(block: Block): void {
    if (block.holds === 0) throw new Error(`block ${block.number}: released too often`);
    if (--block.holds === 0) this.#held--;
  }

  /** Forgets what it knows of a block that nobody holds: something else was written there. */
  drop(number: number): void {
    const block = this.#blocks.get(number);
    if (block === undefined) return;
    if (block.holds > 0) throw new Error(`block ${number}: dropped while held`);
    this.#blocks.delete(number);
  }

  /**
   * Starts reading `count` blocks into the system's cache, unless the first is here already: then
   * the others most likely are, too. Blocks past the end are left out.
   */
  willRead(number: number, count: number): void {
    if (this.#blocks.has(number)) return;
    const within = Math.min(count, this.blockCount - number);
    if (within > 0) {
      this.#device.willRead(number * this.blockSize, within * this.blockSize);
    }
  }

  #checkNumber(number: number): void {
    if (!(number >= 0 && number < this.blockCount)) {
      throw corrupt("block number: beyond the end of the file system", { block: number });
    }
  }

  #add(block: Block): void {
    if (this.#isFull) this.#makeRoom();
    this.#blocks.set(block.number, block);
  }

  /** Held blocks do not count: while there are many, a search for one to leave would be in vain. */
  get #isFull(): boolean {
    return this.#blocks.size - this.#held >= this.#capacity;
  }

  /** Looks at each block once at most. */
  #makeRoom(): void {
    let toLookAt = Math.min(this.#blocks.size, MAX_SWEEP);
    for (const [number, block] of this.#blocks) {
      if (toLookAt-- === 0) return;
      this.#blocks.delete(number);
      if (!block.recent && block.holds === 0) {
        // One that is added and one that leaves would keep a cache that grew at its size.
        if (!this.#isFull) return;
        continue;
      }
      block.recent = false;
      this.#blocks.set(number, block);
    }
  }
}
