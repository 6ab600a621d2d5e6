/**
 * How many references the kernel has to each node: one for each entry that it was given, until it
 * forgets them. A file without links lives as long as there is one, since somebody may have it
 * open.
 */

export class LookupCounts {
  readonly #counts = new Map<number, number>();

  add(nodeId: number): void {
    this.#counts.set(nodeId, (this.#counts.get(nodeId) ?? 0) + 1);
  }

  /** True when the last reference is gone. */
  drop(nodeId: number, count: number): boolean {
    const left = (this.#counts.get(nodeId) ?? 0) - count;
    if (left > 0) {
      this.#counts.set(nodeId, left);
      return false;
    }
    this.#counts.delete(nodeId);
    return true;
  }

  isKnown(nodeId: number): boolean {
    return this.#counts.has(nodeId);
  }
}
