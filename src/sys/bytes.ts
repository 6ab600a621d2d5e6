/** Comparing and viewing runs of bytes. */

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && startsWith(a, b);
}

export function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  if (bytes.length < prefix.length) return false;
  for (let at = 0; at < prefix.length; at++) if (bytes[at] !== prefix[at]) return false;
  return true;
}

/** A view of just these bytes, wherever in their buffer they lie. */
export function viewOf<Buffer extends ArrayBufferLike>(
  bytes: Uint8Array<Buffer>,
): DataView<Buffer> {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
