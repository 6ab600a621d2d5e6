/** A device in memory: the bytes of an image in tests, and of pieces that a tool makes up. */

import { fail } from "../sys/fs_error.ts";
import type { DataSource, Device } from "./device.ts";

export class MemoryDevice implements Device {
  readonly size: number;

  constructor(
    readonly bytes: Uint8Array<ArrayBuffer>,
    readonly name = "memory",
    readonly readOnly = false,
  ) {
    this.size = bytes.length;
  }

  read(buffer: Uint8Array<ArrayBuffer>, position: number): void {
    buffer.set(this.#range("Read", position, buffer.length));
  }

  write(buffer: Uint8Array<ArrayBuffer>, position: number): void {
    if (this.readOnly) throw fail("EROFS", `Cannot write to ${this.name}: it is read-only`);
    this.#range("Write", position, buffer.length).set(buffer);
  }

  flush(): void {}

  source(position: number, length: number): DataSource {
    return { kind: "memory", bytes: this.#range("Read", position, length) };
  }

  willRead(): void {}

  close(): void {}

  #range(what: string, position: number, length: number): Uint8Array<ArrayBuffer> {
    if (position < 0 || position + length > this.size) {
      throw fail("EIO", `${what} of ${length} bytes at ${position} is outside ${this.name}`);
    }
    return this.bytes.subarray(position, position + length);
  }
}
