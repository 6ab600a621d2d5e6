/**
 * The BPF program of a mount: attached when the kernel has been told all about the file system,
 * detached before the connection goes. What goes wrong is told in one line, and the mount goes on
 * without it, unless it is required.
 */

import { type AttachedProgram, attachIomapProgram } from "../bpf/attach.ts";
import { logOf } from "../bpf/errors.ts";
import type { ProgramChoice } from "../bpf/program_choice.ts";
import { FsError } from "../sys/fs_error.ts";
import type { Log } from "../sys/log.ts";

/** What the mount options say of the program. */
export interface ProgramSettings {
  /** Undefined: none. */
  readonly program: ProgramChoice | undefined;
  /** Without the program there is to be no mount. */
  readonly required: boolean;
  /** Name or path of clang. */
  readonly clang: string | undefined;
  /** Folders of headers for a user's own program. */
  readonly includeFolders: readonly string[];
  readonly vmlinuxHeader: string | undefined;
  /** Which libbpf: `auto`, `system`, `embedded`, or a path. */
  readonly libbpf: string;
}

/** The connection that gets the program. */
export interface ProgramTarget {
  /** The session's descriptor of /dev/fuse. */
  readonly fuseDescriptor: number;
  /** The number by which mappings name the device. */
  readonly device: number;
  /** In bytes. */
  readonly blockSize: number;
  readonly log: Log;
  /** Tell all that clang or the verifier says. */
  readonly verbose: boolean;
}

/**
 * Builds, loads and attaches. Undefined where none was asked for, or where it failed, which the log
 * tells. Throws FsError where it is required.
 */
export function attachProgram(
  settings: ProgramSettings,
  target: ProgramTarget,
): AttachedProgram | undefined {
  const { program, required } = settings;
  const { log } = target;
  if (program === undefined) return undefined;
  try {
    const attached = attachIomapProgram({
      program,
      fuseDescriptor: target.fuseDescriptor,
      constants: { device: target.device, blockSize: target.blockSize },
      clang: settings.clang,
      includeFolders: settings.includeFolders,
      vmlinuxHeader: settings.vmlinuxHeader,
      libbpf: settings.libbpf,
    });
    log.debug(`the BPF program ${attached.name} is attached (${timesOf(attached)})`);
    return attached;
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    const whole = target.verbose ? logOf(error) : undefined;
    for (const line of whole?.trimEnd().split("\n") ?? []) log.info(line);
    if (required) throw error;
    log.warn(`mounting without the BPF program ${nameOf(program)}: ${error.message}`);
    return undefined;
  }
}

function nameOf(program: ProgramChoice): string {
  return program.kind === "built-in" ? program.name : program.path;
}

function timesOf({ times }: AttachedProgram): string {
  return Object.entries(times).map(([step, ms]) => `${step} ${ms.toFixed(1)} ms`).join(", ");
}
