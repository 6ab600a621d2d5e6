/**
 * A cache of metadata blocks. File data never comes here: it goes from the device to the reader.
 *
 * Blocks in use are kept by second chance: a block that was asked for since the last sweep stays,
 * the others leave in the order in which they came. A holder of a Block may go on reading it after
 * it has left the cache.
 */

import { corrupt } from "../sys/fs_error.ts";
import type { Device } from "./device.ts";

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

  constructor(readonly number: number, readonly bytes: Uint8Array<ArrayBuffer>) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }
}

export class BlockCache {
  readonly #device: Device;
  readonly #blocks = new Map<number, Block>();
  readonly #capacity: number;

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
    if (!(number >= 0 && number < this.blockCount)) {
      throw corrupt("block number: beyond the end of the file system", { block: number });
    }
    const block = new Block(number, new Uint8Array(this.blockSize));
    this.#device.read(block.bytes, number * this.blockSize);
    if (this.#blocks.size >= this.#capacity) this.#makeRoom();
    this.#blocks.set(number, block);
    return block;
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

  #makeRoom(): void {
    for (const [number, block] of this.#blocks) {
      this.#blocks.delete(number);
      if (!block.recent) return;
      block.recent = false;
      this.#blocks.set(number, block);
    }
  }
}
