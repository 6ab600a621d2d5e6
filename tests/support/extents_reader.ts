/**
 * A thread that asks the program `extents` without end, for tests: whatever it is told must belong
 * together. Each extent's address follows from its node, offset and length.
 */

import { ExtentsProgram } from "./extents_program.ts";

interface Start {
  readonly memory: SharedArrayBuffer;
  /** Two words: 1 stops it; how many answers it had. */
  readonly shared: SharedArrayBuffer;
  readonly slots: number;
  readonly nodes: number;
}

export function addressOf(nodeId: number, offset: number, length: number): number {
  return (nodeId * 1_000_003 + offset * 31 + length * 7) * 4096;
}

if (typeof self !== "undefined" && "onmessage" in self && self.name === "extents_reader") {
  self.onmessage = ({ data }: MessageEvent<Start>) => {
    const program = new ExtentsProgram(data.memory);
    const shared = new Int32Array(data.shared);
    let torn = 0;
    // The index may be stale: any run of slots must do no harm.
    for (let round = 0; Atomics.load(shared, 0) === 0; round++) {
      const nodeId = 1 + round % data.nodes;
      const first = (round * 7919) % data.slots;
      const count = 1 + round % Math.min(40, data.slots - first);
      const answer = program.askRun(nodeId, (round % 64) * 4096, { first, count });
      if (answer === undefined) continue;
      Atomics.add(shared, 1, 1);
      if (answer.addr !== addressOf(nodeId, answer.offset, answer.length)) torn++;
    }
    (self as unknown as Worker).postMessage({ torn });
  };
}
