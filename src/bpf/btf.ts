/**
 * BTF, the type information of the kernel, of its modules and of BPF objects (kernel documentation:
 * bpf/btf.rst). It tells which interface a kernel has, and where the members of a structure lie.
 *
 *     | btf_header | types: btf_type and what its kind adds, one after the other | strings |
 *
 * Types have numbers from 1 on. A module's BTF goes on where the kernel's ends: its numbers and its
 * string offsets count from there.
 */

import { struct, u16, u32, u8 } from "../disk/struct.ts";
import { viewOf } from "../sys/bytes.ts";
import { BadObject } from "./errors.ts";

const BtfHeader = struct("btf_header", 24, {
  magic: u16,
  version: u8,
  flags: u8,
  hdr_len: u32,
  type_off: u32,
  type_len: u32,
  str_off: u32,
  str_len: u32,
});

/** `size` is a type's number for kinds that refer to another type. */
const BtfTypeHeader = struct("btf_type", 12, { name_off: u32, info: u32, size: u32 });
const BtfArray = struct("btf_array", 12, { type: u32, index_type: u32, nelems: u32 });
const BtfMember = struct("btf_member", 12, { name_off: u32, type: u32, offset: u32 });
const BtfParam = struct("btf_param", 8, { name_off: u32, type: u32 });
const BtfVarSecinfo = struct("btf_var_secinfo", 12, { type: u32, offset: u32, size: u32 });

const BTF_MAGIC = 0xeb9f;

/** BTF_KIND_*, in the order of their numbers. */
const KINDS = [
  "void",
  "int",
  "ptr",
  "array",
  "struct",
  "union",
  "enum",
  "fwd",
  "typedef",
  "volatile",
  "const",
  "restrict",
  "func",
  "func_proto",
  "var",
  "datasec",
  "float",
  "decl_tag",
  "type_tag",
  "enum64",
] as const;

export type BtfKind = (typeof KINDS)[number];

/** Bytes behind the header of a type: so many for each of its elements, and so many besides. */
const EXTRA: Partial<Record<BtfKind, { readonly each?: number; readonly fixed?: number }>> = {
  int: { fixed: 4 },
  array: { fixed: BtfArray.byteLength },
  struct: { each: BtfMember.byteLength },
  union: { each: BtfMember.byteLength },
  enum: { each: 8 },
  func_proto: { each: BtfParam.byteLength },
  var: { fixed: 4 },
  datasec: { each: BtfVarSecinfo.byteLength },
  decl_tag: { fixed: 4 },
  enum64: { each: 12 },
};

/** Kinds that only stand for another type. */
const TRANSPARENT: readonly BtfKind[] = ["typedef", "volatile", "const", "restrict", "type_tag"];
/** A chain of them is never longer than a person would write. */
const MAX_CHAIN = 64;

export interface Member {
  readonly name: string;
  readonly type: number;
  /** Bytes from the start of the structure. */
  readonly offset: number;
}

/** A variable in a section. */
export interface SectionVariable {
  readonly name: string;
  /** The variable's type. */
  readonly type: number;
  readonly offset: number;
  readonly size: number;
}

export class Btf {
  /** For messages. */
  readonly name: string;
  readonly #view: DataView<ArrayBuffer>;
  readonly #strings: Uint8Array<ArrayBuffer>;
  readonly #base: Btf | undefined;
  /** Where each type begins; the first one has the number after those of the base. */
  readonly #offsets: Uint32Array;

  /**
   * Checks the frame and finds all types. Throws {@linkcode BadObject}.
   * @param base the kernel's BTF, for a module's
   */
  constructor(name: string, bytes: Uint8Array<ArrayBuffer>, base?: Btf) {
    this.name = name;
    this.#base = base;
    const view = viewOf(bytes);
    if (bytes.length < BtfHeader.byteLength || BtfHeader.magic.get(view, 0) !== BTF_MAGIC) {
      throw new BadObject(name, "no BTF");
    }
    const section = (offset: number, length: number): Uint8Array<ArrayBuffer> => {
      const start = BtfHeader.hdr_len.get(view, 0) + offset;
      if (start + length > bytes.length) throw new BadObject(name, "BTF is cut off");
      return bytes.subarray(start, start + length);
    };
    this.#strings = section(BtfHeader.str_off.get(view, 0), BtfHeader.str_len.get(view, 0));
    const types = section(BtfHeader.type_off.get(view, 0), BtfHeader.type_len.get(view, 0));
    this.#view = viewOf(types);
    this.#offsets = this.#findTypes();
  }

