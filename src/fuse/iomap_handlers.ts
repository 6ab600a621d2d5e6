/**
 * What a server answers to a kernel with FUSE iomap, which reads and writes file data on the device
 * itself and only asks where it is. As handlers.ts otherwise: a method throws FsError to answer
 * with its errno.
 */

import type { Caller } from "./handlers.ts";

/** What the kernel is to know of the file system. */
export interface IomapConfiguration {
  /** A name for messages of the kernel; 31 bytes of it are taken. */
  readonly id: string;
  readonly uuid: Uint8Array;
  /** In bytes. */
  readonly blockSize: number;
  /** Most links of a file. */
  readonly maxLinks: number;
  /** Seconds since 1970 that a time of a file can have. */
  readonly timeMin: number;
  readonly timeMax: number;
  /** Nanoseconds between two times. */
  readonly timeGranularity: number;
  /** Largest file. */
  readonly maxBytes: number;
}

/** A range of a file and what it is; bytes, whole blocks. Read in the same tick: may be reused. */
export interface IomapMapping {
  /** One of IomapType. */
  readonly type: number;
  readonly offset: number;
  readonly length: number;
  /** Byte of the device; undefined where there is none. */
  readonly address: number | undefined;
  /** Cookie of the device; 0 where there is none. */
  readonly device: number;
}

/** Writing has ended, well or not. */
export interface WriteEnd {
  /** IomapIoend. */
  readonly flags: number;
  /** The errno of a write that failed, else 0. */
  readonly error: number;
  readonly position: number;
  readonly written: number;
}

export interface IomapHandlers {
  /** Called once, before any other request; what is thrown ends the mount. */
  configure(): IomapConfiguration;
  /**
   * The mapping of the byte at `position`, of `count` bytes at most but whole blocks. With an
   * `operation` (IomapOp) that writes, what it needs is allocated.
   */
  begin(
    nodeId: number,
    position: number,
    count: number,
    operation: number,
    caller: Caller,
  ): IomapMapping;
  /** What a mapping was asked for is over. `written` is negative when it failed. */
  end(nodeId: number, position: number, count: number, written: number, operation: number): void;
  /** Data has reached the device, or has not; returns the size of the file. */
  ioend(nodeId: number, end: WriteEnd): number;
  /** Nothing may change until thaw; everything is on the device in a state that can be copied. */
  freeze(): void;
  thaw(): void;
  /** Everything ends here, as if the power went. */
  shutDown(): void;
}
