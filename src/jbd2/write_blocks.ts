/** Writes blocks to their places, neighbours together. */

import type { Block } from "../block/block_cache.ts";
import type { Device } from "../block/device.ts";

/** Most bytes that are gathered into one write. */
const MAX_WRITE = 1 << 20;

/** Writes whole blocks in the order of their numbers. They are not durable yet afterwards. */
export function writeBlocks(device: Device, blocks: Iterable<Block>): void {
  const sorted = [...blocks].sort((a, b) => a.number - b.number);
  for (let at = 0; at < sorted.length;) {
    const count = neighbours(sorted, at);
    const { bytes, number } = sorted[at];
    const position = number * bytes.length;
    device.write(count === 1 ? bytes : gather(sorted.slice(at, at + count)), position);
    at += count;
  }
}

/** How many blocks from `at` on follow each other on the device and fit into one write. */
function neighbours(sorted: readonly Block[], at: number): number {
  const { number, bytes } = sorted[at];
  const most = Math.max(1, Math.floor(MAX_WRITE / bytes.length));
  let count = 1;
  while (count < most && sorted[at + count]?.number === number + count) count++;
  return count;
}

function gather(blocks: readonly Block[]): Uint8Array<ArrayBuffer> {
  const size = blocks[0].bytes.length;
  const all = new Uint8Array(blocks.length * size);
  for (const [index, { bytes }] of blocks.entries()) all.set(bytes, index * size);
  return all;
}
