/** Files that the standalone executable carries; without it there are none. */

import { fail } from "./fs_error.ts";
import { brotliDecompress } from "./node_builtins.ts";

/** Libraries. libbpf needs the others, and finds them by their names once they are open. */
export type LibraryName = "libfuse3" | "libz" | "libzstd" | "libelf" | "libbpf";

/** BPF objects that were compiled with the executable, for each generation of the interface. */
export type ObjectName = "extents.1.bpf.o" | "extents.2.bpf.o";

/** What only some runs need is compressed, so that the others have less to read. */
export type Encoding = "plain" | "brotli";

/** The bytes in base64, or where in the executable's own file they are. */
export type Carried = string | { readonly offset: number; readonly size: number };

const files = new Map<LibraryName | ObjectName, readonly [Carried, Encoding]>();

/** Called once for each file when the executable starts. */
export function carry(name: LibraryName | ObjectName, file: Carried, encoding: Encoding): void {
  files.set(name, [file, encoding]);
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
  const [file, encoding] = files.get(name) ?? [];
  if (file === undefined) return undefined;
  const bytes = typeof file === "string" ? Uint8Array.fromBase64(file) : readOwn(file);
  return encoding === "brotli" ? brotliDecompress(bytes) : bytes;
}

function readOwn({ offset, size }: Exclude<Carried, string>): Uint8Array<ArrayBuffer> {
  using executable = Deno.openSync("/proc/self/exe");
  executable.seekSync(offset, Deno.SeekMode.Start);
  const bytes = new Uint8Array(size);
  for (let done = 0; done < size;) {
    const count = executable.readSync(bytes.subarray(done));
    if (count === null) throw fail("EIO", "The executable is shorter than it was");
    done += count;
  }
  return bytes;
}
