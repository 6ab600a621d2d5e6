/** Taking the time of programs, with nothing cached. */

import { run } from "../support/run.ts";

/** Writes out what is dirty and forgets what is clean: pages, names and inodes of all disks. */
export async function dropCaches(): Promise<void> {
  await run("sync", []);
  Deno.writeTextFileSync("/proc/sys/vm/drop_caches", "3\n");
}

/**
 * Brings client programs back into memory that {@linkcode dropCaches} has thrown out: what they
 * read is to be measured, not reading them.
 */
export async function warmUp(programs: readonly string[]): Promise<void> {
  for (const program of programs) await run(program, ["--version"]);
}

/** Runs a program to its end and returns how many seconds it took. Throws when it fails. */
export async function timed([program, ...args]: readonly string[]): Promise<number> {
  const command = new Deno.Command(program, {
    args,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  });
  const start = performance.now();
  const { success, stderr } = await command.output();
  const seconds = (performance.now() - start) / 1000;
  if (!success) {
    throw new Error(`${program} ${args.join(" ")} failed: ${new TextDecoder().decode(stderr)}`);
  }
  return seconds;
}

/** The middle one, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}
