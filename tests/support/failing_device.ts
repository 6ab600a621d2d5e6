/** A device in memory that refuses a write, on demand. */

import { MemoryDevice } from "../../src/block/memory_device.ts";
import { fail } from "../../src/sys/fs_error.ts";

export class FailingDevice extends MemoryDevice {
  /** Writes that still succeed before one fails; undefined: all do. */
  writesLeft: number | undefined;
  writes = 0;

  override write(buffer: Uint8Array<ArrayBuffer>, position: number): void {
    this.writes++;
    if (this.writesLeft !== undefined && this.writesLeft-- === 0) {
      this.writesLeft = undefined;
      throw fail("EIO", `Cannot write to ${this.name} at byte ${position}`);
    }
    super.write(buffer, position);
  }
}
