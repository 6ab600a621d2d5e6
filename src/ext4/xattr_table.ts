/**
 * Tables of extended attributes, as they lie in inodes and in blocks (disk/xattr.ts): taken apart,
 * and checked.
 */

import type { Features } from "../disk/features.ts";
import { EXT4_XATTR_ROUND, Ext4XattrEntry as Entry } from "../disk/xattr.ts";
import { corrupt, type DiskPlace } from "../sys/fs_error.ts";

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

/** True for names of the same bytes. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

function roundUp(offset: number): number {
  return Math.ceil(offset / EXT4_XATTR_ROUND) * EXT4_XATTR_ROUND;
}
