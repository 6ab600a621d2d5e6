/**
 * Large files are on their way to the medium while they are still being written: the commit, which
 * has to wait for their data, then finds little left to do. What is written in pieces here and there
 * is left to the system, which brings it into a better order.
 */

import type { Device } from "../../block/device.ts";

/** Bytes in a row that are worth to be begun with. */
const STRETCH = 8 * 2 ** 20;

export class DataStream {
  readonly #device: Device;
  /** Bytes [start, end) were written one after the other, and are not begun with. */
  #start = 0;
  #end = 0;

  constructor(device: Device) {
    this.#device = device;
  }

  /** Data were written to the device. */
  add(position: number, length: number): void {
    if (position !== this.#end) this.#start = position;
    this.#end = position + length;
    if (this.#end - this.#start < STRETCH) return;
    this.#device.startFlush?.(this.#start, this.#end - this.#start);
    this.#start = this.#end;
  }
}
