/** A device that is an image file or a block device of the system, from a byte of it on. */

import * as files from "../sys/files.ts";
import { fail, FsError } from "../sys/fs_error.ts";
import { bufferAddress } from "../sys/libc.ts";
import type { DataSource, Device } from "./device.ts";

export interface FileDeviceOptions {
  readonly readOnly: boolean;
  /** Byte of the file at which the device begins. */
  readonly offset?: number;
  /** Bytes of the device; without it, up to the end of the file. */
  readonly size?: number;
  /** Refuse a block device that somebody else uses, such as a mount (O_EXCL). */
  readonly exclusive?: boolean;
  /** Pass the system's page cache by (O_DIRECT). */
  readonly direct?: boolean;
}

/** O_DIRECT wants memory, positions and lengths that are multiples of this. */
const DIRECT_ALIGNMENT = 4096;

export class FileDevice implements Device {
  readonly name: string;
  readonly size: number;
  readonly readOnly: boolean;
  /** For locks and the like; belongs to the device. */
  readonly fd: number;
  readonly #offset: number;
  #direct: boolean;

  private constructor(name: string, fd: number, options: FileDeviceOptions) {
    this.name = name;
    this.fd = fd;
    this.readOnly = options.readOnly;
    this.#offset = options.offset ?? 0;
    this.#direct = options.direct ?? false;
    const available = Math.max(0, files.sizeOf(fd) - this.#offset);
    this.size = Math.min(options.size ?? available, available);
  }

  /** Throws FsError with the errno of open(2). */
  static open(path: string, options: FileDeviceOptions): FileDevice {
    let flags = options.readOnly ? files.O_RDONLY : files.O_RDWR;
    if (options.exclusive) flags |= files.O_EXCL;
    if (options.direct) flags |= files.O_DIRECT;
    const fd = files.open(path, flags);
    try {
      // Linux opens a block device that is set to read-only for writing all the same.
      if (!options.readOnly && files.isReadOnlyDevice(fd)) {
        throw fail("EROFS", `${path} is read-only`);
      }
      return new FileDevice(path, fd, options);
    } catch (error) {
      files.close(fd);
      throw error;
    }
  }

  read(buffer: Uint8Array<ArrayBuffer>, position: number): void {
    this.#checkRange("Read", position, buffer.length);
    const count = this.#transfer(
      "read",
      position,
      () =>
        this.#direct
          ? this.#readAligned(buffer, this.#offset + position)
          : files.preadFully(this.fd, buffer, this.#offset + position),
    );
    if (count < buffer.length) {
      throw fail("EIO", `${this.name} ended at byte ${position + count}, inside a read`);
    }
  }

  write(buffer: Uint8Array<ArrayBuffer>, position: number): void {
    if (this.readOnly) throw fail("EROFS", `Cannot write to ${this.name}: it is read-only`);
    this.#checkRange("Write", position, buffer.length);
    this.#transfer(
      "write",
      position,
      () =>
        this.#direct
          ? this.#writeAligned(buffer, this.#offset + position)
          : files.pwriteFully(this.fd, buffer, this.#offset + position),
    );
  }

  /** A file gives the space back to the file system it lies on. */
  discard(position: number, length: number): void {
    if (this.readOnly) throw fail("EROFS", `Cannot discard on ${this.name}: it is read-only`);
    this.#checkRange("Discard", position, length);
    const release = this.#isBlockDevice() ? files.discardBlocks : files.punchHole;
    release(this.fd, this.#offset + position, length);
  }

  startFlush(position: number, length: number): void {
    if (!this.#direct) files.startWriting(this.fd, this.#offset + position, length);
  }

  flush(): void {
    if (this.readOnly) return;
    try {
      files.fdatasync(this.fd);
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      throw fail("EIO", `Cannot write out ${this.name}: ${error.message}`);
    }
  }

  source(position: number, length: number): DataSource {
    this.#checkRange("Read", position, length);
    if (this.#direct) {
      const bytes = new Uint8Array(length);
      this.read(bytes, position);
      return { kind: "memory", bytes };
    }
    // Whoever gets the descriptor would take the end of a file that shrank for the end of the data.
    if (this.#offset + position + length > files.sizeOf(this.fd)) {
      throw fail("EIO", `${this.name} has shrunk: byte ${position + length} is gone`);
    }
    return { kind: "descriptor", fd: this.fd, position: this.#offset + position, length };
  }

  willRead(position: number, length: number): void {
    if (!this.#direct) files.readahead(this.fd, this.#offset + position, length);
  }

  forgetCached(position: number, length: number): void {
    if (!this.#direct) files.forgetCached(this.fd, this.#offset + position, length);
  }

  backing(): { readonly fd: number; readonly position: number } {
    return { fd: this.fd, position: this.#offset };
  }

  /** What was written goes to the medium first. Throws EINVAL where O_DIRECT is not possible. */
  bypassCache(): void {
    if (this.#direct) return;
    this.flush();
    files.setDirect(this.fd);
    files.forgetCached(this.fd, this.#offset, this.size);
    this.#direct = true;
  }

  close(): void {
    files.close(this.fd);
  }

  #isBlockDevice(): boolean {
    return Deno.statSync(`/proc/self/fd/${this.fd}`).isBlockDevice ?? false;
  }

  #checkRange(what: string, position: number, length: number): void {
    if (position < 0 || position + length > this.size) {
      throw fail("EIO", `${what} of ${length} bytes at ${position} is outside ${this.name}`);
    }
  }

  /** Whatever the medium says, whoever reads a file hears of an input/output error. */
  #transfer<Result>(what: string, position: number, act: () => Result): Result {
    try {
      return act();
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      throw fail("EIO", `Cannot ${what} ${this.name} at byte ${position}: ${error.message}`);
    }
  }

  /** Reads whole aligned pieces around what is wanted into aligned memory. */
  #readAligned(buffer: Uint8Array<ArrayBuffer>, position: number): number {
    const { memory, start, within } = alignedAround(position, buffer.length);
    const count = files.preadFully(this.fd, memory, start);
    const got = Math.max(0, Math.min(buffer.length, count - within));
    buffer.set(memory.subarray(within, within + got));
    return got;
  }

  /** Writes aligned pieces, in which what lies around the new bytes is as it was. */
  #writeAligned(buffer: Uint8Array<ArrayBuffer>, position: number): void {
    const { memory, start, within } = alignedAround(position, buffer.length);
    const isWhole = buffer.length === memory.length;
    const count = isWhole ? memory.length : files.preadFully(this.fd, memory, start);
    memory.set(buffer, within);
    // Less was read when the file ends inside the last piece: it must not grow.
    files.pwriteFully(this.fd, memory.subarray(0, Math.max(count, within + buffer.length)), start);
  }
}

/** Aligned memory for the aligned pieces of a file around a range, and where the range lies in it. */
function alignedAround(position: number, length: number) {
  const within = position % DIRECT_ALIGNMENT;
  const start = position - within;
  const size = Math.ceil((within + length) / DIRECT_ALIGNMENT) * DIRECT_ALIGNMENT;
  return { memory: alignedMemory(size), start, within };
}

function alignedMemory(length: number): Uint8Array<ArrayBuffer> {
  const memory = new Uint8Array(length + DIRECT_ALIGNMENT);
  const skip = (DIRECT_ALIGNMENT - bufferAddress(memory) % DIRECT_ALIGNMENT) %
    DIRECT_ALIGNMENT;
  return memory.subarray(skip, skip + length);
}
