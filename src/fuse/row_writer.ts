/** Rows of a listing, in the form of the kernel's fuse_dirent and fuse_direntplus. */

import { ENTRY_SIZE } from "./attribute_forms.ts";
import type { DirectoryRow, Entry } from "./handlers.ts";
import { FuseDirent as Dirent } from "./wire.ts";

export class RowWriter {
  /** Bytes written. */
  length = 0;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView<ArrayBuffer>;
  readonly #putEntry: (at: number, entry: Entry) => void;

  constructor(
    bytes: Uint8Array<ArrayBuffer>,
    view: DataView<ArrayBuffer>,
    putEntry: (at: number, entry: Entry) => void,
  ) {
    this.#bytes = bytes;
    this.#view = view;
    this.#putEntry = putEntry;
  }

  /** Adds a row of readdir; false when it does not fit. */
  add(row: DirectoryRow): boolean {
    const size = direntSize(row);
    if (this.length + size > this.#bytes.length) return false;
    this.#putRow(this.length, row);
    this.length += size;
    return true;
  }

  /** Adds a row of readdirplus. One without an entry has node id 0: the kernel looks it up. */
  addPlus(row: DirectoryRow, entry: Entry | undefined): boolean {
    const size = ENTRY_SIZE + direntSize(row);
    if (this.length + size > this.#bytes.length) return false;
    if (entry === undefined) this.#bytes.fill(0, this.length, this.length + ENTRY_SIZE);
    else this.#putEntry(this.length, entry);
    this.#putRow(this.length + ENTRY_SIZE, row);
    this.length += size;
    return true;
  }

  #putRow(at: number, row: DirectoryRow): void {
    const view = this.#view;
    const nameLength = row.name.length;
    Dirent.ino.set(view, at, row.ino);
    Dirent.off.set(view, at, row.next);
    Dirent.namelen.set(view, at, nameLength);
    Dirent.type.set(view, at, row.type >>> 12);
    this.#bytes.set(row.name, at + Dirent.byteLength);
    this.#bytes.fill(0, at + Dirent.byteLength + nameLength, at + direntSize(row));
  }
}

function direntSize(row: DirectoryRow): number {
  return Math.ceil((Dirent.byteLength + row.name.length) / 8) * 8;
}
