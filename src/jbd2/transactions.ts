/**
 * The running transaction: what operations changed since the last commit.
 *
 *     operation -> handle -> running transaction -> commit -> log -> write back -> its place
 *                  (undone      (in memory)                  (durable)
 *                   as a whole)
 *
 * One thread does everything, so a commit takes in whole operations only, and nothing changes while
 * it is being written: no block needs a second copy. The price is that requests wait meanwhile.
 */

import type { Block, BlockCache } from "../block/block_cache.ts";
import { Errno } from "../sys/errno.ts";
import { fail, FsError } from "../sys/fs_error.ts";
import { Handle, type TransactionBlocks, TransactionFull } from "./handle.ts";
import { ImagePool } from "./image_pool.ts";

/** One of so many blocks of a transaction is reserved for the work before the commit. */
const RESERVED_SHARE = 8;

/** Where transactions go to last: a journal, or straight to their places on the device. */
export interface TransactionStore {
  /** Most blocks of one transaction. */
  readonly maxBlocks: number;
  /** Blocks written so far, to a log and to their places; for figures. */
  readonly writtenBlocks?: number;
  /**
   * Makes a transaction durable, all of it or nothing, and before it all file data written so far.
   * The blocks are sealed; the store holds them in the cache as long as it needs them. Throws
   * FsError when that fails: what the device has then is for the next recovery to find out.
   * @param revoked blocks that must not come back from the log; none of them is in `blocks`
   */
  commit(blocks: ReadonlyMap<number, Block>, revoked: ReadonlySet<number>): void;
  /** Makes file data durable where there is nothing to commit. */
  flush(): void;
  /** Writes every committed block to its place, so that the log is empty. */
  writeBack(): void;
  /** Nothing is written any more because of this error. Must not throw. */
  aborted?(reason: FsError): void;
}

export interface TransactionOptions {
  /** Time from the first change to the commit, in milliseconds. */
  readonly commitInterval: number;
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
}

export class Transactions {
  readonly #cache: BlockCache;
  readonly #store: TransactionStore;
  readonly #options: TransactionOptions;
  readonly #running: TransactionBlocks;
  readonly #beforeCommit: ((handle: Handle) => void)[] = [];
  readonly #afterCommit: (() => void)[] = [];
  readonly #freesSpace: (() => boolean)[] = [];
  /** Time of the first change since the last commit. */
  #since: number | undefined;
  #hasUnflushedData = false;
  #inOperation = false;
  #failure: FsError | undefined;

  constructor(cache: BlockCache, store: TransactionStore, options: TransactionOptions) {
    this.#cache = cache;
    this.#store = store;
    this.#options = options;
    this.#running = { blocks: new Map(), revoked: new Set(), images: new ImagePool() };
  }

  /** Why nothing can be written any more, if so. */
  get failure(): FsError | undefined {
    return this.#failure;
  }

  /** Blocks of metadata written so far. */
  get writtenBlocks(): number {
    return this.#store.writtenBlocks ?? 0;
  }

  /** True when the running transaction has changes. */
  get isDirty(): boolean {
    return this.#running.blocks.size > 0 || this.#running.revoked.size > 0;
  }

