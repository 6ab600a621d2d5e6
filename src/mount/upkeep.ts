/**
 * What a mount that writes has to do beside answering requests: commit when it is time, tell of
 * what went wrong meanwhile, and leave the device in order at the end.
 */

import { evictUnheard } from "../ext4/inode/evict.ts";
import type { FileSystem } from "../ext4/filesystem.ts";
import { fail, FsError } from "../sys/fs_error.ts";
import type { Log } from "../sys/log.ts";
import { Damage } from "./damage.ts";
import type { Timer } from "./loop.ts";
import type { ErrorsBehavior } from "./settings.ts";

export class Upkeep implements Timer {
  readonly damage: Damage;
  /** The kernel writes data to the device itself, and need not tell of what it overwrites. */
  isDataUnseen = false;
  readonly #fs: FileSystem;
  readonly #log: Log;
  /** A commit of the timer failed, and no fsync has told of it yet. */
  #untold: FsError | undefined;
  #refusal: FsError | undefined;
  #isFinished = false;

  constructor(fs: FileSystem, errors: ErrorsBehavior | undefined, log: Log) {
    this.#fs = fs;
    this.#log = log;
    this.damage = new Damage(fs, errors, log);
  }

  /** After a shutdown: what every request is answered with. */
  get refusal(): FsError | undefined {
    return this.#refusal;
  }

  /** Makes everything so far durable. Throws FsError, EIO for what failed behind everybody's back. */
  commit(): void {
    if (this.#refusal !== undefined) throw this.#refusal;
    if (this.#untold !== undefined) {
      const { message } = this.#untold;
      this.#untold = undefined;
      throw fail("EIO", `An earlier commit failed: ${message}`);
    }
    const { transactions } = this.#fs.writing;
    if (this.isDataUnseen) transactions.noteData();
    transactions.commit();
  }

  due(): number | undefined {
    if (this.damage.isPending) return 0;
    return this.#isFinished ? undefined : this.#fs.writing.due();
  }

  fire(): void {
    if (this.damage.isPending) this.damage.settle();
    if (this.#isFinished) return;
    try {
      this.#fs.writing.fire();
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      this.#fs.report(error);
      // The update of the multiple mount protection may come later, and concerns no data.
      if (this.#fs.writing.transactions.failure !== undefined) this.#untold ??= error;
    }
  }

  /** Commits, and lets nothing more happen, as if the power went (FS_IOC_SHUTDOWN). */
  shutDown(): void {
    const { transactions } = this.#fs.writing;
    try {
      transactions.commit();
    } finally {
      this.#refusal = fail("EIO", "The file system was shut down");
      transactions.abort(this.#refusal, false);
      this.#log.warn(`${this.#fs.device.name}: shut down by request`);
    }
  }

  /**
   * The end: frees the files that had no links but were open, commits, and leaves the device as
   * one that was unmounted. Throws FsError when not everything could be written. Does nothing when
   * called again.
   */
  finish(): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    const { transactions } = this.#fs.writing;
    if (transactions.failure === undefined) this.#evictAll();
    if (this.damage.isPending) this.damage.settle();
    const { failure } = transactions;
    this.#fs.stopWriting();
    // What stopped writing on purpose had everything written before.
    if (failure === undefined || failure === this.#refusal || failure.isCorruption) return;
    throw fail(
      "EIO",
      `Not everything could be written to ${this.#fs.device.name}: ${failure.message}`,
    );
  }

  /**
   * What cannot be freed stays an orphan, which the next mount frees. The last one that came is the
   * first of the list on the disk, where it is taken out with the least effort.
   */
  #evictAll(): void {
    for (const ino of [...this.#fs.unlinkedInodes].reverse()) evictUnheard(this.#fs, ino);
  }
}
