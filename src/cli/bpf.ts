/** What the commands of `fuse4fs bpf` do that work with programs; bpf_probe.ts has the other one. */

import { requireIomapBpf, requireIomapOps } from "../bpf/attach.ts";
import { BadObject, logOf, NotSupported } from "../bpf/errors.ts";
import {
  findKernelInterface,
  type Generation,
  OPS_TYPE,
  requireKernelBtf,
} from "../bpf/kernel_btf.ts";
import { openLibbpf } from "../bpf/library.ts";
import { LoadedObject } from "../bpf/loader.ts";
import type { BpfObject } from "../bpf/object.ts";
import {
  type BuildOptions,
  buildProgram,
  compileProgram,
  type FileSystemConstants,
  programSource,
} from "../bpf/program.ts";
import { parseProgramChoice } from "../bpf/program_choice.ts";
import { findSuperblock } from "../ext4/superblock/superblock_search.ts";
import { cannotOpen, openImage } from "../mount/image.ts";
import { LogSink } from "../mount/log_sink.ts";
import { fail, FsError, messageOf } from "../sys/fs_error.ts";
import { printJson } from "./json.ts";
import { print, printLine } from "./output.ts";

interface JsonOption {
  readonly json?: boolean;
}

export interface BpfSourceOptions {
  readonly program: string;
}

interface BpfBuildOptions extends JsonOption {
  readonly clang?: string;
  readonly timeout: number;
  readonly bpfInclude?: readonly string[];
  readonly vmlinuxH?: string;
  readonly generation?: string;
}

export interface BpfCompileOptions extends BpfBuildOptions {
  readonly program: string;
  readonly output?: string;
}

export interface BpfCheckOptions extends BpfBuildOptions {
  readonly debug?: boolean;
}

/** The kernel gives out the cookie when the device is registered; the first one is 1. */
const USUAL_DEVICE_COOKIE = 1;
const USUAL_BLOCK_SIZE = 4096;
const LATEST: Generation = 2;

/** `fuse4fs bpf source` */
export function bpfSource(image: string | undefined, { program }: BpfSourceOptions): void {
  print(programSource(parseProgramChoice(program), constantsOf(image)));
}

function constantsOf(image: string | undefined): FileSystemConstants {
  const blockSize = image === undefined ? USUAL_BLOCK_SIZE : blockSizeOf(image);
  return { device: USUAL_DEVICE_COOKIE, blockSize };
}

function blockSizeOf(image: string): number {
  const device = openImage(image, {});
  try {
    return findSuperblock(device, undefined, new LogSink(false)).superblock.blockSize;
  } catch (error) {
    throw cannotOpen(image, error);
  } finally {
    device.close();
  }
}

/** `fuse4fs bpf compile` */
export function bpfCompile(image: string | undefined, options: BpfCompileOptions): void {
  const choice = parseProgramChoice(options.program);
  if (choice.kind === "object") throw fail("EINVAL", `${choice.path} is compiled already`);
  const object = compileProgram(choice, buildOptions(options, image));
  if (options.output !== undefined) writeObject(options.output, object.bytes);
  printObject(object, options);
}

function writeObject(path: string, bytes: Uint8Array): void {
  try {
    Deno.writeFileSync(path, bytes);
  } catch (error) {
    throw fail("EIO", `Cannot write ${path}: ${messageOf(error)}`);
  }
}

function buildOptions(options: BpfBuildOptions, image?: string): BuildOptions {
  if (!(options.timeout > 0)) throw fail("EINVAL", "--timeout: it must be a number of seconds");
  const generation = options.generation === undefined
    ? findKernelInterface()?.generation ?? LATEST
    : Number(options.generation) as Generation;
  return {
    generation,
    constants: constantsOf(image),
    clang: options.clang,
    includeFolders: options.bpfInclude,
    vmlinuxHeader: options.vmlinuxH,
    timeout: options.timeout * 1000,
  };
}

/** `fuse4fs bpf skeleton` */
export function bpfSkeleton(path: string, options: JsonOption): void {
  const choice = { kind: "object", path } as const;
  const constants = { device: USUAL_DEVICE_COOKIE, blockSize: USUAL_BLOCK_SIZE };
  printObject(buildProgram(choice, { generation: LATEST, constants }), options);
}

function printObject(object: BpfObject, { json }: JsonOption): void {
  const { name, bytes, license, programs, maps, structOps } = object;
  if (json) {
    printJson({
      name,
      size: bytes.length,
      license,
      programs: programs.map((program) => ({ ...program })),
      maps: maps.map((map) => ({ ...map })),
      structOps: structOps.map(({ name, typeName, isLink, members }) => ({
        name,
        typeName,
        isLink,
        members: members.map(({ name, offset, size, program }) => ({
          name,
          offset,
          size,
          program,
        })),
      })),
    });
    return;
  }
  printLine(`${name}: ${bytes.length} bytes, license ${license === "" ? "none" : license}`);
  for (const { name, section, size } of programs) {
    printLine(`program     ${name.padEnd(24)} ${section}, ${size / 8} instructions`);
  }
  for (const { name, kind, section, size } of maps) {
    const content = kind === "map" ? "" : `, ${size} bytes`;
    printLine(`${kind.padEnd(11)} ${name.padEnd(24)} ${section}${content}`);
  }
  for (const { name, typeName, members } of structOps) {
    printLine(`${typeName} ${name}:`);
    for (const { name, offset, program } of members) {
      const value = program === undefined ? "" : ` = ${program}`;
      printLine(`  ${String(offset).padStart(4)}  ${name}${value}`);
    }
  }
}

/** `fuse4fs bpf check` */
export function bpfCheck(path: string, options: BpfCheckOptions): void {
  try {
    const object = buildProgram(parseProgramChoice(path), buildOptions(options));
    check(object);
    if (options.json) printJson({ name: object.name, accepted: true });
    else printLine(`${object.name}: the verifier accepts ${programsOf(object)}`);
  } catch (error) {
    if (options.json && error instanceof FsError) {
      printJson({ name: path, accepted: false, problem: error.message, log: logOf(error) });
      Deno.exitCode = 1;
      return;
    }
    const log = options.debug ? logOf(error) : undefined;
    if (log !== undefined) console.error(log.trimEnd());
    throw error;
  }
}

function programsOf({ programs }: BpfObject): string {
  return programs.map(({ name }) => name).join(", ");
}

/** Programs of any struct_ops that the kernel knows can be checked, not only of iomap. */
function check(object: BpfObject): void {
  const [ops] = object.structOps;
  if (ops === undefined) throw new BadObject(object.name, "there is no struct_ops in it");
  if (ops.typeName === OPS_TYPE) {
    requireIomapOps(object);
    requireIomapBpf();
  } else {
    requireStructOps(ops.typeName);
  }
  LoadedObject.load(openLibbpf(), object)[Symbol.dispose]();
}

function requireStructOps(typeName: string): void {
  if (requireKernelBtf().find(`bpf_struct_ops_${typeName}`, "struct") === undefined) {
    throw new NotSupported(`the kernel has no struct_ops ${typeName}`, "run one that has it");
  }
}
