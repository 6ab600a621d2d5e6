/**
 * ELF files as clang makes them for BPF: relocatable, 64 bits, little-endian. Everything is checked
 * before it is used: an object may come from anywhere, and libbpf, which is C, gets only what has
 * passed here.
 *
 *     | Elf64_Ehdr | section contents ... | Elf64_Shdr[e_shnum] |
 *                    .strtab names, .symtab symbols, .relNAME relocations of section NAME
 */

import { Elf64Ehdr, Elf64Rel, Elf64Shdr, Elf64Sym } from "../disk/elf.ts";
import { viewOf } from "../sys/bytes.ts";
import { BadObject } from "./errors.ts";

const ELFCLASS64 = 2;
const ELFDATA2LSB = 1;
const ET_REL = 1;
const EM_NONE = 0;
const EM_BPF = 247;
const SHT_SYMTAB = 2;
const SHT_STRTAB = 3;
const SHT_NOBITS = 8;
const SHT_REL = 9;
const SHN_UNDEF = 0;
/** Section numbers from here on mean something else: absolute, common. */
const SHN_LORESERVE = 0xff00;

/** sh_flags: the section holds code. */
export const SHF_EXECINSTR = 4;

/** Larger than any program that a kernel would take. */
const MAX_OBJECT_SIZE = 64 * 2 ** 20;

export interface Section {
  readonly index: number;
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  /** Bytes in memory; `content` is shorter (empty) when nothing is stored, as for .bss. */
  readonly size: number;
  readonly content: Uint8Array<ArrayBuffer>;
  readonly link: number;
  readonly info: number;
}

export type SymbolKind = "function" | "object" | "section" | "other";

export interface ElfSymbol {
  readonly name: string;
  readonly kind: SymbolKind;
  readonly isGlobal: boolean;
  /** Number of its section; undefined for one that is defined elsewhere, or nowhere. */
  readonly section: number | undefined;
  /** Byte in its section. */
  readonly value: number;
  readonly size: number;
}

export interface Relocation {
  /** Byte in the section that it changes. */
  readonly offset: number;
  readonly symbol: ElfSymbol;
}

/** A checked object file. */
export class ElfObject {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly sections: readonly Section[];
  readonly symbols: readonly ElfSymbol[];

  /**
   * Reads and checks all there is. Throws {@linkcode BadObject}.
   * @param name for messages, usually a path
   */
  constructor(name: string, bytes: Uint8Array<ArrayBuffer>) {
    this.name = name;
    this.bytes = bytes;
    this.sections = readSections(name, bytes);
    this.symbols = this.#readSymbols();
    for (const section of this.sections) this.#checkRelocations(section);
  }

  /** The first section of this name. */
  section(name: string): Section | undefined {
    return this.sections.find((section) => section.name === name);
  }

  /** What the linker would change in a section, in the order of the file. */
  relocations(section: Section): Relocation[] {
    const tables = this.sections.filter(({ type, info }) =>
      type === SHT_REL && info === section.index
    );
    return tables.flatMap(({ content }) => {
      const view = viewOf(content);
      return Array.from({ length: content.length / Elf64Rel.byteLength }, (_, index) => {
        const at = index * Elf64Rel.byteLength;
        return {
          offset: Elf64Rel.r_offset.get(view, at),
          symbol: this.symbols[Elf64Rel.r_sym.get(view, at)],
        };
      });
    });
  }

