/** System calls by script (the work is done by syscalls.c), and how two runs of one differ. */

import { compileC } from "./run.ts";

/** A script that takes longer hangs: the file system does not answer. */
const LONGEST_MS = 300_000;

/** Makes the calls of a script in a mounted folder. Gives one line for each: what came out. */
export async function play(root: string, script: readonly string[]): Promise<string[]> {
  const child = new Deno.Command(await compileC("syscalls"), {
    args: [root],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    child.kill("SIGKILL");
  }, LONGEST_MS);
  const output = child.output();
  const writer = child.stdin.getWriter();
  const sent = writer.write(new TextEncoder().encode(script.join("\n") + "\n"))
    .then(() => writer.close()).catch(() => {});
  const { code, stdout, stderr } = await output;
  await sent;
  clearTimeout(timer);
  const lines = new TextDecoder().decode(stdout).split("\n").slice(0, -1);
  if (code === 0 && lines.length === script.length) return lines;
  const reason = isLate ? `no answer within ${LONGEST_MS} ms` : new TextDecoder().decode(stderr);
  throw new Error(`line ${lines.length + 1}, "${script[lines.length]}": ${reason}`);
}

/** Bytes as a word of a script. */
export function word(bytes: Uint8Array | string): string {
  const all = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
  if (all.length === 0) return "%-";
  return [...all].map((byte) =>
    byte > 0x20 && byte < 0x7f && byte !== 0x25
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).padStart(2, "0")}`
  ).join("");
}

export interface Difference {
  /** Index into the script. */
  readonly at: number;
  readonly call: string;
  readonly expected: string;
  readonly actual: string;
}

/** Lines that came out differently. */
export function compareResults(
  script: readonly string[],
  expected: readonly string[],
  actual: readonly string[],
): Difference[] {
  return script.flatMap((call, at) =>
    expected[at] === actual[at] ? [] : [{ at, call, expected: expected[at], actual: actual[at] }]
  );
}

export function describeDifference({ at, call, expected, actual }: Difference): string {
  const shortened = call.length > 300 ? `${call.slice(0, 300)}...` : call;
  return `line ${at + 1}: ${shortened}\n  expected ${expected}\n  got      ${actual}`;
}
