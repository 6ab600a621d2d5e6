/**
 * Where transactions go on a file system with a journal: to the log first, and from there, later
 * and many together, to their places.
 *
 *     first                        position               first = position
 *      | 17: D data data C | 18: D data R C |   write-back      |
 *      |____________ the log ______________ |   ---------->     | (empty)
 *
 * A commit keeps this order, so that a crash at any point leaves all of the transaction or nothing:
 *
 *  1. Everything but the commit block goes to free blocks of the log, and zeros to the place of the
 *     commit block: its first sector is then all that makes a difference, and that is whole or not
 *     there. (e2fsck, and older kernels, take a commit block with other sectors of an old block for
 *     damage.)
 *  2. Flush. File data that was written before is durable from here on, before anything in the log
 *     that leads to it counts; and the log is whole before its commit block can be there.
 *  3. The commit block.
 *  4. Flush. The transaction is durable.
 *
 * The kernel's journal_async_commit saves step 2 and lets checksums tell whether all of the log came
 * to the disk. They do not cover file data, so that it is only to be had without data=ordered; it is
 * not used here.
 *
 * After that its blocks stay in the cache, held, and are written to their places when the log has
 * no room left for another transaction of full size, or when they take much memory:
 *
 *  1. The newest content of each block goes to its place. This is only done when no operation has
 *     changed anything since the last commit, so what the cache has is what was committed.
 *  2. Flush. From here on, nothing of the log is needed.
 *  3. The journal's superblock tells that the log begins anew, with the next transaction.
 *  4. Flush. Only now may a commit use the log's blocks again: an older beginning would lead a
 *     recovery into the middle of something newer.
 *
 * The log so begins at the journal's first block each time, and never goes around the end of the
 * ring. As all of it is written back at once, that takes no more room.
 *
 * A crash in the middle of a write-back does no harm: replaying the log writes the same again.
 *
 * A revoke record is needed for a block that the log has had since it was last emptied, and only
 * then. Those are the blocks that are held: one that is revoked is let go, and never written back.
 */

import type { Block, BlockCache } from "../block/block_cache.ts";
import type { Device } from "../block/device.ts";
import { Errno } from "../sys/errno.ts";
import { FsError } from "../sys/fs_error.ts";
import type { Journal, WritableJournalBlocks } from "./journal.ts";
import { writeEmptyLog, writeJournalErrno, writeLogStart } from "./journal_superblock.ts";
import {
  type CommitTime,
  LogTransaction,
  revokesPerBlock,
  tagsPerDescriptor,
} from "./log_transaction.ts";
import { LogWriter } from "./log_writer.ts";
import type { TransactionStore } from "./transactions.ts";
import { writeBlocks } from "./write_blocks.ts";

/** The part of the log that one transaction may fill, as for the kernel. */
const TRANSACTION_SHARE = 4;
/** A transaction has no more blocks than fit into so many bytes, however large the log is. */
const MAX_TRANSACTION_BYTES = 32 << 20;
/** Blocks that wait for the write-back may take so much memory, in bytes. */
const MAX_HELD_BYTES = 32 << 20;

export interface JournalStoreOptions {
  /** The time that goes into commit blocks. */
  readonly now: () => CommitTime;
  /** False: the device is not waited for (mount option barrier=0). A crash may then lose anything. */
  readonly barrier?: boolean;
  /** Block behind the last one that the log may have; without it, the journal's own end. */
  readonly end?: number;
  /** Most memory of blocks that wait for the write-back, in bytes. */
  readonly maxHeldBytes?: number;
}

/** What has been written; for figures and tests. */
export interface JournalStatistics {
  commits: number;
  writeBacks: number;
  logBlocks: number;
  /** Blocks that a write-back brought to their places. */
  placedBlocks: number;
  revokes: number;
}

export class JournalStore implements TransactionStore {
  readonly maxBlocks: number;
  readonly statistics: JournalStatistics = {
    ...{ commits: 0, writeBacks: 0, logBlocks: 0, placedBlocks: 0, revokes: 0 },
  };
  readonly #cache: BlockCache;
  readonly #device: Device;
  readonly #journal: Journal<WritableJournalBlocks>;
  readonly #options: JournalStoreOptions;
  readonly #writer: LogWriter;
  /** Blocks of the log that are enough for a write-back. */
  readonly #mostUsed: number;
  readonly #mostHeld: number;
  /** Blocks in the log whose place does not have them yet, each held in the cache. */
  readonly #held = new Map<number, Block>();
  /** The next transaction. */
  #tid: number;
  /** Blocks of the log. */
  #used = 0;
  #lastTime: CommitTime = { sec: 0, nsec: 0 };

