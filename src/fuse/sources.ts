/** Pieces of an answer to a read request. */

import type { DataSource } from "../block/device.ts";

/** Bytes of a piece. */
export function lengthOf(source: DataSource): number {
  return source.kind === "memory" ? source.bytes.length : source.length;
}
