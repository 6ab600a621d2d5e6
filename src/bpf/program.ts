/**
 * The programs that can be asked for, and what becomes of them: a built-in one or a user's source
 * is compiled, an object file is read.
 */

import demoTemplate from "../../bpf/demo.bpf.c" with { type: "text" };
import extentsTemplate from "../../bpf/extents.bpf.c" with { type: "text" };
import { embeddedObject } from "../sys/embedded.ts";
import { fail, FsError, messageOf } from "../sys/fs_error.ts";
import { compile, findClang } from "./clang.ts";
import {
  asksForVmlinuxHeader,
  declaresIomapTypes,
  EMBEDDED_HEADERS,
  installedVmlinuxHeader,
} from "./headers.ts";
import { findKernelInterface, type Generation } from "./kernel_btf.ts";
import { openLibbpf } from "./library.ts";
import { BpfObject } from "./object.ts";
import type { BuiltIn, ProgramChoice } from "./program_choice.ts";
import { type Constants, sourceWithConstants } from "./source.ts";
import { generateVmlinuxHeader } from "./vmlinux_header.ts";

/** What the demonstration needs to know of a file system. */
export interface FileSystemConstants {
  /** Device cookie: the number by which mappings name the device that is registered for iomap. */
  readonly device: number;
  /** In bytes. */
  readonly blockSize: number;
}

export interface BuildOptions {
  readonly generation: Generation;
  readonly constants: FileSystemConstants;
  /** Name or path of clang. */
  readonly clang?: string;
  /** Folders whose headers come before the embedded ones. */
  readonly includeFolders?: readonly string[];
  /** A vmlinux.h instead of the installed or the generated one. */
  readonly vmlinuxHeader?: string;
  /** For clang, in milliseconds. */
  readonly timeout?: number;
  /** Which libbpf writes vmlinux.h. */
  readonly libbpf?: string;
}

const TEMPLATES: Readonly<Record<BuiltIn, { readonly text: string; readonly flags: string[] }>> = {
  demo: { text: demoTemplate, flags: [] },
  // Atomic operations that return a value came with version 3 of the instructions (Linux 5.12).
  extents: { text: extentsTemplate, flags: ["-mcpu=v3"] },
};

/** The C source, as clang gets it: line numbers of its messages are those of this text. */
export function programSource(choice: ProgramChoice, constants: FileSystemConstants): string {
  switch (choice.kind) {
    case "built-in":
      return sourceWithConstants(TEMPLATES[choice.name].text, constantsOf(choice.name, constants));
    case "source":
      return new TextDecoder().decode(readProgram(choice.path));
    case "object":
      throw fail("EINVAL", `${choice.path} is an object: it has no source`);
  }
}

function constantsOf(name: BuiltIn, { device, blockSize }: FileSystemConstants): Constants {
  if (name === "extents") return {};
  return {
    FS_DEV: { type: "u32", value: device, comment: "device cookie" },
    FS_BLOCK_SIZE: { type: "u32", value: blockSize, comment: "bytes" },
  };
}

/** Flags that a built-in program is compiled with, besides those that all are. */
export function programFlags(name: BuiltIn, generation: Generation): string[] {
  return [...TEMPLATES[name].flags, `-DFUSE_IOMAP_BPF_GENERATION=${generation}`];
}

/** The object, checked. Throws CompileError, BadObject, NotSupported, or ENOENT for a path. */
export function buildProgram(choice: ProgramChoice, options: BuildOptions): BpfObject {
  if (choice.kind === "object") return new BpfObject(choice.path, readProgram(choice.path));
  if (choice.kind === "built-in" && choice.name === "extents") {
    const ready = embeddedObject(`extents.${options.generation}.bpf.o`);
    if (ready !== undefined) return new BpfObject("extents", ready);
  }
  return compileProgram(choice, options);
}

/** As {@linkcode buildProgram}, but always from the source. */
export function compileProgram(choice: ProgramChoice, options: BuildOptions): BpfObject {
  const source = programSource(choice, options.constants);
  const name = choice.kind === "built-in" ? choice.name : choice.path;
  const vmlinux = asksForVmlinuxHeader(source) ? vmlinuxHeader(options) : undefined;
  const flags = choice.kind === "built-in" ? programFlags(choice.name, options.generation) : [
    ...userFlags(options),
    ...vmlinux !== undefined && declaresIomapTypes(vmlinux)
      ? ["-DFUSE_IOMAP_BPF_KERNEL_TYPES"]
      : [],
  ];
  const bytes = compile(findClang(options.clang), {
    name,
    source,
    flags,
    headers: {
      ...EMBEDDED_HEADERS,
      ...vmlinux === undefined ? {} : { "vmlinux.h": vmlinux },
    },
    includeFolders: options.includeFolders,
    timeout: options.timeout,
  });
  return new BpfObject(name, bytes);
}

/** A user's program gets the constants as macros. */
function userFlags({ generation, constants }: BuildOptions): string[] {
  return [
    `-DFUSE_IOMAP_BPF_GENERATION=${generation}`,
    `-DFS_DEV=${constants.device}U`,
    `-DFS_BLOCK_SIZE=${constants.blockSize}U`,
  ];
}

function vmlinuxHeader(options: BuildOptions): Uint8Array<ArrayBuffer> {
  const path = options.vmlinuxHeader ?? installedVmlinuxHeader();
  if (path !== undefined) return readProgram(path);
  const module = findKernelInterface()?.module;
  return generateVmlinuxHeader(
    openLibbpf(options.libbpf),
    module === "vmlinux" ? undefined : module,
  );
}

function readProgram(path: string): Uint8Array<ArrayBuffer> {
  try {
    return Deno.readFileSync(path);
  } catch (error) {
    if (error instanceof FsError) throw error;
    throw fail("ENOENT", `Cannot read ${path}: ${messageOf(error)}`);
  }
}
