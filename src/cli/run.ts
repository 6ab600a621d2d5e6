/**
 * The command line: finds the command, runs it, and ends the process with the exit code that
 * belongs to the outcome. `program.ts` has the commands and their options.
 */

import { CommanderError } from "commander";
import { describeFailure, ExitCode } from "./errors.ts";
import { flushOutput } from "./output.ts";
import { buildProgram } from "./program.ts";

/** Runs fuse4fs with these arguments and ends the process. */
export async function run(args: string[]): Promise<void> {
  Deno.exit(await runCommand(args));
}

async function runCommand(args: string[]): Promise<number> {
  try {
    const program = buildProgram(args);
    if (args.length === 0) program.help({ error: true });
    await program.parseAsync(args, { from: "user" });
    flushOutput();
    return Number(Deno.exitCode);
  } catch (error) {
    // The library has printed its own message, or the help that was asked for.
    if (error instanceof CommanderError) return finish(error.exitCode);
    const { message, exitCode } = describeFailure(error);
    const code = exitCode === ExitCode.PIPE_CLOSED ? exitCode : finish(exitCode);
    if (message !== "") console.error(`fuse4fs: ${message}`);
    return code;
  }
}

/** Prints what was collected before the failure; a closed pipe changes nothing any more. */
function finish(exitCode: number): number {
  try {
    flushOutput();
  } catch {
    return ExitCode.PIPE_CLOSED;
  }
  return exitCode;
}
