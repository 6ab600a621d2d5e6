/** Which program: as options and commands name it. */

import { fail } from "../sys/fs_error.ts";

const BUILT_IN = ["demo", "extents"] as const;
export type BuiltIn = (typeof BUILT_IN)[number];

/** What is to be loaded. */
export type ProgramChoice =
  | { readonly kind: "built-in"; readonly name: BuiltIn }
  | { readonly kind: "source"; readonly path: string }
  | { readonly kind: "object"; readonly path: string };

/** `demo`, `extents`, `FILE.c` or `FILE.o`. Throws EINVAL. */
export function parseProgramChoice(text: string): ProgramChoice {
  const builtIn = BUILT_IN.find((name) => name === text);
  if (builtIn !== undefined) return { kind: "built-in", name: builtIn };
  if (text.endsWith(".c")) return { kind: "source", path: text };
  if (text.endsWith(".o")) return { kind: "object", path: text };
  throw fail(
    "EINVAL",
    `${text} is no BPF program: use ${BUILT_IN.join(" or ")}, or a path that ends with .c or .o`,
  );
}
