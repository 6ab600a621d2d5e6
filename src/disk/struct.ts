/**
 * On-disk structures, each declared once as a table of fields in order:
 *
 *     export const Ext4ExtentHeader = struct("ext4_extent_header", 12, {
 *       eh_magic: u16,
 *       eh_entries: u16,
 *       eh_max: u16,
 *       eh_depth: u16,
 *       eh_generation: u32,
 *     });
 *
 * Offsets follow from the order; the size is asserted when the module loads. A field reads and
 * writes through a DataView that the whole block shares, at the byte where the structure starts:
 *
 *     const depth = Ext4ExtentHeader.eh_depth.get(view, at);
 *
 * A view object for each structure would cost twenty times as much (measured on V8 15).
 */

/** One field at its place in a structure. `at` is the byte at which the structure starts. */
export interface Field<Value> {
  readonly offset: number;
  readonly size: number;
  get(view: DataView, at: number): Value;
  set(view: DataView, at: number, value: Value): void;
}

/** A kind of field: its size in bytes and how to make one at an offset. */
export interface FieldType<F extends Field<unknown>> {
  readonly size: number;
  at(offset: number): F;
}

const LITTLE = true;
const BIG = false;

class U8 implements Field<number> {
  readonly size = 1;
  constructor(readonly offset: number) {}
  get(view: DataView, at: number): number {
    return view.getUint8(at + this.offset);
  }
  set(view: DataView, at: number, value: number): void {
    view.setUint8(at + this.offset, value);
  }
}

class U16 implements Field<number> {
  readonly size = 2;
  constructor(readonly offset: number) {}
  get(view: DataView, at: number): number {
    return view.getUint16(at + this.offset, LITTLE);
  }
  set(view: DataView, at: number, value: number): void {
    view.setUint16(at + this.offset, value, LITTLE);
  }
}

class U32 implements Field<number> {
  readonly size = 4;
  constructor(readonly offset: number) {}
  get(view: DataView, at: number): number {
    return view.getUint32(at + this.offset, LITTLE);
  }
  set(view: DataView, at: number, value: number): void {
    view.setUint32(at + this.offset, value, LITTLE);
  }
}

class I32 implements Field<number> {
  readonly size = 4;
  constructor(readonly offset: number) {}
  get(view: DataView, at: number): number {
    return view.getInt32(at + this.offset, LITTLE);
  }
  set(view: DataView, at: number, value: number): void {
    view.setInt32(at + this.offset, value, LITTLE);
  }
}

class U64 implements Field<number> {
  readonly size = 8;
  constructor(readonly offset: number) {}
  get(view: DataView, at: number): number {
    const low = view.getUint32(at + this.offset, LITTLE);
    return view.getUint32(at + this.offset + 4, LITTLE) * 2 ** 32 + low;
  }
  set(view: DataView, at: number, value: number): void {
    view.setUint32(at + this.offset, value % 2 ** 32, LITTLE);
    view.setUint32(at + this.offset + 4, Math.floor(value / 2 ** 32), LITTLE);
  }
}

class Be16 implements Field<number> {
  readonly size = 2;
  constructor(readonly offset: number) {}
  get(view: DataView, at: number): number {
    return view.getUint16(at + this.offset, BIG);
  }
  set(view: DataView, at: number, value: number): void {
    view.setUint16(at + this.offset, value, BIG);
  }
}

class Be32 implements Field<number> {
  readonly size = 4;
  constructor(readonly offset: number) {}
  get(view: DataView, at: number): number {
    return view.getUint32(at + this.offset, BIG);
  }
  set(view: DataView, at: number, value: number): void {
    view.setUint32(at + this.offset, value, BIG);
  }
}

class Be64 implements Field<number> {
  readonly size = 8;
  constructor(readonly offset: number) {}
  get(view: DataView, at: number): number {
    const high = view.getUint32(at + this.offset, BIG);
    return high * 2 ** 32 + view.getUint32(at + this.offset + 4, BIG);
  }
  set(view: DataView, at: number, value: number): void {
    view.setUint32(at + this.offset, Math.floor(value / 2 ** 32), BIG);
    view.setUint32(at + this.offset + 4, value % 2 ** 32, BIG);
  }
}

/** A run of bytes; `get` returns a view of the block's memory, not a copy. */
class Bytes implements Field<Uint8Array> {
  constructor(readonly offset: number, readonly size: number) {}
  get(view: DataView, at: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(
      view.buffer as ArrayBuffer,
      view.byteOffset + at + this.offset,
      this.size,
    );
  }
  set(view: DataView, at: number, value: Uint8Array): void {
    if (value.length !== this.size) {
      throw new RangeError(`${value.length} bytes for a field of ${this.size}`);
    }
    this.get(view, at).set(value);
  }
}

function integer<F extends Field<number>>(make: new (offset: number) => F): FieldType<F> {
  return { size: new make(0).size, at: (offset) => new make(offset) };
}

/** __u8 */
export const u8 = integer(U8);
/** __le16 */
export const u16 = integer(U16);
/** __le32 */
export const u32 = integer(U32);
/** __le32 read as a signed number, as ext4 reads its times */
export const i32 = integer(I32);
/** __le64 as a number; values above 2^53 lose their low bits, so range-check before use */
export const u64 = integer(U64);
/** __be16 */
export const be16 = integer(Be16);
/** __be32 */
export const be32 = integer(Be32);
/** __be64, as {@linkcode u64} */
export const be64 = integer(Be64);
/** A byte array of `size` bytes. */
export function bytes(size: number): FieldType<Bytes> {
  return { size, at: (offset) => new Bytes(offset, size) };
}

/** Fills a field with as much of a text as there is room for, and zeros behind it. */
export function setText(view: DataView, field: Field<Uint8Array>, text: string): void {
  const bytes = field.get(view, 0);
  bytes.fill(0);
  new TextEncoder().encodeInto(text, bytes);
}

/** A structure: its fields by name, and what the table of them adds up to. */
export type Struct<Types extends Record<string, FieldType<Field<unknown>>>> =
  & { readonly [Name in keyof Types]: ReturnType<Types[Name]["at"]> }
  & {
    readonly structName: string;
    /** Size of the whole in bytes; not named size, which is the name of many a field. */
    readonly byteLength: number;
    /** Field names in the order of the disk. */
    readonly fieldNames: readonly string[];
  };

/**
 * Declares a structure. `size` is what the fields must add up to: a wrong table fails when the
 * module loads, not when an image is read.
 */
export function struct<Types extends Record<string, FieldType<Field<unknown>>>>(
  structName: string,
  size: number,
  types: Types,
): Struct<Types> {
  const fields: Record<string, Field<unknown>> = {};
  let offset = 0;
  for (const [name, type] of Object.entries(types)) {
    fields[name] = type.at(offset);
    offset += type.size;
  }
  if (offset !== size) {
    throw new Error(`struct ${structName}: fields add up to ${offset} bytes, not ${size}`);
  }
  return Object.freeze({
    ...fields,
    structName,
    byteLength: size,
    fieldNames: Object.freeze(Object.keys(types)),
  }) as Struct<Types>;
}

/** Joins the low and the high part of a split number; `<<` would lose what is above 2^31. */
export function join32(low: number, high: number): number {
  return high * 2 ** 32 + low;
}
