/**
 * Room behind the end of files that grow. A file that is written from front to back gets one run of
 * blocks after the other, each where the last one ended; without reservations, files that grow at
 * the same time would take turns in one place, and end in as many pieces as they had requests.
 *
 *     in use | reserved for 12 | in use | reserved for 15 | free
 *            ^ next for 12              ^ next for 15
 *
 * Reservations are known to memory only, so that a crash leaves nothing behind. They end when
 * the file goes out of use, and all of them when nothing else is free any more.
 */

import type { Handle } from "../../jbd2/handle.ts";
import type { ClusterRun, FreeSpace } from "./free_space.ts";

/** Files that are kept in mind. The one whose last request is longest ago leaves first. */
const MAX_FILES = 256;
/** Bytes that are reserved: as many as the file has, within these limits. */
const LEAST_RESERVED = 16384;
const MOST_RESERVED = 8 * 2 ** 20;

/** Where a file is expected to go on. */
interface Growth {
  /** The block behind the last one that the file was given. */
  readonly next: number;
  /** What is withheld for it, beginning at `next`. */
  readonly reserved: ClusterRun | undefined;
}

export class Reservations {
  readonly #space: FreeSpace;
  /** By inode number, the oldest request first. */
  readonly #files = new Map<number, Growth>();

  constructor(space: FreeSpace) {
    this.#space = space;
  }

  /** How many bytes to reserve for a file of a size. */
  static bytesFor(fileBytes: number): number {
    return Math.max(LEAST_RESERVED, Math.min(MOST_RESERVED, fileBytes));
  }

  /** True when a file that gets blocks at `goal` goes on where it stopped. */
  isGrowing(ino: number, goal: number): boolean {
    return this.#files.get(ino)?.next === goal;
  }

  /** The file goes on at block `next`; `reserved`, if any, begins there. */
  expect(handle: Handle, ino: number, next: number, reserved?: ClusterRun): void {
    this.#replace(ino, { next, reserved }, handle);
    const [oldest] = this.#files.keys();
    if (this.#files.size > MAX_FILES) this.drop(oldest, handle);
  }

  /** @param handle inside an operation, which may be undone */
  drop(ino: number, handle?: Handle): void {
    if (this.#files.has(ino)) this.#replace(ino, undefined, handle);
  }

  /** False when there was nothing to drop. */
  dropAll(handle: Handle): boolean {
    const hadSome = [...this.#files.values()].some((growth) => growth.reserved !== undefined);
    for (const ino of [...this.#files.keys()]) this.drop(ino, handle);
    return hadSome;
  }

  #replace(ino: number, after: Growth | undefined, handle?: Handle): void {
    const before = this.#files.get(ino);
    this.#set(ino, before, after);
    handle?.onUndo(() => this.#set(ino, after, before));
  }

  #set(ino: number, from: Growth | undefined, to: Growth | undefined): void {
    if (from?.reserved !== undefined) this.#space.release(from.reserved);
    if (to?.reserved !== undefined) this.#space.withhold(to.reserved);
    this.#files.delete(ino);
    if (to !== undefined) this.#files.set(ino, to);
  }
}
