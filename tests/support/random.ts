/** Numbers that look like chance and are the same for the same seed (xorshift128). */

export class Random {
  #state: [number, number, number, number];

  constructor(seed: number) {
    this.#state = [seed >>> 0, 0x9e3779b9, 0x243f6a88, 0xb7e15162];
    // The first numbers of neighboring seeds are alike.
    for (let round = 0; round < 20; round++) this.uint32();
  }

  uint32(): number {
    let t = this.#state[3];
    const [first] = this.#state;
    this.#state = [first, ...this.#state.slice(0, 3)] as [number, number, number, number];
    t ^= t << 11;
    t ^= t >>> 8;
    this.#state[0] = (t ^ first ^ (first >>> 19)) >>> 0;
    return this.#state[0];
  }

  /** 0 to `limit` - 1 */
  below(limit: number): number {
    return Math.floor((this.uint32() / 2 ** 32) * limit);
  }

  /** True once in `count` times. */
  oneIn(count: number): boolean {
    return this.below(count) === 0;
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length }, () => this.below(256));
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)];
  }
}
