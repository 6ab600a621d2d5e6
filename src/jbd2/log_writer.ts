/**
 * Appends blocks to the log. They are gathered in memory and written together, as far as they lie
 * together: a small transaction is one write.
 */

import type { Journal, WritableJournalBlocks } from "./journal.ts";

/** Most bytes that are gathered. */
const MAX_GATHERED = 1 << 20;

export class LogWriter {
  /** Memory for what is gathered; `add` tells where in it a block is. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  readonly #journal: Journal<WritableJournalBlocks>;
  readonly #capacity: number;
  #position: number;
  /** Journal block of what was gathered first. */
  #start: number;
  #count = 0;
  #added = 0;

  /** @param position journal block to begin with */
  constructor(journal: Journal<WritableJournalBlocks>, position: number) {
    this.#journal = journal;
    this.#position = position;
    this.#start = position;
    this.#capacity = Math.max(1, Math.floor(MAX_GATHERED / journal.blockSize));
    this.bytes = new Uint8Array(this.#capacity * journal.blockSize);
    this.view = new DataView(this.bytes.buffer);
  }

  /** Journal block that the next one will be. */
  get position(): number {
    return this.#position;
  }

  /** Blocks that were added so far. */
  get added(): number {
    return this.#added;
  }

  /**
   * Adds a block. Returns the byte of `bytes` where its content is to be put, which holds what was
   * there before, and which is good until the next call.
   */
  add(): number {
    const isNeighbour = this.#start + this.#count === this.#position;
    if (this.#count === this.#capacity || !isNeighbour) this.write();
    if (this.#count === 0) this.#start = this.#position;
    this.#position = this.#journal.advance(this.#position, 1);
    this.#added++;
    return this.#count++ * this.#journal.blockSize;
  }

  /** As `add`, with zeros in it. */
  addBlank(): number {
    const at = this.add();
    this.bytes.fill(0, at, at + this.#journal.blockSize);
    return at;
  }

  /** Writes what was gathered. It is not durable yet. */
  write(): void {
    if (this.#count === 0) return;
    const size = this.#count * this.#journal.blockSize;
    this.#count = 0;
    this.#journal.blocks.write(this.#start, this.bytes.subarray(0, size));
  }
}
