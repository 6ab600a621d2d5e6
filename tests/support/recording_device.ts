/**
 * A device in memory that remembers every write and flush, and can tell what the medium may hold
 * after a crash at any point: all writes up to the last flush before it, and any of those since.
 */

import type { DataSource, Device } from "../../src/block/device.ts";
import { MemoryDevice } from "../../src/block/memory_device.ts";

export interface RecordedWrite {
  readonly kind: "write";
  readonly position: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export type Recorded = RecordedWrite | { readonly kind: "flush" };

/**
 * How much of a write since the last flush reached the medium: all or nothing of it, or so many
 * bytes from its start.
 */
export type Chooser = (write: RecordedWrite, index: number) => boolean | number;

export class RecordingDevice implements Device {
  readonly name = "recorded";
  readonly size: number;
  readonly readOnly = false;
  readonly log: Recorded[] = [];
  /** What the device holds now. */
  readonly current: MemoryDevice;
  readonly #before: Uint8Array<ArrayBuffer>;

  /** @param image is not changed */
  constructor(image: Uint8Array<ArrayBuffer>) {
    this.#before = image;
    this.current = new MemoryDevice(image.slice(), this.name);
    this.size = image.length;
  }

  read(buffer: Uint8Array<ArrayBuffer>, position: number): void {
    this.current.read(buffer, position);
  }

  write(buffer: Uint8Array<ArrayBuffer>, position: number): void {
    this.current.write(buffer, position);
    this.log.push({ kind: "write", position, bytes: buffer.slice() });
  }

  flush(): void {
    this.log.push({ kind: "flush" });
  }

  source(position: number, length: number): DataSource {
    return this.current.source(position, length);
  }

  willRead(): void {}

  close(): void {}

  /**
   * What the medium holds after a crash behind the first `index` entries of the log. Without a
   * chooser, all of these writes reached it.
   */
  imageAt(index: number, chooser: Chooser = () => true): Uint8Array<ArrayBuffer> {
    const image = this.#before.slice();
    const done = this.log.slice(0, index);
    const durable = done.findLastIndex(({ kind }) => kind === "flush");
    for (const [at, entry] of done.entries()) {
      if (entry.kind === "flush") continue;
      const chosen = at < durable ? true : chooser(entry, at);
      if (chosen === false) continue;
      const { bytes, position } = entry;
      image.set(chosen === true ? bytes : bytes.subarray(0, chosen), position);
    }
    return image;
  }
}
