/** What toy_server.ts serves, for the server and for the tests that look at it. */

/** Bytes of `mixed`. */
export const MIXED_SIZE = 3_000_001;
/** Files in `many`. */
export const MANY = 3000;
/** Node id of the first of them. */
export const FIRST_OF_MANY = 1000;

/** A byte of `mixed`. */
export function mixedByte(position: number): number {
  return (position * 31 + (position >> 8)) & 0xff;
}

/** The name of a file in `many`: 1 to 255 bytes, most of them no UTF-8. */
export function oddName(index: number): Uint8Array<ArrayBuffer> {
  const digits = new TextEncoder().encode(String(index));
  const name = new Uint8Array(Math.max(digits.length, index % 256));
  for (let at = digits.length; at < name.length; at++) {
    const byte = (index + at * 7) & 0xff;
    name[at] = byte === 0 || byte === 0x2f ? 0xff : byte;
  }
  name.set(digits);
  return name;
}

/** One character for each byte. */
export function latin1(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}
