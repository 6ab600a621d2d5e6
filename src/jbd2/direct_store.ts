/**
 * Where transactions go on a file system without a journal: straight to their places, file data
 * first. A crash in the middle of a commit leaves some of its blocks new and others old, which is
 * for e2fsck to mend; what was committed before is safe.
 */

import type { Block } from "../block/block_cache.ts";
import type { Device } from "../block/device.ts";
import type { TransactionStore } from "./transactions.ts";
import { writeBlocks } from "./write_blocks.ts";

/** Bounds the memory that changed blocks take. */
const MAX_BLOCKS = 4096;

export class DirectStore implements TransactionStore {
  readonly maxBlocks = MAX_BLOCKS;
  writtenBlocks = 0;
  readonly #device: Device;
  readonly #barrier: boolean;

  /** @param barrier false: the device is not waited for */
  constructor(device: Device, barrier = true) {
    this.#device = device;
    this.#barrier = barrier;
  }

  commit(blocks: ReadonlyMap<number, Block>): void {
    this.flush();
    writeBlocks(this.#device, blocks.values());
    this.writtenBlocks += blocks.size;
    this.flush();
  }

  flush(): void {
    if (this.#barrier) this.#device.flush();
  }

  /** Nothing is left to do: a commit has brought everything to its place. */
  writeBack(): void {}
}
