/** A device that is a part of another: a partition, or whatever lies behind an offset. */

import { fail } from "../sys/fs_error.ts";
import type { DataSource, Device } from "./device.ts";

export class WindowDevice implements Device {
  readonly name: string;
  readonly size: number;
  readonly #whole: Device;
  readonly #start: number;

  /**
   * Closing the window closes the device behind it.
   * @param start first byte, in bytes of `whole`
   * @param size in bytes; what there is behind `start` when left out
   * @throws FsError EINVAL for a range that `whole` does not have
   */
  constructor(whole: Device, start: number, size = whole.size - start, name = whole.name) {
    const isRange = Number.isSafeInteger(start) && Number.isSafeInteger(size) &&
      start >= 0 && size >= 0 && start + size <= whole.size;
    if (!isRange) {
      throw fail("EINVAL", `${size} bytes from byte ${start} on are not within ${whole.name}`);
    }
    this.#whole = whole;
    this.#start = start;
    this.size = size;
    this.name = name;
  }

  /** Asked each time: a device can become read-only. */
  get readOnly(): boolean {
    return this.#whole.readOnly;
  }

  read(buffer: Uint8Array<ArrayBuffer>, position: number): void {
    this.#whole.read(buffer, this.#place("Read", position, buffer.length));
  }

  write(buffer: Uint8Array<ArrayBuffer>, position: number): void {
    this.#whole.write(buffer, this.#place("Write", position, buffer.length));
  }

  discard(position: number, length: number): void {
    if (this.#whole.discard === undefined) {
      throw fail("EOPNOTSUPP", `${this.name} has no discard`);
    }
    this.#whole.discard(this.#place("Discard", position, length), length);
  }

  startFlush(position: number, length: number): void {
    this.#whole.startFlush?.(this.#start + position, length);
  }

  flush(): void {
    this.#whole.flush();
  }

  source(position: number, length: number): DataSource {
    return this.#whole.source(this.#place("Read", position, length), length);
  }

  willRead(position: number, length: number): void {
    const start = Math.max(0, position);
    const end = Math.min(this.size, position + length);
    if (end > start) this.#whole.willRead(this.#start + start, end - start);
  }

  forgetCached(position: number, length: number): void {
    this.#whole.forgetCached?.(this.#start + position, length);
  }

  backing(): { readonly fd: number; readonly position: number } | undefined {
    const whole = this.#whole.backing?.();
    return whole && { fd: whole.fd, position: whole.position + this.#start };
  }

  bypassCache(): void {
    this.#whole.bypassCache?.();
  }

  close(): void {
    this.#whole.close();
  }

  /** The position on the whole device of a range that is in the window. */
  #place(what: string, position: number, length: number): number {
    if (position < 0 || position + length > this.size) {
      throw fail("EIO", `${what} of ${length} bytes at ${position} is outside ${this.name}`);
    }
    return this.#start + position;
  }
}
