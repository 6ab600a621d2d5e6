/**
 * Errors of writes that the kernel had cached. They come when write(2) has returned long ago, and a
 * program that goes on writing, as dd(1) without an end, would hear of a full disk never.
 *
 * But write(2) asks for the file's attributes where the kernel's are out of date. So a failed write
 * makes them so, and the next question for them that is about an open file, as that of stat(2) is
 * not, is answered with the error: once, only while the writer may be at it, and only until somebody
 * has made room, as whoever heard of it by fsync(2) may do before he tries again.
 */

import type { FsError } from "../sys/fs_error.ts";

const HEARD_WITHIN_MS = 1000;

interface LateError {
  readonly error: FsError;
  /** Time after which it is old. */
  readonly until: number;
}

export class LateErrors {
  readonly #now: () => number;
  readonly #byNode = new Map<number, LateError>();

  /** @param now a clock in milliseconds that never goes back */
  constructor(now: () => number) {
    this.#now = now;
  }

  note(nodeId: number, error: FsError): void {
    this.#byNode.set(nodeId, { error, until: this.#now() + HEARD_WITHIN_MS });
  }

  /** Throws the error of a write to this node that nobody has heard of yet. */
  tell(nodeId: number): void {
    if (this.#byNode.size === 0) return;
    const late = this.#byNode.get(nodeId);
    this.#byNode.delete(nodeId);
    if (late !== undefined && this.#now() <= late.until) throw late.error;
  }

  forget(nodeId: number): void {
    this.#byNode.delete(nodeId);
  }

  /** There is more room than before: what failed may work now. */
  forgetAll(): void {
    this.#byNode.clear();
  }
}
