/** Libraries that the standalone executable carries; without it there are none. */

export type LibraryName = "libfuse3";

const carried = new Map<LibraryName, string>();

/** Called once for each library when the executable starts, with its bytes in base64. */
export function carry(name: LibraryName, base64: string): void {
  carried.set(name, base64);
}

/** The bytes of a library, or undefined when this is not the standalone executable. */
export function embeddedLibrary(name: LibraryName): Uint8Array<ArrayBuffer> | undefined {
  const base64 = carried.get(name);
  return base64 === undefined ? undefined : Uint8Array.fromBase64(base64);
}
