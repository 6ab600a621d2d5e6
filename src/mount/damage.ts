/**
 * What damage does to a mount that writes, as the option errors or else the superblock says. The
 * first thing is always that the superblock's error fields tell of it.
 */

import { Ext4SuperBlock } from "../disk/superblock.ts";
import { recordError } from "../ext4/superblock/error_record.ts";
import type { FileSystem } from "../ext4/filesystem.ts";
import { fail, FsError } from "../sys/fs_error.ts";
import type { Log } from "../sys/log.ts";
import type { ErrorsBehavior } from "./settings.ts";

/** s_errors: EXT4_ERRORS_CONTINUE, _RO, _PANIC. Any other number is the first, as for the kernel. */
const STORED: Readonly<Record<number, ErrorsBehavior>> = { 2: "remount-ro", 3: "panic" };

export class Damage {
  readonly #fs: FileSystem;
  readonly #behavior: ErrorsBehavior;
  readonly #log: Log;
  readonly #known = new WeakSet<FsError>();
  #pending: FsError[] = [];
  #panic: FsError | undefined;

  /** @param asked what the mount options say, if anything */
  constructor(fs: FileSystem, asked: ErrorsBehavior | undefined, log: Log) {
    this.#fs = fs;
    this.#behavior = asked ??
      STORED[Ext4SuperBlock.s_errors.get(fs.superblock.view, 0)] ?? "continue";
    this.#log = log;
    fs.onReport = (error) => this.met(error);
  }

  /** With errors=panic, the damage after which the server has to end. */
  get panic(): FsError | undefined {
    return this.#panic;
  }

  /** Damage was met of which the superblock does not tell yet. */
  get isPending(): boolean {
    return this.#pending.length > 0;
  }

  /** Called with every error; only damage has consequences, and not before `settle`. */
  met(error: FsError): void {
    if (!error.isCorruption || this.#known.has(error)) return;
    this.#known.add(error);
    this.#pending.push(error);
  }

  /** Does what has to be done about the damage met so far. Not to be called inside an operation. */
  settle(): void {
    const pending = this.#pending;
    this.#pending = [];
    const [first] = pending;
    // After the end, or after an end that came early, nothing is written.
    if (this.#fs.isReadOnly || this.#fs.writing.transactions.failure !== undefined) return;
    try {
      for (const error of pending) recordError(this.#fs, error);
      if (this.#behavior !== "continue") this.#stopWriting(first);
    } catch (failure) {
      if (!(failure instanceof FsError)) throw failure;
      this.#log.error(`Cannot record the damage in the superblock: ${failure.message}`);
    }
    if (this.#behavior === "panic") this.#panic ??= first;
  }

  /** What was done before the damage was met is sound: it is made durable first. */
  #stopWriting(error: FsError): void {
    this.#fs.writing.stopInOrder(error);
    this.#log.error(
      `${this.#fs.device.name}: damage was found, and nothing is written any more ` +
        `(errors=${this.#behavior}): ${error.message}`,
    );
  }
}

/** What ends the server with errors=panic. */
export function panicError(fs: FileSystem, damage: FsError): FsError {
  return fail(
    "EIO",
    `${fs.device.name}: ended because of damage (errors=panic): ${damage.message}`,
  );
}
