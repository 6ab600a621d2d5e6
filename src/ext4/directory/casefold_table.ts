/**
 * What Unicode 12.1 says of each code point, decoded from casefold_data.ts when it is first asked:
 * most names are ASCII and never need it.
 *
 *     property of a code point: 0          an ordinary one, which stays as it is
 *                               1 to 254   a combining mark; the number is its class
 *                               255        ignorable: left out
 *                               256 + n    changed into the code points of folding n
 */

import { COMBINING_CLASSES, FOLDINGS, IGNORABLE_RANGES } from "./casefold_data.ts";

/** The property of what is neither changed nor combined with what stands before. */
export const ORDINARY = 0;
/** The property of code points that are left out. */
export const IGNORABLE = 255;
/** The property of the first folding. */
export const FIRST_FOLDING = 256;

const CODE_POINTS = 0x110000;
/** Properties lie in pages of 256 code points; all pages without any are page 0. */
const PAGE_BITS = 8;
const PAGE_SIZE = 1 << PAGE_BITS;

export class CasefoldTable {
  readonly #pageOf = new Uint8Array(CODE_POINTS >> PAGE_BITS);
  readonly #properties: Uint16Array;
  /** Where each folding starts in the targets; one more entry ends the last. */
  readonly #starts: Uint16Array;
  readonly #targets: Uint32Array;

  constructor() {
    const properties = new Map<number, number>();
    for (const [first, last] of IGNORABLE_RANGES) setRange(properties, first, last, IGNORABLE);
    for (
      const { codePoint, numbers: [length, combiningClass] } of decodeEntries(COMBINING_CLASSES)
    ) {
      setRange(properties, codePoint, codePoint + length - 1, combiningClass);
    }
    const starts: number[] = [];
    const targets: number[] = [];
    // After the classes: what is changed has no use for a class of its own.
    for (const { codePoint, numbers } of decodeEntries(FOLDINGS)) {
      properties.set(codePoint, FIRST_FOLDING + starts.length);
      starts.push(targets.length);
      targets.push(...numbers);
    }
    starts.push(targets.length);

    this.#starts = Uint16Array.from(starts);
    this.#targets = Uint32Array.from(targets);
    this.#properties = this.#layOut(properties);
  }

  property(codePoint: number): number {
    const page = this.#pageOf[codePoint >> PAGE_BITS];
    return this.#properties[page * PAGE_SIZE + (codePoint & (PAGE_SIZE - 1))];
  }

  /** The code points that stand for one with this property, FIRST_FOLDING or above. */
  folding(property: number): Uint32Array {
    const folding = property - FIRST_FOLDING;
    return this.#targets.subarray(this.#starts[folding], this.#starts[folding + 1]);
  }

  #layOut(properties: ReadonlyMap<number, number>): Uint16Array {
    let pages = 1;
    for (const codePoint of properties.keys()) {
      const page = codePoint >> PAGE_BITS;
      if (this.#pageOf[page] === 0) this.#pageOf[page] = pages++;
    }
    const table = new Uint16Array(pages * PAGE_SIZE);
    for (const [codePoint, property] of properties) {
      const page = this.#pageOf[codePoint >> PAGE_BITS];
      table[page * PAGE_SIZE + (codePoint & (PAGE_SIZE - 1))] = property;
    }
    return table;
  }
}

function* decodeEntries(text: string): Generator<{ codePoint: number; numbers: number[] }> {
  let codePoint = 0;
  for (const entry of text.split(" ")) {
    const [distance, ...numbers] = entry.split(",").map((number) => parseInt(number, 36));
    codePoint += distance;
    yield { codePoint, numbers };
  }
}

function setRange(
  properties: Map<number, number>,
  first: number,
  last: number,
  property: number,
): void {
  for (let codePoint = first; codePoint <= last; codePoint++) properties.set(codePoint, property);
}
