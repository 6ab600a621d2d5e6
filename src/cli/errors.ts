/** How a command that fails ends: one line on stderr and an exit code. */

import { Errno } from "../sys/errno.ts";
import { FsError } from "../sys/fs_error.ts";
import { printable } from "../mount/log_sink.ts";

/** The exit codes of mount(8). An image that cannot be used counts as a wrong argument. */
export const ExitCode = {
  OK: 0,
  USAGE: 1,
  BAD_IMAGE: 1,
  SYSTEM: 2,
  INTERNAL: 4,
  INTERRUPTED: 8,
  MOUNT: 32,
  /** As a shell reports a program that a closed pipe ended (128 + SIGPIPE). */
  PIPE_CLOSED: 141,
} as const;

/** A failure whose exit code is known. */
export class CommandError extends Error {
  override readonly name = "CommandError";

  constructor(message: string, readonly exitCode: number) {
    super(message);
  }
}

/** What stdout's reader tells us by going away. Nothing is printed for it. */
export class PipeClosed extends Error {
  override readonly name = "PipeClosed";
}

/** The line to print, without a newline, and the code to exit with. */
export interface Failure {
  readonly message: string;
  readonly exitCode: number;
}

/** Turns whatever was thrown into what the user sees. */
export function describeFailure(error: unknown): Failure {
  if (error instanceof PipeClosed) return { message: "", exitCode: ExitCode.PIPE_CLOSED };
  if (error instanceof CommandError) return failure(error.message, error.exitCode);
  if (error instanceof FsError) return failure(error.message, exitCodeOf(error));
  if (error instanceof Deno.errors.Interrupted) return failure("Interrupted", ExitCode.INTERRUPTED);
  const words = error instanceof Error ? error.stack ?? error.message : String(error);
  return { message: `internal error: ${words}`, exitCode: ExitCode.INTERNAL };
}

function failure(message: string, exitCode: number): Failure {
  return { message: printable(message), exitCode };
}

/** Errors that say nothing about the image: the system is short of something. */
const OF_THE_SYSTEM: readonly number[] = [Errno.ENOMEM, Errno.EMFILE, Errno.ENFILE];

function exitCodeOf(error: FsError): number {
  return OF_THE_SYSTEM.includes(error.errno) ? ExitCode.SYSTEM : ExitCode.BAD_IMAGE;
}
