/** A device that can be told to fail, once or from some call on. */

import type { DataSource, Device } from "../../src/block/device.ts";
import { MemoryDevice } from "../../src/block/memory_device.ts";
import { fail } from "../../src/sys/fs_error.ts";

type Bytes = Uint8Array<ArrayBuffer>;

export type Call = "read" | "write" | "flush";

export interface Fault {
  /** Calls that succeed before. */
  readonly after: number;
  /** Every later call fails as well. */
  readonly forGood: boolean;
}

export class FaultyDevice implements Device {
  readonly name = "faulty";
  readonly readOnly = false;
  readonly size: number;
  readonly medium: MemoryDevice;
  /** Since the last `arm`. */
  readonly calls: Call[] = [];
  #fault: Fault | undefined;
  #hasFailed = false;

  /** @param image is changed */
  constructor(image: Bytes) {
    this.medium = new MemoryDevice(image, this.name);
    this.size = image.length;
  }

  /** Counts calls anew; without a fault, none fails. */
  arm(fault?: Fault): void {
    this.calls.length = 0;
    this.#fault = fault;
    this.#hasFailed = false;
  }

  /** True when a call failed since the last `arm`. */
  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  read(buffer: Bytes, position: number): void {
    this.#called("read");
    this.medium.read(buffer, position);
  }

  write(buffer: Bytes, position: number): void {
    this.#called("write");
    this.medium.write(buffer, position);
  }

  flush(): void {
    this.#called("flush");
  }

  source(position: number, length: number): DataSource {
    return this.medium.source(position, length);
  }

  willRead(): void {}

  close(): void {}

  #called(call: Call): void {
    const number = this.calls.push(call) - 1;
    if (this.#fault === undefined) return;
    const { after, forGood } = this.#fault;
    if (number < after || (number > after && !forGood)) return;
    this.#hasFailed = true;
    throw fail("EIO", `no ${call}`);
  }
}