  /**
   * Runs one operation. What it changes through the handle becomes part of the running transaction
   * when it returns, and is undone when it throws. It may be run a second time, after a commit,
   * when space that is only free after a commit would help: it must have no other effects.
   *
   * An operation must not need more than a small part of the journal; long work is cut into
   * several. Throws EROFS when an earlier failure stopped all writing.
   */
  run<Result>(operation: (handle: Handle) => Result): Result {
    this.requireWritable();
    if (this.#inOperation) throw new Error("an operation inside an operation");
    // Half a transaction is left as room for the operation.
    if (this.#running.blocks.size * 2 > this.#store.maxBlocks) this.commit();
    const most = this.#store.maxBlocks - Math.ceil(this.#store.maxBlocks / RESERVED_SHARE);
    try {
      return this.#attempt(operation, most);
    } catch (error) {
      if (!this.#wouldFitAfterCommit(error)) throw forCaller(error);
    }
    this.commit();
    try {
      return this.#attempt(operation, most);
    } catch (error) {
      throw forCaller(error);
    }
  }

  /**
   * Makes everything so far durable: metadata and file data. Throws FsError when that fails; from
   * then on nothing is written any more, since nobody knows what the device holds.
   */
  commit(): void {
    this.requireWritable();
    if (this.#inOperation) throw new Error("a commit inside an operation");
    if (this.isDirty) this.#guarded(() => this.#commitRunning());
    else if (this.#hasUnflushedData) this.#guarded(() => this.#store.flush());
    this.#hasUnflushedData = false;
    this.#since = undefined;
  }

  /** Commits, and brings every block to its place: the log is empty afterwards. */
  writeBack(): void {
    this.commit();
    this.#guarded(() => this.#store.writeBack());
  }

  /** File data was written to the device, and is not durable yet. */
  noteData(): void {
    this.#hasUnflushedData = true;
    this.#since ??= this.#options.now();
  }

  /** Milliseconds until the running transaction should be committed; undefined: there is none. */
  due(): number | undefined {
    if (this.#since === undefined || this.#failure !== undefined) return undefined;
    return Math.max(0, this.#since + this.#options.commitInterval - this.#options.now());
  }

  /**
   * Called in a handle of its own before each commit with changes: the last ones for it. When it
   * throws, the commit fails: what it was to bring up to date would be missing.
   */
  onBeforeCommit(prepare: (handle: Handle) => void): void {
    this.#beforeCommit.push(prepare);
  }

  /** Called after each commit with changes. */
  onAfterCommit(act: () => void): void {
    this.#afterCommit.push(act);
  }

  /** `isWaiting` tells whether there is space that becomes free with the next commit. */
  onOutOfSpace(isWaiting: () => boolean): void {
    this.#freesSpace.push(isWaiting);
  }

  /**
   * Stops all writing: the running transaction is lost. Later changes throw EROFS.
   * @param isError false when it is no failure of the file system, which the next mount would have
   * to hear of
   */
  abort(reason: FsError, isError = true): void {
    if (this.#failure !== undefined) return;
    this.#failure = reason;
    this.#since = undefined;
    if (isError) this.#store.aborted?.(reason);
  }

  /** Throws EROFS after an abort. */
  requireWritable(): void {
    if (this.#failure === undefined) return;
    throw fail("EROFS", `Nothing is written any more since: ${this.#failure.message}`);
  }

  #attempt<Result>(operation: (handle: Handle) => Result, maxBlocks: number): Result {
    const handle = new Handle(this.#cache, this.#running, maxBlocks);
    this.#inOperation = true;
    try {
      const result = operation(handle);
      handle.finish();
      if (this.isDirty) this.#since ??= this.#options.now();
      return result;
    } catch (error) {
      handle.undo();
      throw error;
    } finally {
      this.#inOperation = false;
    }
  }

  #wouldFitAfterCommit(error: unknown): boolean {
    if (error instanceof TransactionFull) return this.isDirty;
    if (!(error instanceof FsError) || error.errno !== Errno.ENOSPC) return false;
    return this.#freesSpace.some((isWaiting) => isWaiting());
  }

  #commitRunning(): void {
    const { blocks, revoked } = this.#running;
    for (const prepare of this.#beforeCommit) this.#attempt(prepare, this.#store.maxBlocks);
    for (const block of blocks.values()) seal(block);
    this.#store.commit(blocks, revoked);
    for (const block of blocks.values()) this.#cache.release(block);
    // Whoever gets these blocks next may fill them with data behind the cache's back.
    for (const number of revoked) {
      if (this.#cache.peek(number)?.holds === 0) this.#cache.drop(number);
    }
    blocks.clear();
    revoked.clear();
    for (const act of this.#afterCommit) act();
  }

  /** Runs a part of a commit. Whatever goes wrong with it, half of it may have happened. */
  #guarded(act: () => void): void {
    try {
      act();
    } catch (error) {
      const failure = error instanceof FsError ? error : internalFailure(forCaller(error));
      this.abort(failure);
      throw failure;
    }
  }
}

function seal(block: Block): void {
  if (block.isSealed) return;
  block.seal?.(block);
  block.isSealed = true;
}

/** Whoever waits for the commit must hear of it like of any other failure. */
function internalFailure(error: unknown): FsError {
  if (error instanceof FsError) return error;
  const stack = error instanceof Error ? error.stack : error;
  return fail("EIO", `a commit failed in fuse4fs itself: ${stack}`);
}

/** An operation that no transaction can hold has no space; all else is what it is. */
function forCaller(error: unknown): unknown {
  if (!(error instanceof TransactionFull)) return error;
  return fail("ENOSPC", "The journal is too small for this operation");
}
