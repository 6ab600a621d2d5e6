/** Structures of ELF files of 64 bits, as in elf(5): executables, and objects for BPF. */

import { bytes, struct, u16, u32, u64, u8 } from "./struct.ts";

export const Elf64Ehdr = struct("Elf64_Ehdr", 64, {
  e_ident: bytes(16),
  e_type: u16,
  e_machine: u16,
  e_version: u32,
  e_entry: u64,
  e_phoff: u64,
  e_shoff: u64,
  e_flags: u32,
  e_ehsize: u16,
  e_phentsize: u16,
  e_phnum: u16,
  e_shentsize: u16,
  e_shnum: u16,
  e_shstrndx: u16,
});

export const Elf64Shdr = struct("Elf64_Shdr", 64, {
  sh_name: u32,
  sh_type: u32,
  sh_flags: u64,
  sh_addr: u64,
  sh_offset: u64,
  sh_size: u64,
  sh_link: u32,
  sh_info: u32,
  sh_addralign: u64,
  sh_entsize: u64,
});

export const Elf64Sym = struct("Elf64_Sym", 24, {
  st_name: u32,
  st_info: u8,
  st_other: u8,
  st_shndx: u16,
  st_value: u64,
  st_size: u64,
});

export const Elf64Rel = struct("Elf64_Rel", 16, { r_offset: u64, r_type: u32, r_sym: u32 });

export const Elf64Phdr = struct("Elf64_Phdr", 56, {
  p_type: u32,
  p_flags: u32,
  p_offset: u64,
  p_vaddr: u64,
  p_paddr: u64,
  p_filesz: u64,
  p_memsz: u64,
  p_align: u64,
});

export const Elf64Dyn = struct("Elf64_Dyn", 16, { d_tag: u64, d_val: u64 });
export const Elf64Rela = struct("Elf64_Rela", 24, {
  r_offset: u64,
  r_type: u32,
  r_sym: u32,
  r_addend: bytes(8),
});
