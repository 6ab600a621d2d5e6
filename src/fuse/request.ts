/**
 * The request that is being answered, read from the bytes that the kernel sent. There is one
 * object for all requests: they are handled one after the other.
 *
 *     fuse_in_header (40) | arguments of the opcode | names, each ended by NUL
 */

import type { Field } from "../disk/struct.ts";
import type { Caller } from "./handlers.ts";
import { FuseInHeader as Header } from "./wire.ts";

export class Request implements Caller {
  /** All bytes of the receive buffer; those behind `length` are of no meaning. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;

  readonly #unique: Uint8Array<ArrayBuffer>;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
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

  /** The name that begins `offset` bytes behind the start of the arguments. A copy. */
  name(offset = 0): Uint8Array<ArrayBuffer> {
    const start = Header.byteLength + offset;
    const end = this.bytes.indexOf(0, start);
    return this.bytes.slice(start, end < 0 || end > this.length ? this.length : end);
  }

  /** `size` bytes that begin `offset` bytes behind the start of the arguments. A copy. */
  data(offset: number, size: number): Uint8Array<ArrayBuffer> {
    const start = Header.byteLength + offset;
    return this.bytes.slice(start, Math.min(start + size, this.length));
  }
}