  /**
   * Takes a journal into use, and says so in its superblock: the file system's must tell already
   * that it needs recovery.
   * @param device where the blocks' places are
   * @param journal without a log
   */
  constructor(
    cache: BlockCache,
    device: Device,
    journal: Journal<WritableJournalBlocks>,
    options: JournalStoreOptions,
  ) {
    if (journal.needsRecovery) throw new Error("the journal still has a log");
    this.#cache = cache;
    this.#device = device;
    this.#journal = journal;
    this.#options = options;
    this.#tid = journal.sequence;
    const end = options.end ?? journal.end;
    this.#writer = new LogWriter(journal, end);
    const room = end - journal.first;
    this.maxBlocks = Math.floor(
      Math.min(room / TRANSACTION_SHARE, MAX_TRANSACTION_BYTES / journal.blockSize),
    );
    this.#mostUsed = room - largestTransaction(journal, room, this.maxBlocks);
    const bytes = options.maxHeldBytes ?? MAX_HELD_BYTES;
    this.#mostHeld = Math.floor(bytes / journal.blockSize);
    writeLogStart(journal, journal.first, this.#tid);
    this.#flush(journal.blocks.device);
  }

  get writtenBlocks(): number {
    return this.statistics.logBlocks + this.statistics.placedBlocks;
  }

  commit(blocks: ReadonlyMap<number, Block>, revoked: ReadonlySet<number>): void {
    const revokes = [...revoked].filter((number) => this.#held.has(number));
    if (blocks.size === 0 && revokes.length === 0) {
      this.flush();
      return;
    }
    this.#log([...blocks.values()], revokes);
    this.#tid = (this.#tid + 1) >>> 0;
    for (const number of revokes) this.#letGo(number);
    for (const block of blocks.values()) {
      if (this.#held.has(block.number)) continue;
      this.#cache.hold(block);
      this.#held.set(block.number, block);
    }
    this.statistics.commits++;
    this.statistics.revokes += revokes.length;
    if (this.#used > this.#mostUsed || this.#held.size > this.#mostHeld) this.writeBack();
  }

  flush(): void {
    this.#flush(this.#device);
  }

  writeBack(): void {
    if (this.#used === 0) return;
    writeBlocks(this.#device, this.#held.values());
    this.statistics.placedBlocks += this.#held.size;
    this.#flush(this.#device);
    writeLogStart(this.#journal, this.#journal.first, this.#tid);
    this.#flush(this.#journal.blocks.device);
    this.#writer.restart();
    for (const number of this.#held.keys()) this.#letGo(number);
    this.#used = 0;
    this.statistics.writeBacks++;
  }

  /** Leaves the journal without a log, after the last write-back. */
  close(): void {
    if (this.#used > 0) throw new Error("the log is not empty");
    writeEmptyLog(this.#journal, this.#tid);
    this.#journal.blocks.device.flush();
  }

  /** Tells the next mount, if the device still lets it. */
  aborted(reason: FsError): void {
    const errno = reason.errno === Errno.EROFS ? Errno.EIO : reason.errno;
    try {
      writeJournalErrno(this.#journal, errno);
      this.#journal.blocks.device.flush();
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      // The device failed before, most likely: this was worth a try, no more.
    }
  }

  #log(blocks: readonly Block[], revokes: readonly number[]): void {
    const before = this.#writer.added;
    const transaction = new LogTransaction(this.#journal, this.#writer, this.#tid);
    transaction.revoke(revokes);
    transaction.log(blocks);
    this.#writer.writeAndClearNext();
    this.#flush(this.#device);
    const logDevice = this.#journal.blocks.device;
    if (logDevice !== this.#device) this.#flush(logDevice);
    transaction.commit(this.#time());
    this.#writer.write();
    this.#flush(logDevice);
    const written = this.#writer.added - before;
    this.#used += written;
    this.statistics.logBlocks += written;
  }

  /** Commit times must not go back: a recovery takes that for what an older log left. */
  #time(): CommitTime {
    const now = this.#options.now();
    const { sec, nsec } = this.#lastTime;
    const isLater = now.sec > sec || (now.sec === sec && now.nsec >= nsec);
    if (isLater) this.#lastTime = { sec: now.sec, nsec: now.nsec };
    return this.#lastTime;
  }

  #letGo(number: number): void {
    const block = this.#held.get(number);
    if (block === undefined) return;
    this.#held.delete(number);
    this.#cache.release(block);
  }

  #flush(device: Device): void {
    if (this.#options.barrier !== false) device.flush();
  }
}

/**
 * Blocks of the log that one transaction can take: its blocks, their descriptors, revoke records,
 * of which there cannot be more than blocks in the log, and the commit block.
 */
function largestTransaction(journal: Journal, room: number, maxBlocks: number): number {
  const descriptors = Math.ceil(maxBlocks / tagsPerDescriptor(journal));
  const revokes = Math.ceil(room / revokesPerBlock(journal));
  return maxBlocks + descriptors + revokes + 1;
}
