/**
 * File names are bytes, which may be no UTF-8 and may hold control characters. In JSON such a name
 * comes twice, as readable text and in hex; on a terminal its control characters are shown as `?`.
 */

import { isTerminal } from "./output.ts";

const STRICT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const LOOSE = new TextDecoder("utf-8", { ignoreBOM: true });

// deno-lint-ignore no-control-regex
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/g;

/** The text of bytes that are UTF-8, or undefined. */
export function utf8(bytes: Uint8Array): string | undefined {
  try {
    return STRICT.decode(bytes);
  } catch {
    return undefined;
  }
}

/** `{ name }`, and `nameHex` too where the bytes are not UTF-8. The key can be another. */
export function jsonBytes(key: string, bytes: Uint8Array): Record<string, string> {
  const text = utf8(bytes);
  if (text !== undefined) return { [key]: text };
  return { [key]: LOOSE.decode(bytes), [`${key}Hex`]: hex(bytes) };
}

/** What to print for a name: its bytes, but nothing that could steer a terminal. */
export function shownName(bytes: Uint8Array): Uint8Array | string {
  return isTerminal ? LOOSE.decode(bytes).replaceAll(CONTROL, "?") : bytes;
}

/** `6361c3a9` */
export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
