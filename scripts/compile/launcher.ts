/**
 * Makes the executable out of Deno's own one and the bundle, where there is no denort for
 * `deno compile`: one more segment is added to Deno's ELF file, and the entry point moved there.
 *
 *     | Deno: headers, segments, sections ... | padding | entry stub | bundle | hot ranges |
 *       ^ e_entry and one program header                  ^ new PT_LOAD
 *
 * Deno has a program header to spare: PT_NOTE, which nothing needs at run time, becomes the
 * PT_LOAD. What the stub does is told in entry_stub.c.
 */

import { Elf64Dyn, Elf64Ehdr, Elf64Phdr, Elf64Rela, Elf64Sym } from "../../src/disk/elf.ts";
import { bytes, struct, u64 } from "../../src/disk/struct.ts";
import { viewOf } from "../../src/sys/bytes.ts";
import type { Packed } from "./bundle.ts";
import type { ByteRange } from "./hot_ranges.ts";

const ET_DYN = 3;
const EM_X86_64 = 62;
const EM_AARCH64 = 183;
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_NOTE = 4;
const PF_X = 1;
const PF_R = 4;
const DT_STRTAB = 5;
const DT_SYMTAB = 6;
const DT_RELA = 7;
const DT_RELASZ = 8;
/** R_*_GLOB_DAT, the relocation of a pointer to a symbol of another library. */
const GLOB_DAT = new Map([[EM_X86_64, 6], [EM_AARCH64, 1025]]);

/** Largest page size of the machines this is for: segments are aligned to it. */
const PAGE_SIZE = 65536;

/** struct payload of entry_stub.c */
const Payload = struct("payload", 56, {
  magic: u64,
  deno_entry: bytes(8),
  environ_slot: bytes(8),
  bundle: bytes(8),
  bundle_size: u64,
  hot: bytes(8),
  hot_count: u64,
});
/** struct range of entry_stub.c */
const Range = struct("range", 16, { offset: u64, size: u64 });
const PAYLOAD_MAGIC = new TextEncoder().encode("FUSE4FS\0");

interface Segment {
  /** Byte of its header in the file. */
  readonly at: number;
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly fileSize: number;
  readonly memorySize: number;
}

/** Byte of the executable at which the bundle begins. */
export function bundleOffset(deno: Uint8Array, stub: Uint8Array): number {
  return roundUp(deno.length, PAGE_SIZE) + roundUp(stub.length, 16);
}

/**
 * The executable's bytes.
 * @param deno Deno's executable: a position-independent, dynamically linked 64-bit ELF file
 * @param stub the code of entry_stub.c
 * @param bundle the program, for its place at bundleOffset
 * @param hot the parts of the executable that every start needs
 */
export function assembleLauncher(
  deno: Uint8Array<ArrayBuffer>,
  stub: Uint8Array<ArrayBuffer>,
  bundle: Packed,
  hot: readonly ByteRange[],
): Uint8Array<ArrayBuffer> {
  const elf = viewOf(deno);
  const segments = readSegments(elf);
  const spare = segments.find(({ type }) => type === PT_NOTE);
  if (spare === undefined) throw new Error("Deno's ELF file has no PT_NOTE header to spare");

  const ends = segments.filter(({ type }) => type === PT_LOAD)
    .map(({ address, memorySize }) => address + memorySize);
  const address = roundUp(Math.max(...ends), PAGE_SIZE);
  const offset = roundUp(deno.length, PAGE_SIZE);
  const bundleAt = bundleOffset(deno, stub) - offset;
  const hotAt = roundUp(bundleAt + bundle.bytes.length, 16);
  const size = hotAt + hot.length * Range.byteLength;

  const result = new Uint8Array(offset + size);
  result.set(deno);
  result.set(stub, offset);
  result.set(bundle.bytes, offset + bundleAt);

  const view = new DataView(result.buffer);
  const payloadAt = indexOf(stub, PAYLOAD_MAGIC);
  const payloadAddress = address + payloadAt;
  const distance = (field: { offset: number }, to: number) =>
    view.setBigInt64(offset + payloadAt + field.offset, BigInt(to - payloadAddress), true);
  distance(Payload.deno_entry, Elf64Ehdr.e_entry.get(elf, 0));
  distance(Payload.environ_slot, slotOfEnviron(elf, segments));
  distance(Payload.bundle, address + bundleAt + bundle.loader.start);
  Payload.bundle_size.set(view, offset + payloadAt, bundle.loader.size);
  distance(Payload.hot, address + hotAt);
  Payload.hot_count.set(view, offset + payloadAt, hot.length);
  for (const [index, range] of hot.entries()) {
    const at = offset + hotAt + index * Range.byteLength;
    Range.offset.set(view, at, range.start);
    Range.size.set(view, at, range.end - range.start);
  }

  Elf64Phdr.p_type.set(view, spare.at, PT_LOAD);
  Elf64Phdr.p_flags.set(view, spare.at, PF_R | PF_X);
  Elf64Phdr.p_offset.set(view, spare.at, offset);
  Elf64Phdr.p_vaddr.set(view, spare.at, address);
  Elf64Phdr.p_paddr.set(view, spare.at, address);
  Elf64Phdr.p_filesz.set(view, spare.at, size);
  Elf64Phdr.p_memsz.set(view, spare.at, size);
  Elf64Phdr.p_align.set(view, spare.at, PAGE_SIZE);
  Elf64Ehdr.e_entry.set(view, 0, address);
  return result;
}

