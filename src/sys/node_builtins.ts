/**
 * Modules of Node that Deno has built in and that few runs need. An import statement would load
 * them at every start, at 5 to 25 ms each; these are loaded when they are first asked for.
 */

/** CRC-32 (IEEE 802.3) as an unsigned number. */
export function crc32(bytes: Uint8Array): number {
  // deno-lint-ignore no-process-global
  return process.getBuiltinModule("node:zlib").crc32(bytes);
}

/** The SHA-256 digest, 32 bytes. */
export function sha256(bytes: Uint8Array): Uint8Array {
  // deno-lint-ignore no-process-global
  return process.getBuiltinModule("node:crypto").createHash("sha256").update(bytes).digest();
}

/** What was compressed with brotli. */
export function brotliDecompress(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  // deno-lint-ignore no-process-global
  return new Uint8Array(process.getBuiltinModule("node:zlib").brotliDecompressSync(bytes));
}