  /** One more than the highest number of a type. */
  get typeCount(): number {
    return this.#firstType + this.#offsets.length;
  }

  get #firstType(): number {
    return this.#base?.typeCount ?? 1;
  }

  get #stringsEnd(): number {
    const before = this.#base === undefined ? 0 : this.#base.#stringsEnd;
    return before + this.#strings.length;
  }

  /** The number of the type with this name and kind, its own before the base's. */
  find(name: string, kind: BtfKind): number | undefined {
    const kindNumber = KINDS.indexOf(kind);
    const wanted = new TextEncoder().encode(name);
    const view = this.#view;
    for (let index = 0; index < this.#offsets.length; index++) {
      const at = this.#offsets[index];
      if (kindOf(BtfTypeHeader.info.get(view, at)) !== kindNumber) continue;
      if (this.#isString(BtfTypeHeader.name_off.get(view, at), wanted)) {
        return this.#firstType + index;
      }
    }
    return this.#base?.find(name, kind);
  }

  kind(type: number): BtfKind {
    return this.#at(
      type,
      (btf, at) => KINDS[kindOf(BtfTypeHeader.info.get(btf.#view, at))],
      "void",
    );
  }

  /** Empty for a type without a name. */
  nameOf(type: number): string {
    return this.#at(
      type,
      (btf, at) => btf.#string(BtfTypeHeader.name_off.get(btf.#view, at)),
      "void",
    );
  }

  /** What a pointer, typedef, function, variable or the like refers to. */
  target(type: number): number {
    return this.#at(type, (btf, at) => BtfTypeHeader.size.get(btf.#view, at), 0);
  }

  /** The type behind typedefs and qualifiers. */
  resolve(type: number): number {
    for (let depth = 0; depth < MAX_CHAIN; depth++) {
      if (!TRANSPARENT.includes(this.kind(type))) return type;
      type = this.target(type);
    }
    throw new BadObject(this.name, `BTF type ${type} refers to itself`);
  }

  /** Bytes of a value of this type. */
  sizeOf(type: number): number {
    let count = 1;
    for (let depth = 0; depth < MAX_CHAIN; depth++) {
      type = this.resolve(type);
      const kind = this.kind(type);
      if (kind === "ptr") return count * 8;
      if (kind !== "array") {
        const hasSize = ["int", "struct", "union", "enum", "enum64", "float", "datasec"];
        return hasSize.includes(kind) ? count * this.target(type) : 0;
      }
      const array = this.#at(type, (btf, at) => {
        const body = at + BtfTypeHeader.byteLength;
        return {
          element: BtfArray.type.get(btf.#view, body),
          length: BtfArray.nelems.get(btf.#view, body),
        };
      }, undefined);
      count *= array?.length ?? 0;
      type = array?.element ?? 0;
    }
    throw new BadObject(this.name, `BTF type ${type} has itself as an element`);
  }

  /** Members of a structure or union, in order. */
  members(type: number): Member[] {
    return this.#elements(type, ["struct", "union"], BtfMember.byteLength, (btf, at, flag) => {
      const offset = BtfMember.offset.get(btf.#view, at);
      return {
        name: btf.#string(BtfMember.name_off.get(btf.#view, at)),
        type: BtfMember.type.get(btf.#view, at),
        // With the flag, the upper byte is the width of a bit field.
        offset: Math.floor((flag ? offset & 0xffffff : offset) / 8),
      };
    });
  }

  /** Types of the parameters of a function, given its prototype, a function or a pointer to one. */
  parameters(type: number): number[] {
    type = this.resolve(type);
    if (this.kind(type) === "ptr") type = this.resolve(this.target(type));
    if (this.kind(type) === "func") type = this.resolve(this.target(type));
    return this.#elements(
      type,
      ["func_proto"],
      BtfParam.byteLength,
      (btf, at) => BtfParam.type.get(btf.#view, at),
    );
  }

  /** Variables of a section, in order; undefined when the BTF has no such section. */
  sectionVariables(section: string): SectionVariable[] | undefined {
    const type = this.find(section, "datasec");
    if (type === undefined) return undefined;
    return this.#elements(type, ["datasec"], BtfVarSecinfo.byteLength, (btf, at) => {
      const variable = BtfVarSecinfo.type.get(btf.#view, at);
      return {
        name: btf.nameOf(variable),
        type: btf.kind(variable) === "var" ? btf.target(variable) : 0,
        offset: BtfVarSecinfo.offset.get(btf.#view, at),
        size: BtfVarSecinfo.size.get(btf.#view, at),
      };
    });
  }

  #elements<Element>(
    type: number,
    kinds: readonly BtfKind[],
    size: number,
    read: (btf: Btf, at: number, flag: boolean) => Element,
  ): Element[] {
    if (!kinds.includes(this.kind(type))) return [];
    return this.#at<Element[]>(type, (btf, at) => {
      const info = BtfTypeHeader.info.get(btf.#view, at);
      return Array.from(
        { length: countOf(info) },
        (_, index) => read(btf, at + BtfTypeHeader.byteLength + index * size, info >>> 31 === 1),
      );
    }, []);
  }

  /** Reads a type where it is, in this BTF or in the base; number 0 stands for void. */
  #at<Value>(type: number, read: (btf: Btf, at: number) => Value, ofVoid: Value): Value {
    if (type === 0) return ofVoid;
    if (type < this.#firstType && this.#base !== undefined) {
      return this.#base.#at(type, read, ofVoid);
    }
    const index = type - this.#firstType;
    if (!(index >= 0 && index < this.#offsets.length)) {
      throw new BadObject(this.name, `BTF has no type ${type}`);
    }
    return read(this, this.#offsets[index]);
  }

  /** Types have no table: each one tells how long it is. */
  #findTypes(): Uint32Array {
    const view = this.#view;
    const end = view.byteLength;
    // The smallest type has 12 bytes.
    const offsets = new Uint32Array(Math.ceil(end / BtfTypeHeader.byteLength));
    let count = 0;
    for (let at = 0; at < end;) {
      if (at + BtfTypeHeader.byteLength > end) throw new BadObject(this.name, "BTF is cut off");
      offsets[count++] = at;
      const info = BtfTypeHeader.info.get(view, at);
      const kind = KINDS[kindOf(info)];
      if (kind === undefined || kind === "void") {
        throw new BadObject(this.name, `BTF type ${count} has the unknown kind ${kindOf(info)}`);
      }
      const { each = 0, fixed = 0 } = EXTRA[kind] ?? {};
      at += BtfTypeHeader.byteLength + fixed + each * countOf(info);
      if (at > end) throw new BadObject(this.name, `BTF type ${count} is cut off`);
    }
    return offsets.subarray(0, count);
  }

  #isString(offset: number, wanted: Uint8Array): boolean {
    const own = offset - (this.#stringsEnd - this.#strings.length);
    if (own < 0) return false;
    for (let index = 0; index < wanted.length; index++) {
      if (this.#strings[own + index] !== wanted[index]) return false;
    }
    return this.#strings[own + wanted.length] === 0;
  }

  #string(offset: number): string {
    const before = this.#stringsEnd - this.#strings.length;
    if (offset < before && this.#base !== undefined) return this.#base.#string(offset);
    const start = offset - before;
    const end = start < this.#strings.length ? this.#strings.indexOf(0, start) : -1;
    if (end < 0) throw new BadObject(this.name, `BTF has no string at ${offset}`);
    return DECODER.decode(this.#strings.subarray(start, end));
  }
}

const DECODER = new TextDecoder();

function kindOf(info: number): number {
  return info >>> 24 & 0x1f;
}

function countOf(info: number): number {
  return info & 0xffff;
}
