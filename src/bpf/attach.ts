/**
 * From the choice of a program to a FUSE connection that it serves:
 *
 *     probe the kernel -> build the object -> check it -> load -> (fill maps) -> attach -> drop the
 *     skeleton, keep the link
 *
 * The connection must have negotiated iomap: attach right after iomap CONFIG was answered.
 */

import { Errno } from "../sys/errno.ts";
import { FsError } from "../sys/fs_error.ts";
import { BadObject, LibbpfError, NotSupported } from "./errors.ts";
import { openExtentMaps } from "./extent_maps.ts";
import type { ExtentTable } from "./extent_table.ts";
import { requireBpfCapability } from "./capability.ts";
import {
  findKernelInterface,
  type KernelInterface,
  OPS_TYPE,
  requireKernelBtf,
} from "./kernel_btf.ts";
import { type Libbpf, MODULE_TYPES_SINCE, openLibbpf } from "./library.ts";
import { LoadedObject } from "./loader.ts";
import type { BpfObject, StructOpsFacts } from "./object.ts";
import { type BuildOptions, buildProgram } from "./program.ts";
import type { ProgramChoice } from "./program_choice.ts";

export interface AttachOptions extends Omit<BuildOptions, "generation"> {
  readonly program: ProgramChoice;
  /** The server's open FUSE device. */
  readonly fuseDescriptor: number;
}

/** How long each step took, in milliseconds. */
export interface AttachTimes {
  readonly probe: number;
  /** Compiling, or reading the object. */
  readonly build: number;
  readonly load: number;
  readonly attach: number;
}

/** A program at work. Disposing of it detaches; the end of the connection does so, too. */
export interface AttachedProgram extends Disposable {
  /** As the kernel shows it. */
  readonly name: string;
  readonly times: AttachTimes;
  /** With the program `extents`: what it answers from, for the file system to fill. */
  readonly extents: ExtentTable | undefined;
}

/**
 * Throws, without anything left behind: NotSupported (kernel, libbpf, clang, privilege),
 * CompileError, BadObject, VerifierError, or LibbpfError with the errno of the kernel's answer.
 */
export function attachIomapProgram(options: AttachOptions): AttachedProgram {
  const clock = new Clock();
  const { kernel, libbpf } = requireIomapBpf(options.libbpf);
  const probe = clock.lap();
  const object = buildProgram(options.program, { ...options, generation: kernel.generation });
  const ops = requireIomapOps(object);
  const build = clock.lap();
  using cleanup = new DisposableStack();
  const loaded = cleanup.use(
    LoadedObject.load(libbpf, object, {
      structOps: { [ops.name]: { fuse_fd: options.fuseDescriptor } },
    }),
  );
  const load = clock.lap();
  using atFailure = new DisposableStack();
  const maps = hasExtentMaps(options.program)
    ? atFailure.use(openExtentMaps(libbpf, loaded, options.constants.device))
    : undefined;
  atFailure.use(attach(loaded, ops.name));
  // In reverse order: the link first, so that no program runs when the maps go.
  const atEnd = atFailure.move();
  return {
    name: labelOf(ops),
    times: { probe, build, load, attach: clock.lap() },
    extents: maps?.table,
    [Symbol.dispose]: () => atEnd.dispose(),
  };
}

/**
 * What iomap BPF needs of this machine besides a compiler. Throws NotSupported with the first thing
 * that is missing.
 */
export function requireIomapBpf(libbpfChoice?: string): {
  readonly kernel: KernelInterface;
  readonly libbpf: Libbpf;
} {
  const kernel = findKernelInterface();
  if (kernel === undefined) {
    requireKernelBtf();
    throw new NotSupported(
      `the FUSE of this kernel has no ${OPS_TYPE}`,
      "run a kernel with the patches for FUSE iomap BPF; no release has them yet",
    );
  }
  requireBpfCapability();
  const libbpf = openLibbpf(libbpfChoice);
  if (kernel.module !== "vmlinux" && libbpf.minor < MODULE_TYPES_SINCE) {
    throw new NotSupported(
      `libbpf ${libbpf.version} (${libbpf.origin}) is too old`,
      `${OPS_TYPE} is in the module ${kernel.module}, which needs 1.${MODULE_TYPES_SINCE}`,
    );
  }
  return { kernel, libbpf };
}

const GPL_COMPATIBLE = [
  "GPL",
  "GPL v2",
  "GPL and additional rights",
  "Dual BSD/GPL",
  "Dual MIT/GPL",
  "Dual MPL/GPL",
];

/** The one struct_ops of an iomap program. Throws BadObject for any other object. */
export function requireIomapOps(object: BpfObject): StructOpsFacts {
  const bad = (problem: string) => new BadObject(object.name, problem);
  const { structOps, license } = object;
  if (structOps.length === 0) throw bad("there is no struct_ops in it");
  if (structOps.length > 1) {
    throw bad(`one struct_ops is needed, not ${structOps.map(({ name }) => name).join(" and ")}`);
  }
  const [ops] = structOps;
  if (ops.typeName !== OPS_TYPE) throw bad(`${ops.name} is a ${ops.typeName}, not a ${OPS_TYPE}`);
  if (!ops.isLink) throw bad(`${ops.name} must be in section .struct_ops.link`);
  if (!ops.members.some(({ name, size }) => name === "fuse_fd" && size === 4)) {
    throw bad(`${ops.name} has no member fuse_fd`);
  }
  if (labelOf(ops) === "") throw bad(`${ops.name} has no name`);
  if (!GPL_COMPATIBLE.includes(license)) {
    throw bad(`the license ${JSON.stringify(license)} is not compatible with the GPL`);
  }
  return ops;
}

function labelOf(ops: StructOpsFacts): string {
  const bytes = ops.members.find(({ name }) => name === "name")?.bytes ?? new Uint8Array();
  return new TextDecoder().decode(bytes).replace(/\0.*$/s, "");
}

/** What the kernel means by its answers to an attach. */
const ATTACH_ANSWERS: Readonly<Record<number, string>> = {
  [Errno.EBADF]: "the descriptor is no open FUSE device",
  [Errno.EOPNOTSUPP]: "the FUSE connection has not negotiated iomap",
  [Errno.EBUSY]: "the FUSE connection has a program already",
};

function attach(loaded: LoadedObject, ops: string): Disposable {
  try {
    return loaded.attach(ops);
  } catch (error) {
    const words = error instanceof LibbpfError ? ATTACH_ANSWERS[error.errno] : undefined;
    if (words === undefined) throw error;
    throw new FsError((error as LibbpfError).errno, `Cannot attach ${ops}: ${words}`);
  }
}

function hasExtentMaps(program: ProgramChoice): boolean {
  return program.kind === "built-in" && program.name === "extents";
}

class Clock {
  #last = performance.now();

  lap(): number {
    const now = performance.now();
    const passed = now - this.#last;
    this.#last = now;
    return passed;
  }
}
