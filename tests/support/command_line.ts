/** Running fuse4fs as its users do: the built executable, or, without one, main.ts. */

import { FUSE4FS } from "./mount.ts";
import { run, type RunOptions, type RunResult } from "./run.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;

/** The program and the arguments that come before those of fuse4fs. */
export function commandLine(): readonly string[] {
  try {
    Deno.statSync(FUSE4FS);
    return [FUSE4FS];
  } catch {
    return [Deno.execPath(), "run", "--allow-all", MAIN];
  }
}

/** Runs fuse4fs to its end. Any exit code is fine unless `options.codes` names some. */
export function fuse4fs(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const [program, ...first] = commandLine();
  const anyCode = Array.from({ length: 256 }, (_, code) => code);
  return run(program, [...first, ...args], { codes: anyCode, ...options });
}

/** Runs fuse4fs with --json and gives what it printed. Throws when it fails. */
export async function fuse4fsJson(args: readonly string[]): Promise<unknown> {
  const { stdout } = await fuse4fs([...args, "--json"], { codes: [0] });
  return JSON.parse(stdout);
}
