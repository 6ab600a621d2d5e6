/**
 * The request that is being answered, read from the bytes that the kernel sent. There is one
 * object for all requests: they are handled one after the other.
 *
 *     fuse_in_header (40) | arguments of the opcode | names, each ended by NUL
 */

import type { Field } from "../disk/struct.ts";
import { viewOf } from "../sys/bytes.ts";
import { fail } from "../sys/fs_error.ts";
import type { Caller } from "./handlers.ts";
import { FuseInHeader as Header } from "./wire.ts";

export class Request implements Caller {
  /** All bytes of the receive buffer; those behind `length` are of no meaning. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;

  readonly #unique: Uint8Array<ArrayBuffer>;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
    this.view = viewOf(bytes);
    this.#unique = Header.unique.get(this.view, 0);
  }

  get length(): number {
    return Header.len.get(this.view, 0);
  }

  get opcode(): number {
    return Header.opcode.get(this.view, 0);
  }

  /** What an answer names its request by. Not a copy. */
  get unique(): Uint8Array<ArrayBuffer> {
    return this.#unique;
  }

  get nodeId(): number {
    return Header.nodeid.get(this.view, 0);
  }

  get uid(): number {
    return Header.uid.get(this.view, 0);
  }

  get gid(): number {
    return Header.gid.get(this.view, 0);
  }

  get pid(): number {
    return Header.pid.get(this.view, 0);
  }

  /** A field of the arguments. */
  argument(field: Field<number>): number {
    return field.get(this.view, Header.byteLength);
  }

  /** A field of a structure that stands `offset` bytes behind the start of the arguments. */
  argumentAt(field: Field<number>, offset: number): number {
    return field.get(this.view, Header.byteLength + offset);
  }

  /** A field of 64 bits that is a signed number, such as the seconds of a time. */
  signedArgument(field: Field<number>): number {
    const at = Header.byteLength + field.offset;
    return this.view.getInt32(at + 4, true) * 2 ** 32 + this.view.getUint32(at, true);
  }

  /** Bytes of the arguments. */
  get argumentsLength(): number {
    return this.length - Header.byteLength;
  }

  /** The name that begins `offset` bytes behind the start of the arguments. A copy. */
  name(offset = 0): Uint8Array<ArrayBuffer> {
    const start = Header.byteLength + offset;
    const end = this.bytes.indexOf(0, start);
    if (end < 0 || end >= this.length) {
      throw fail("EINVAL", "A request with a name without its end");
    }
    return this.bytes.slice(start, end);
  }

  /** Two names, one behind the other, as name. */
  names(offset = 0): [Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>] {
    const first = this.name(offset);
    return [first, this.name(offset + first.length + 1)];
  }

  /**
   * `size` bytes that begin `offset` bytes behind the start of the arguments. Not a copy: they are
   * good until the next request is received.
   */
  data(offset: number, size: number): Uint8Array<ArrayBuffer> {
    const start = Header.byteLength + offset;
    if (start + size > this.length) {
      throw fail("EINVAL", `A request of ${this.length} bytes that announces ${start + size}`);
    }
    return this.bytes.subarray(start, start + size);
  }
}
