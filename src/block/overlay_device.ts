/**
 * A device that takes writes without passing them on: written blocks are kept in memory and laid
 * over the device below, which is never written to. Blocks that are to be had somewhere else, such
 * as in the log of a journal, are laid over it without being kept.
 */

import { fail } from "../sys/fs_error.ts";
import type { DataSource, Device } from "./device.ts";

export interface OverlayOptions {
  /** Most memory for written blocks, in bytes. */
  readonly maxBytes?: number;
  /** Reads a block from the place that {@linkcode OverlayDevice.borrow} was given. */
  readonly elsewhere?: (place: number, into: Uint8Array<ArrayBuffer>) => void;
}

/** Far more than a journal's worth of fast commits can change. */
const DEFAULT_MAX_BYTES = 256 * 2 ** 20;

/** A piece of the device that is in one place. */
interface Run {
  readonly length: number;
  /** Absent: the device below has it. */
  readonly bytes?: Uint8Array<ArrayBuffer>;
}

export class OverlayDevice implements Device {
  readonly name: string;
  readonly size: number;
  readonly readOnly = false;
  readonly #base: Device;
  readonly #blockSize: number;
  readonly #maxBlocks: number;
  /** By block number. The last block may be shorter than the others. */
  readonly #blocks = new Map<number, Uint8Array<ArrayBuffer>>();
  /** By block number: where else its content is. */
  readonly #places = new Map<number, number>();
  readonly #elsewhere: OverlayOptions["elsewhere"];

  /** @param blockSize bytes to keep for each place that is written to: best the writer's own */
  constructor(base: Device, blockSize: number, options: OverlayOptions = {}) {
    this.#base = base;
    this.name = base.name;
    this.size = base.size;
    this.#blockSize = blockSize;
    this.#elsewhere = options.elsewhere;
    this.#maxBlocks = Math.floor((options.maxBytes ?? DEFAULT_MAX_BYTES) / blockSize);
  }

  /** A whole block has the content that is in another place, until it is written to. */
  borrow(number: number, place: number): void {
    this.#places.set(number, place);
  }

  /** Blocks in memory. */
  get blockCount(): number {
    return this.#blocks.size;
  }

  /** What was written: whole blocks, by their number. */
  get written(): ReadonlyMap<number, Uint8Array<ArrayBuffer>> {
    return this.#blocks;
  }

  read(buffer: Uint8Array<ArrayBuffer>, position: number): void {
    this.#checkRange("Read", position, buffer.length);
    for (let done = 0; done < buffer.length;) {
      const run = this.#run(position + done, buffer.length - done);
      if (run.bytes !== undefined) buffer.set(run.bytes, done);
      else this.#base.read(buffer.subarray(done, done + run.length), position + done);
      done += run.length;
    }
  }

  write(buffer: Uint8Array<ArrayBuffer>, position: number): void {
    this.#checkRange("Write", position, buffer.length);
    for (let done = 0; done < buffer.length;) {
      const within = (position + done) % this.#blockSize;
      const count = Math.min(this.#blockSize - within, buffer.length - done);
      const block = this.#blockForWriting((position + done - within) / this.#blockSize, count);
      block.set(buffer.subarray(done, done + count), within);
      done += count;
    }
  }

  /** Nothing to do: no medium will ever have what was written. */
  flush(): void {}

  source(position: number, length: number): DataSource {
    this.#checkRange("Read", position, length);
    const run = this.#run(position, length);
    if (run.bytes !== undefined) return { kind: "memory", bytes: run.bytes };
    return this.#base.source(position, run.length);
  }

  willRead(position: number, length: number): void {
    this.#base.willRead(position, length);
  }

  /** Closes the device below. */
  close(): void {
    this.#blocks.clear();
    this.#places.clear();
    this.#base.close();
  }

  /** The piece that starts at `position`: one block of memory, or all up to the next of these. */
  #run(position: number, length: number): Run {
    const size = this.#blockSize;
    const within = position % size;
    let number = (position - within) / size;
    const whole = this.#blocks.get(number) ?? this.#borrowed(number);
    if (whole !== undefined) {
      const bytes = whole.subarray(within, within + length);
      return { length: bytes.length, bytes };
    }
    let end = size - within;
    while (end < length && !this.#has(++number)) end += size;
    return { length: Math.min(end, length) };
  }

  /** False for a block that the device below has. */
  #has(number: number): boolean {
    return this.#blocks.has(number) || this.#places.has(number);
  }

  #borrowed(number: number): Uint8Array<ArrayBuffer> | undefined {
    const place = this.#places.get(number);
    if (place === undefined) return undefined;
    const block = new Uint8Array(this.#blockSize);
    this.#elsewhere?.(place, block);
    return block;
  }

  /** A block in memory; unless all of it is about to be written, with what it held so far. */
  #blockForWriting(number: number, count: number): Uint8Array<ArrayBuffer> {
    const kept = this.#blocks.get(number);
    if (kept !== undefined) return kept;
    if (this.#blocks.size >= this.#maxBlocks) {
      throw fail(
        "ENOMEM",
        `Cannot lay more than ${this.#maxBlocks} blocks of ${this.#blockSize} bytes over ${this.name}`,
      );
    }
    const start = number * this.#blockSize;
    const borrowed = this.#borrowed(number);
    const block = borrowed ?? new Uint8Array(Math.min(this.#blockSize, this.size - start));
    if (borrowed === undefined && count < block.length) this.#base.read(block, start);
    this.#blocks.set(number, block);
    return block;
  }

  #checkRange(what: string, position: number, length: number): void {
    if (position < 0 || position + length > this.size) {
      throw fail("EIO", `${what} of ${length} bytes at ${position} is outside ${this.name}`);
    }
  }
}
