/**
 * Pieces of the device that will be read soon. They are gathered and told together, in the order of
 * the disk and with those that nearly touch made one: many small files of a directory lie close to
 * each other, but their listing goes by other things.
 */

import type { Device } from "../block/device.ts";

/** Reading so much in vain costs less than another request to the disk. */
const WORTHLESS_GAP = 64 << 10;

interface Piece {
  readonly start: number;
  end: number;
}

export class DevicePieces {
  readonly #device: Device;
  #pieces: Piece[] = [];

  constructor(device: Device) {
    this.#device = device;
  }

  /** Bytes [start, start + length) of the device. */
  add(start: number, length: number): void {
    this.#pieces.push({ start, end: start + length });
  }

  /** Has the system read what was added since the last time. */
  tell(): void {
    const pieces = this.#pieces.sort((a, b) => a.start - b.start);
    this.#pieces = [];
    let current: Piece | undefined;
    for (const piece of pieces) {
      if (current !== undefined && piece.start <= current.end + WORTHLESS_GAP) {
        current.end = Math.max(current.end, piece.end);
        continue;
      }
      if (current !== undefined) this.#tellOne(current);
      current = piece;
    }
    if (current !== undefined) this.#tellOne(current);
  }

  #tellOne({ start, end }: Piece): void {
    this.#device.willRead(start, end - start);
  }
}
