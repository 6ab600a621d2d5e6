/**
 * Tables of extended attributes, as they lie in inodes and in blocks (disk/xattr.ts): taken apart,
 * checked, and put together.
 */

import type { Features } from "../../disk/features.ts";
import { EXT4_XATTR_ROUND, Ext4XattrEntry as Entry } from "../../disk/xattr.ts";
import { sameBytes } from "../../sys/bytes.ts";
import { corrupt, type DiskPlace } from "../../sys/fs_error.ts";

/** An entry of the inode's or the block's table, checked. */
export interface XattrEntry {
  readonly nameIndex: number;
  /** The name without its prefix. Not a copy. */
  readonly name: Uint8Array<ArrayBuffer>;
  readonly valueSize: number;
  /** The inode that holds the value, or 0. */
  readonly valueIno: number;
  readonly hash: number;
  /** The value where it is in the table. Not a copy. */
  readonly value: Uint8Array<ArrayBuffer>;
}

/** What a table lies in. */
interface Memory {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
}

/**
 * Decodes and checks a table.
 * @param first byte of the first entry
 * @param base byte from which e_value_offs counts
 */
export function parseXattrTable(
  { bytes, view }: Memory,
  first: number,
  base: number,
  place: DiskPlace,
  features: Features,
): XattrEntry[] {
  const entries: XattrEntry[] = [];
  let at = first;
  // Four zero bytes end the table.
  while (at + EXT4_XATTR_ROUND <= bytes.length && view.getUint32(at, true) !== 0) {
    const nameAt = at + Entry.byteLength;
    if (nameAt > bytes.length) throw corrupt("attribute entry: cut off", place);
    const nameEnd = nameAt + Entry.e_name_len.get(view, at);
    const next = roundUp(nameEnd);
    if (next + EXT4_XATTR_ROUND > bytes.length) throw corrupt("attribute name: cut off", place);
    const entry = {
      nameIndex: Entry.e_name_index.get(view, at),
      name: bytes.subarray(nameAt, nameEnd),
      valueSize: Entry.e_value_size.get(view, at),
      valueIno: Entry.e_value_inum.get(view, at),
      hash: Entry.e_hash.get(view, at),
    };
    if (entry.name.includes(0)) throw corrupt("attribute name: contains NUL", place);
    if (entry.valueIno !== 0 && !features.has("ea_inode")) {
      throw corrupt("attribute value: in an inode, without the feature ea_inode", place);
    }
    const sizeHere = entry.valueIno === 0 ? entry.valueSize : 0;
    const valueAt = sizeHere === 0 ? 0 : base + Entry.e_value_offs.get(view, at);
    if (valueAt + sizeHere > bytes.length) {
      throw corrupt("attribute value: outside the table", place);
    }
    entries.push({ ...entry, value: bytes.subarray(valueAt, valueAt + sizeHere) });
    at = next;
  }
  for (const { value } of entries) {
    if (value.length > 0 && value.byteOffset - bytes.byteOffset < at + EXT4_XATTR_ROUND) {
      throw corrupt("attribute value: lies over the names", place);
    }
  }
  return entries;
}

/** Bytes that a table of these entries takes up, with the four that end it. */
export function xattrTableSize(entries: readonly XattrEntry[]): number {
  let size = EXT4_XATTR_ROUND;
  for (const { name, value } of entries) size += xattrEntrySize(name.length, value.length);
  return size;
}

/** Bytes that an entry takes up in its table. */
export function xattrEntrySize(nameLength: number, valueLength: number): number {
  return roundUp(Entry.byteLength + nameLength) + roundUp(valueLength);
}

/**
 * Makes a table: entries from the start on, values from the end on, zeros in between. The caller
 * has made sure that they fit.
 * @param size bytes of the table
 * @param base what e_value_offs counts from, in bytes before the table
 */
export function formatXattrTable(
  entries: readonly XattrEntry[],
  size: number,
  base: number,
): Uint8Array<ArrayBuffer> {
  if (xattrTableSize(entries) > size) throw new RangeError("attributes that do not fit");
  const table = new Uint8Array(size);
  const view = new DataView(table.buffer);
  let at = 0;
  let end = size;
  for (const { nameIndex, name, value, valueSize, valueIno, hash } of entries) {
    Entry.e_name_len.set(view, at, name.length);
    Entry.e_name_index.set(view, at, nameIndex);
    Entry.e_value_inum.set(view, at, valueIno);
    Entry.e_value_size.set(view, at, valueSize);
    Entry.e_hash.set(view, at, hash);
    table.set(name, at + Entry.byteLength);
    if (value.length > 0) {
      end -= roundUp(value.length);
      Entry.e_value_offs.set(view, at, base + end);
      table.set(value, end);
    }
    at += roundUp(Entry.byteLength + name.length);
  }
  return table;
}

/** The order in a block: by index, then by length of the name, then by name. */
export function compareXattrs(a: XattrEntry, b: XattrEntry): number {
  if (a.nameIndex !== b.nameIndex) return a.nameIndex - b.nameIndex;
  if (a.name.length !== b.name.length) return a.name.length - b.name.length;
  const at = a.name.findIndex((byte, index) => byte !== b.name[index]);
  return at < 0 ? 0 : a.name[at] - b.name[at];
}

/** The place of an attribute in a table, or -1. */
export function findXattr(
  entries: readonly XattrEntry[],
  nameIndex: number,
  name: Uint8Array,
): number {
  return entries.findIndex((entry) => entry.nameIndex === nameIndex && sameBytes(entry.name, name));
}

/** The attribute of a table, if it is there. */
export function xattrOf(
  entries: readonly XattrEntry[],
  nameIndex: number,
  name: Uint8Array,
): XattrEntry | undefined {
  return entries.find((entry) => entry.nameIndex === nameIndex && sameBytes(entry.name, name));
}

export function roundUp(offset: number): number {
  return Math.ceil(offset / EXT4_XATTR_ROUND) * EXT4_XATTR_ROUND;
}
