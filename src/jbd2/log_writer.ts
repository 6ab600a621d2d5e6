/**
 * Appends blocks to the log. They are gathered in memory and written together: a small transaction
 * is one write.
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
  /** Block behind the last one that may be written. */
  readonly #end: number;
  #position: number;
  #count = 0;
  #added = 0;

  /** Begins with the first block of the journal's log. */
  constructor(journal: Journal<WritableJournalBlocks>, end: number) {
    this.#journal = journal;
    this.#end = end;
    this.#position = journal.first;
    this.#capacity = Math.max(1, Math.floor(MAX_GATHERED / journal.blockSize));
    this.bytes = new Uint8Array(this.#capacity * journal.blockSize);
    this.view = new DataView(this.bytes.buffer);
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
    if (this.#count === this.#capacity) this.write();
    if (this.#position === this.#end) throw new Error("the journal's log is full");
    this.#position++;
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
    const start = this.#position - this.#count;
    const size = this.#count * this.#journal.blockSize;
    this.#count = 0;
    this.#journal.blocks.write(start, this.bytes.subarray(0, size));
  }

  /** Writes what was gathered, and zeros to where the next block will be. */
  writeAndClearNext(): void {
    this.addBlank();
    this.write();
    this.#position--;
    this.#added--;
  }

  /** Goes on with the first block: nothing of the log is needed any more. */
  restart(): void {
    if (this.#count > 0) throw new Error("there are blocks that were not written");
    this.#position = this.#journal.first;
  }
}