function readSegments(elf: DataView<ArrayBuffer>): Segment[] {
  const machine = Elf64Ehdr.e_machine.get(elf, 0);
  if (Elf64Ehdr.e_type.get(elf, 0) !== ET_DYN || !GLOB_DAT.has(machine)) {
    throw new Error("Deno's executable is no position-independent ELF file of a known processor");
  }
  const first = Elf64Ehdr.e_phoff.get(elf, 0);
  return Array.from({ length: Elf64Ehdr.e_phnum.get(elf, 0) }, (_, index) => {
    const at = first + index * Elf64Phdr.byteLength;
    return {
      at,
      type: Elf64Phdr.p_type.get(elf, at),
      offset: Elf64Phdr.p_offset.get(elf, at),
      address: Elf64Phdr.p_vaddr.get(elf, at),
      fileSize: Elf64Phdr.p_filesz.get(elf, at),
      memorySize: Elf64Phdr.p_memsz.get(elf, at),
    };
  });
}

/** Address of the pointer through which Deno reaches the C library's variable `environ`. */
function slotOfEnviron(elf: DataView<ArrayBuffer>, segments: readonly Segment[]): number {
  const fileOffset = (address: number): number => {
    const segment = segments.find((candidate) =>
      candidate.type === PT_LOAD && address >= candidate.address &&
      address < candidate.address + candidate.fileSize
    );
    if (segment === undefined) throw new Error(`Address ${address} is in no segment`);
    return address - segment.address + segment.offset;
  };
  const tags = dynamicTags(elf, segments);
  const tag = (number: number): number => {
    const value = tags.get(number);
    if (value === undefined) throw new Error(`Deno's ELF file has no dynamic tag ${number}`);
    return value;
  };
  const relocations = fileOffset(tag(DT_RELA));
  const symbols = fileOffset(tag(DT_SYMTAB));
  const strings = fileOffset(tag(DT_STRTAB));
  const globDat = GLOB_DAT.get(Elf64Ehdr.e_machine.get(elf, 0));
  const end = relocations + tag(DT_RELASZ);
  for (let at = relocations; at < end; at += Elf64Rela.byteLength) {
    if (Elf64Rela.r_type.get(elf, at) !== globDat) continue;
    const symbol = symbols + Elf64Rela.r_sym.get(elf, at) * Elf64Sym.byteLength;
    const name = cStringAt(elf, strings + Elf64Sym.st_name.get(elf, symbol));
    if (name === "environ" || name === "__environ") return Elf64Rela.r_offset.get(elf, at);
  }
  throw new Error("Deno's ELF file has no reference to environ");
}

function dynamicTags(elf: DataView<ArrayBuffer>, segments: readonly Segment[]) {
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
  if (dynamic === undefined) throw new Error("Deno's executable is not dynamically linked");
  const tags = new Map<number, number>();
  for (let at = 0; at < dynamic.fileSize; at += Elf64Dyn.byteLength) {
    const entry = dynamic.offset + at;
    tags.set(Elf64Dyn.d_tag.get(elf, entry), Elf64Dyn.d_val.get(elf, entry));
  }
  return tags;
}

function cStringAt(view: DataView<ArrayBuffer>, at: number): string {
  let text = "";
  for (let byte = view.getUint8(at); byte !== 0; byte = view.getUint8(++at)) {
    text += String.fromCharCode(byte);
  }
  return text;
}

function indexOf(haystack: Uint8Array, needle: Uint8Array): number {
  for (let at = 0; at + needle.length <= haystack.length; at++) {
    if (needle.every((byte, index) => haystack[at + index] === byte)) return at;
  }
  throw new Error("The entry stub has no payload structure");
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
