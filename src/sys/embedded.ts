/** Files that the standalone executable carries; without it there are none. */

import { brotliDecompress } from "./node_builtins.ts";

/** Libraries. libbpf needs the others, and finds them by their names once they are open. */
export type LibraryName = "libfuse3" | "libz" | "libzstd" | "libelf" | "libbpf";

/** BPF objects that were compiled with the executable, for each generation of the interface. */
export type ObjectName = "extents.1.bpf.o" | "extents.2.bpf.o";

/** Of the bytes, in base64. */
type Encoding = "plain" | "brotli";

const carried = new Map<LibraryName | ObjectName, readonly [base64: string, Encoding]>();

/**
 * Called once for each file when the executable starts. What only some runs need is compressed, so
 * that the others have less to read.
 */
export function carry(
  name: LibraryName | ObjectName,
  base64: string,
  encoding: Encoding = "plain",
): void {
  carried.set(name, [base64, encoding]);
}

/** The bytes of a library, or undefined when it is not carried. */
export function embeddedLibrary(name: LibraryName): Uint8Array<ArrayBuffer> | undefined {
  return embedded(name);
}

/** The bytes of a BPF object, or undefined when it is not carried. */
export function embeddedObject(name: ObjectName): Uint8Array<ArrayBuffer> | undefined {
  return embedded(name);
}

function embedded(name: LibraryName | ObjectName): Uint8Array<ArrayBuffer> | undefined {
  const [base64, encoding] = carried.get(name) ?? [];
  if (base64 === undefined) return undefined;
  const bytes = Uint8Array.fromBase64(base64);
  return encoding === "brotli" ? brotliDecompress(bytes) : bytes;
}
