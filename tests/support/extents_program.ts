/**
 * What the BPF program `extents` (bpf/extents.bpf.c) answers, done over again in TypeScript on the
 * same memory: for tests of who fills it.
 */

import type { RunIndex } from "../../src/bpf/extent_table.ts";

const SLOT_WORDS = 6;
const SEARCH_STEPS = 17;

export interface ProgramAnswer {
  readonly offset: number;
  readonly length: number;
  /** Undefined for a hole. */
  readonly addr: number | undefined;
  readonly type: number;
  readonly dev: number;
}

export class ExtentsProgram implements RunIndex {
  readonly #words: BigUint64Array;
  readonly #index = new Map<number, { readonly first: number; readonly count: number }>();

  constructor(memory: ArrayBufferLike) {
    this.#words = new BigUint64Array(memory);
  }

  /** Files that have a run of slots. */
  get files(): number[] {
    return [...this.#index.keys()];
  }

  set(nodeId: number, first: number, count: number): void {
    this.#index.set(nodeId, { first, count });
  }

  delete(nodeId: number): void {
    this.#index.delete(nodeId);
  }

  /** Undefined: fallback. */
  ask(nodeId: number, pos: number): ProgramAnswer | undefined {
    const run = this.#index.get(nodeId);
    return run === undefined ? undefined : this.askRun(nodeId, pos, run);
  }

  /** The same, for a run that was looked up some time ago. */
  askRun(
    nodeId: number,
    pos: number,
    run: { readonly first: number; readonly count: number },
  ): ProgramAnswer | undefined {
    let low = run.first;
    let high = low + run.count;
    for (let step = 0; step < SEARCH_STEPS && high - low > 1; step++) {
      const middle = low + Math.floor((high - low) / 2);
      if (Number(this.#words[middle * SLOT_WORDS + 2]) <= pos) low = middle;
      else high = middle;
    }
    const at = low * SLOT_WORDS;
    const sequence = Atomics.load(this.#words as BigUint64Array<ArrayBuffer>, at);
    const [, node, offset, length, addr, rest] = this.#words.slice(at, at + SLOT_WORDS);
    const again = Atomics.load(this.#words as BigUint64Array<ArrayBuffer>, at);
    if ((sequence & 1n) === 1n || sequence === 0n || again !== sequence) return undefined;
    if (Number(node) !== nodeId || pos < Number(offset)) return undefined;
    if (pos - Number(offset) >= Number(length)) return undefined;
    return {
      offset: Number(offset),
      length: Number(length),
      addr: addr === 2n ** 64n - 1n ? undefined : Number(addr),
      dev: Number(rest & 0xffff_ffffn),
      type: Number((rest >> 32n) & 0xffffn),
    };
  }
}
