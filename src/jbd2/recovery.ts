/**
 * Replays a journal: writes what the log has to where it belongs. The log itself stays as it is;
 * whoever replays onto a real device marks the journal empty afterwards.
 */

import type { Device } from "../block/device.ts";
import { JBD2_MAGIC_NUMBER, JournalHeader } from "../disk/journal.ts";
import { badChecksum, corrupt, FsError } from "../sys/fs_error.ts";
import type { Journal } from "./journal.ts";
import { dataChecksumFits, LogBlock } from "./log_block.ts";
import { type LoggedBlock, scanLog } from "./log_scan.ts";

/** A block of content in the log. */
export interface LogPlace {
  readonly logBlock: number;
  /** There, its first four bytes are zeros instead of the magic number. */
  readonly escaped: boolean;
}

/** What a journal is replayed onto. */
export interface ReplayTarget {
  /** Bytes of a block. */
  readonly blockSize: number;
  /**
   * Blocks of the device. The superblock's number would be wrong: it is in the log itself where
   * the file system was being enlarged.
   */
  readonly blocksCount: number;
  /**
   * `bytes`, one block long, are the caller's own and change after the call.
   * @param place where in the log they are
   */
  write(block: number, bytes: Uint8Array<ArrayBuffer>, place: LogPlace): void;
}

/** Reads content from the log, as it belongs into the file system. */
export function readLogged(
  journal: Journal,
  { logBlock, escaped }: LogPlace,
  into: Uint8Array<ArrayBuffer>,
): void {
  journal.blocks.read(logBlock, into);
  if (!escaped) return;
  const view = new DataView(into.buffer, into.byteOffset, into.length);
  JournalHeader.h_magic.set(view, 0, JBD2_MAGIC_NUMBER);
}

/** A replay onto a device, such as an overlay. */
export function deviceTarget(device: Device, blockSize: number): ReplayTarget {
  return {
    blockSize,
    blocksCount: Math.floor(device.size / blockSize),
    write: (block, bytes) => device.write(bytes, block * blockSize),
  };
}

export interface RecoveryResult {
  /** Committed transactions in the log. */
  readonly transactions: number;
  /** Blocks written. */
  readonly blocks: number;
  /** Blocks that should have been written and could not be: see `problems`. */
  readonly skippedBlocks: number;
  /** Revoked block numbers in the log. */
  readonly revokes: number;
  /** The transaction behind the last one: what fast commits must name. */
  readonly nextTid: number;
  /**
   * What was wrong, at most MAX_PROBLEMS of it: damaged blocks, which were left out, and a damaged
   * transaction, at which the replay ended. Where there is any, the kernel refuses the mount, with
   * the errno of the first.
   */
  readonly problems: readonly FsError[];
}

/** Errors to keep: the log may have millions of damaged blocks. */
export const MAX_PROBLEMS = 16;

/**
 * Replays all committed transactions of a journal that needs it. Throws FsError, before anything
 * is written, where the log is too damaged to tell what it says; where the target cannot be
 * written to, whenever that is.
 */
export function recover(journal: Journal, target: ReplayTarget): RecoveryResult {
  if (journal.blockSize !== target.blockSize) {
    throw corrupt(`journal: blocks of ${journal.blockSize} bytes, not of ${target.blockSize}`);
  }
  if (!journal.needsRecovery) {
    return {
      transactions: 0,
      blocks: 0,
      skippedBlocks: 0,
      revokes: 0,
      nextTid: journal.sequence,
      problems: [],
    };
  }
  const log = scanLog(journal);
  const replay = new Replay(journal, target);
  for (const logged of log.blocks.values()) replay.write(logged);
  if (log.failedTid !== undefined) {
    replay.report(corrupt(`journal: transaction ${log.failedTid} does not fit its commit block`));
  }
  return {
    transactions: log.transactions,
    blocks: log.blocks.size - replay.skippedBlocks,
    skippedBlocks: replay.skippedBlocks,
    revokes: log.revokes,
    nextTid: log.nextTid,
    problems: replay.problems,
  };
}

class Replay {
  readonly problems: FsError[] = [];
  skippedBlocks = 0;
  readonly #journal: Journal;
  readonly #target: ReplayTarget;
  readonly #block: LogBlock;

  constructor(journal: Journal, target: ReplayTarget) {
    this.#journal = journal;
    this.#target = target;
    this.#block = new LogBlock(journal);
  }

  report(problem: FsError): void {
    if (this.problems.length < MAX_PROBLEMS) this.problems.push(problem);
  }

  /** Copies one block to its place, or leaves it out with a report. */
  write(logged: LoggedBlock): void {
    const problem = this.#load(logged);
    if (problem !== undefined) {
      this.skippedBlocks++;
      this.report(problem);
      return;
    }
    const { tag: { block, escaped }, logBlock } = logged;
    this.#target.write(block, this.#block.bytes, { logBlock, escaped });
  }

  /** Reads the content, as it belongs into the file system; returns what is wrong with it. */
  #load({ tag, logBlock, tid }: LoggedBlock): FsError | undefined {
    const { block } = tag;
    if (block >= this.#target.blocksCount) {
      return corrupt(`journal: block ${logBlock} belongs beyond the end of the device`, { block });
    }
    try {
      this.#block.read(logBlock);
    } catch (error) {
      if (error instanceof FsError) return error;
      throw error;
    }
    // The checksum is of the block as it is in the log, without the number that it lost.
    if (!dataChecksumFits(this.#journal, this.#block, tag, tid)) {
      return badChecksum(`journal block ${logBlock}, transaction ${tid}`, { block });
    }
    if (tag.escaped) this.#block.unescape();
    return undefined;
  }
}
