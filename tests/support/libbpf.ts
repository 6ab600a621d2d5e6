/** The libbpf that the executable would carry: the one of this machine may be too old. */

import { findLibbpf } from "../../scripts/compile/libbpf.ts";

/**
 * Path of a libbpf 1.4 or newer. Undefined when none is to be had: then the test is skipped and says
 * so. In continuous integration it fails.
 */
export async function libbpfForTests(): Promise<string | undefined> {
  const { libbpf } = await findLibbpf();
  if (libbpf !== undefined) return libbpf;
  const words = "needs libbpf 1.4 or newer";
  if (Deno.env.get("CI") === "true") throw new Error(words);
  console.log(`skipped: ${words}`);
  return undefined;
}