  #bad(problem: string): BadObject {
    return new BadObject(this.name, problem);
  }

  #readSymbols(): ElfSymbol[] {
    const tables = this.sections.filter(({ type }) => type === SHT_SYMTAB);
    if (tables.length !== 1) throw this.#bad(`${tables.length} symbol tables where one is needed`);
    const [table] = tables;
    if (table.content.length % Elf64Sym.byteLength !== 0) {
      throw this.#bad(`the symbol table has ${table.content.length} bytes, no whole entries`);
    }
    const names = this.sections.at(table.link);
    if (names === undefined || names.type !== SHT_STRTAB) {
      throw this.#bad(`the symbol table names section ${table.link} as its string table`);
    }
    const view = viewOf(table.content);
    return Array.from(
      { length: table.content.length / Elf64Sym.byteLength },
      (_, index) => this.#symbolAt(view, index * Elf64Sym.byteLength, names.content),
    );
  }

  #symbolAt(view: DataView, at: number, names: Uint8Array): ElfSymbol {
    const info = Elf64Sym.st_info.get(view, at);
    const shndx = Elf64Sym.st_shndx.get(view, at);
    const value = Elf64Sym.st_value.get(view, at);
    const size = Elf64Sym.st_size.get(view, at);
    const isHere = shndx !== SHN_UNDEF && shndx < SHN_LORESERVE;
    const name = stringAt(this.name, names, Elf64Sym.st_name.get(view, at));
    if (isHere && !(value + size <= (this.sections.at(shndx)?.size ?? -1))) {
      throw this.#bad(`symbol ${at / Elf64Sym.byteLength} (${name}) is not in section ${shndx}`);
    }
    return {
      name,
      kind: SYMBOL_KINDS[info & 0xf] ?? "other",
      isGlobal: info >> 4 !== 0,
      section: isHere ? shndx : undefined,
      value,
      size,
    };
  }

  #checkRelocations({ name, type, info, content }: Section): void {
    if (type !== SHT_REL) return;
    const target = this.sections.at(info);
    if (target === undefined || content.length % Elf64Rel.byteLength !== 0) {
      throw this.#bad(`section ${name} is no table of relocations`);
    }
    const view = viewOf(content);
    for (let at = 0; at < content.length; at += Elf64Rel.byteLength) {
      const offset = Elf64Rel.r_offset.get(view, at);
      const symbol = Elf64Rel.r_sym.get(view, at);
      if (offset >= target.size || symbol >= this.symbols.length) {
        throw this.#bad(`section ${name} relocates byte ${offset} by symbol ${symbol}`);
      }
    }
  }
}

const SYMBOL_KINDS: readonly SymbolKind[] = ["other", "object", "function", "section"];

function readSections(name: string, file: Uint8Array<ArrayBuffer>): Section[] {
  const bad = (problem: string) => new BadObject(name, problem);
  if (file.length > MAX_OBJECT_SIZE) throw bad(`${file.length} bytes are too many for a program`);
  const magic = [0x7f, 0x45, 0x4c, 0x46];
  if (!magic.every((byte, index) => file[index] === byte)) throw bad("not an ELF file");
  if (file.length < Elf64Ehdr.byteLength) throw bad("cut off within the ELF header");
  const view = viewOf(file);
  const machine = Elf64Ehdr.e_machine.get(view, 0);
  if (
    file[4] !== ELFCLASS64 || file[5] !== ELFDATA2LSB || Elf64Ehdr.e_type.get(view, 0) !== ET_REL ||
    (machine !== EM_BPF && machine !== EM_NONE)
  ) {
    throw bad("an ELF file, but not a little-endian object file of BPF");
  }
  const table = Elf64Ehdr.e_shoff.get(view, 0);
  const count = Elf64Ehdr.e_shnum.get(view, 0);
  if (Elf64Ehdr.e_shentsize.get(view, 0) !== Elf64Shdr.byteLength || count === 0) {
    throw bad("no section table");
  }
  if (!(table + count * Elf64Shdr.byteLength <= file.length)) {
    throw bad(`cut off: the section table ends at byte ${table + count * Elf64Shdr.byteLength}`);
  }
  const headers = Array.from({ length: count }, (_, index) => table + index * Elf64Shdr.byteLength);
  const contents = headers.map((at, index) => {
    if (Elf64Shdr.sh_type.get(view, at) === SHT_NOBITS || index === 0) return new Uint8Array();
    const offset = Elf64Shdr.sh_offset.get(view, at);
    const size = Elf64Shdr.sh_size.get(view, at);
    if (!(offset + size <= file.length)) {
      throw bad(`cut off: section ${index} ends at byte ${offset + size} of ${file.length}`);
    }
    return file.subarray(offset, offset + size);
  });
  const names = contents.at(Elf64Ehdr.e_shstrndx.get(view, 0));
  if (names === undefined) throw bad("no section has the names of the sections");
  return headers.map((at, index) => ({
    index,
    name: stringAt(name, names, index === 0 ? 0 : Elf64Shdr.sh_name.get(view, at)),
    type: Elf64Shdr.sh_type.get(view, at),
    flags: Elf64Shdr.sh_flags.get(view, at),
    size: index === 0 ? 0 : Elf64Shdr.sh_size.get(view, at),
    content: contents[index],
    link: Elf64Shdr.sh_link.get(view, at),
    info: Elf64Shdr.sh_info.get(view, at),
  }));
}

/** A string that ends with NUL within the table. */
function stringAt(file: string, table: Uint8Array, start: number): string {
  if (start === 0 && table.length === 0) return "";
  const end = start < table.length ? table.indexOf(0, start) : -1;
  if (end < 0) throw new BadObject(file, `a name at byte ${start} leaves its string table`);
  return DECODER.decode(table.subarray(start, end));
}

const DECODER = new TextDecoder();
