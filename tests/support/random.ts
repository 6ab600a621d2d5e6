/** Chance that comes out the same each time, so that a failure can be met again. */
export class Random {
  #state: number;

  /** @param seed any number but 0 */
  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** A whole number from 0 to below `limit` (xorshift32). */
  below(limit: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % limit;
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)];
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length }, () => this.below(256));
  }
}
