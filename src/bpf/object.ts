/**
 * What is in a BPF object, found in its symbols and its BTF: the programs and maps that a skeleton
 * has to name, and which program fills which member of a struct_ops.
 */

import { viewOf } from "../sys/bytes.ts";
import { Btf } from "./btf.ts";
import { ElfObject, type ElfSymbol, type Section, SHF_EXECINSTR } from "./elf.ts";
import { BadObject } from "./errors.ts";

export interface ProgramFacts {
  readonly name: string;
  /** Such as `struct_ops/iomap_begin`; it tells libbpf the program's type. */
  readonly section: string;
  /** Bytes of code, before the kernel translates it. */
  readonly size: number;
}

export interface MapFacts {
  readonly name: string;
  readonly kind: "struct_ops" | "map" | "data";
  readonly section: string;
  readonly size: number;
}

/** A variable in a struct_ops section. */
export interface StructOpsFacts {
  /** Name of the variable, and of the map that libbpf makes of it. */
  readonly name: string;
  /** Name of the structure, which the kernel has to know. */
  readonly typeName: string;
  /** True in a section `.struct_ops.link`: attaching gives a link, which detaches when destroyed. */
  readonly isLink: boolean;
  readonly members: readonly StructOpsMember[];
}

export interface StructOpsMember {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  /** The program that fills it. */
  readonly program?: string;
  /** A number's value where the object gives it one. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

const STRUCT_OPS_SECTIONS = [".struct_ops", ".struct_ops.link"];
const BTF_HEADERS_END = 24;

/** An object that libbpf may be given. */
export class BpfObject {
  readonly name: string;
  readonly elf: ElfObject;
  readonly btf: Btf;
  readonly license: string;
  readonly programs: readonly ProgramFacts[];
  readonly maps: readonly MapFacts[];
  readonly structOps: readonly StructOpsFacts[];

  /** Reads an object file. Throws {@linkcode BadObject}. */
  constructor(name: string, bytes: Uint8Array<ArrayBuffer>) {
    this.name = name;
    this.elf = new ElfObject(name, bytes);
    const btf = this.elf.section(".BTF");
    if (btf === undefined) throw new BadObject(name, "no BTF in it: compile it with -g");
    this.btf = new Btf(name, btf.content);
    this.#checkBtfExt();
    this.license = this.#readLicense();
    this.programs = this.#readPrograms();
    this.structOps = STRUCT_OPS_SECTIONS.flatMap((section) => this.#readStructOps(section));
    this.maps = [...this.#structOpsMaps(), ...this.#readMaps(), ...this.#dataMaps()];
  }

  get bytes(): Uint8Array<ArrayBuffer> {
    return this.elf.bytes;
  }

  /** libbpf checks the rest of it. */
  #checkBtfExt(): void {
    const section = this.elf.section(".BTF.ext");
    if (section === undefined) return;
    const { content } = section;
    const headerLength = content.length < BTF_HEADERS_END ? 0 : viewOf(content).getUint32(4, true);
    if (headerLength < BTF_HEADERS_END || headerLength > content.length) {
      throw new BadObject(this.name, "section .BTF.ext has no header");
    }
  }

  #readLicense(): string {
    const content = this.elf.section("license")?.content;
    return content === undefined ? "" : new TextDecoder().decode(content).replace(/\0.*$/s, "");
  }

  #readPrograms(): ProgramFacts[] {
    return this.elf.symbols.flatMap((symbol) => {
      const section = this.#sectionOf(symbol);
      // Functions in .text are called by programs but are none.
      const isProgram = symbol.kind === "function" && symbol.isGlobal && section !== undefined &&
        (section.flags & SHF_EXECINSTR) !== 0 && section.name !== ".text";
      return isProgram ? [{ name: symbol.name, section: section.name, size: symbol.size }] : [];
    });
  }

  #sectionOf({ section }: ElfSymbol): Section | undefined {
    return section === undefined ? undefined : this.elf.sections[section];
  }

  #readStructOps(sectionName: string): StructOpsFacts[] {
    const section = this.elf.section(sectionName);
    if (section === undefined) return [];
    const variables = this.btf.sectionVariables(sectionName);
    if (variables === undefined) {
      throw new BadObject(this.name, `BTF does not know the variables in section ${sectionName}`);
    }
    const relocations = this.elf.relocations(section);
    const symbols = this.elf.symbols.filter((symbol) => symbol.section === section.index);
    return variables.map(({ name, type }) => {
      // The BTF in an object has no offsets of variables: the linker would fill them in.
      const start = symbols.find((symbol) => symbol.name === name)?.value;
      const struct = this.btf.resolve(type);
      const size = this.btf.sizeOf(struct);
      const isStruct = this.btf.kind(struct) === "struct";
      if (start === undefined || !isStruct || start + size > section.content.length) {
        throw new BadObject(this.name, `section ${sectionName}: ${name} is no structure in it`);
      }
      const members = this.btf.members(struct).map((member) => {
        const memberSize = this.btf.sizeOf(member.type);
        const at = start + member.offset;
        if (member.offset + memberSize > size) {
          throw new BadObject(this.name, `BTF: member ${member.name} leaves its structure`);
        }
        return {
          name: member.name,
          offset: member.offset,
          size: memberSize,
          program: relocations.find(({ offset }) => offset === at)?.symbol.name,
          bytes: section.content.subarray(at, at + memberSize),
        };
      });
      const typeName = this.btf.nameOf(struct);
      return { name, typeName, isLink: sectionName === ".struct_ops.link", members };
    });
  }

  #structOpsMaps(): MapFacts[] {
    return this.structOps.map(({ name, isLink, members }) => ({
      name,
      kind: "struct_ops" as const,
      section: isLink ? ".struct_ops.link" : ".struct_ops",
      size: members.reduce((end, { offset, size }) => Math.max(end, offset + size), 0),
    }));
  }

  #readMaps(): MapFacts[] {
    return (this.btf.sectionVariables(".maps") ?? []).map(({ name, size }) => ({
      name,
      kind: "map" as const,
      section: ".maps",
      size,
    }));
  }

  /** Global variables: libbpf makes a map of each such section that is not empty. */
  #dataMaps(): MapFacts[] {
    return this.elf.sections
      .filter(({ name, size }) => /^\.(data|rodata|bss)(\.|$)/.test(name) && size > 0)
      .map(({ name, size }) => ({ name, kind: "data" as const, section: name, size }));
  }
}
