/** The BPF programs that are compiled ahead of time and carried in the executable. */

import { compile, findClang } from "../../src/bpf/clang.ts";
import { EMBEDDED_HEADERS } from "../../src/bpf/headers.ts";
import { programFlags, programSource } from "../../src/bpf/program.ts";
import type { ObjectName } from "../../src/sys/embedded.ts";
import { FsError } from "../../src/sys/fs_error.ts";

/** By their names in src/sys/embedded.ts; empty, with a note, without clang. */
export function compileBpfObjects(): Partial<Record<ObjectName, Uint8Array>> {
  try {
    const clang = findClang(Deno.env.get("CLANG"));
    const constants = { device: 0, blockSize: 0 };
    const objects = ([1, 2] as const).map((generation) => [
      `extents.${generation}.bpf.o`,
      compile(clang, {
        name: "extents",
        source: programSource({ kind: "built-in", name: "extents" }, constants),
        flags: programFlags("extents", generation),
        headers: EMBEDDED_HEADERS,
      }),
    ]);
    return Object.fromEntries(objects);
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    console.log(`the BPF program extents is not carried: ${error.message}`);
    return {};
  }
}
