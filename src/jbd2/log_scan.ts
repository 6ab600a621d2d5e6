/**
 * Reads a log from its start to the last transaction that was committed, and finds out what has to
 * be written where. Nothing is written here.
 *
 * A transaction counts when its commit block is in its place. The log ends, without any error, at
 * the first block that is not of the transaction that should come: the crash was there, and what
 * follows is left over from the ring's last round.
 *
 * The kernel goes over the log three times, for the end, the revoked blocks, and the blocks. Going
 * over it in order, once, has the same outcome: a block that a transaction revokes loses whatever
 * older transactions, and this one, had for it, and of several versions of a block only the newest
 * is kept. So no table outgrows the log, whatever the log says.
 */

import { crc32Be } from "../disk/crc32_be.ts";
import {
  CommitHeader,
  JBD2_COMMIT_BLOCK,
  JBD2_DESCRIPTOR_BLOCK,
  JBD2_REVOKE_BLOCK,
} from "../disk/journal.ts";
import { badChecksum, corrupt, fail } from "../sys/fs_error.ts";
import type { Journal } from "./journal.ts";
import {
  type BlockTag,
  commitChecksumFits,
  LogBlock,
  readRevokes,
  readTags,
  tailChecksumFits,
  transactionChecksumFits,
} from "./log_block.ts";

/** Most blocks to remember: 4 GiB of content in blocks of 4 KiB, and some 150 MB of memory. */
const MAX_LOGGED_BLOCKS = 2 ** 20;

/** The newest version of a block. */
export interface LoggedBlock {
  readonly tag: BlockTag;
  /** Journal block with the content. */
  readonly logBlock: number;
  readonly tid: number;
}

export interface LogContents {
  /** By file-system block, in the order of the log. */
  readonly blocks: ReadonlyMap<number, LoggedBlock>;
  /** Committed transactions. */
  readonly transactions: number;
  /** Revoked block numbers that the log has. */
  readonly revokes: number;
  /** The transaction that would come next, and that fast commits belong to. */
  readonly nextTid: number;
  /** A transaction that is damaged, and not the victim of a crash: the log goes on behind it. */
  readonly failedTid: number | undefined;
}

/**
 * Throws FsError where the log is damaged in a way that makes the kernel give up before it writes
 * anything: EBADMSG or EUCLEAN; EIO where it cannot be read.
 */
export function scanLog(journal: Journal): LogContents {
  const scan = new LogScan(journal);
  scan.run();
  return scan;
}

/** Transactions are numbered modulo 2^32. */
function nextTid(tid: number): number {
  return (tid + 1) >>> 0;
}

class LogScan implements LogContents {
  readonly blocks = new Map<number, LoggedBlock>();
  transactions = 0;
  revokes = 0;
  nextTid: number;
  failedTid: number | undefined;

  readonly #journal: Journal;
  readonly #block: LogBlock;
  /** Blocks of the ring. */
  readonly #ring: number;
  /** Block to be read next. */
  #position: number;
  /** Blocks that the log has gone over, at most once around the ring. */
  #passed = 0;

  /** The running transaction, without commit block so far. */
  #logged: LoggedBlock[] = [];
  #revokeBlocks: number[] = [];
  #checksum = 0xffffffff;

  /** Seconds; a log's commit times do not decrease, those of its last round are older. */
  #lastCommitTime = 0;
  /** A descriptor or revoke block did not fit its checksum. */
  #suspect = false;
  /** The transaction whose commit block does not fit: with async_commit, scanning goes on. */
  #unfitTid: number | undefined;

  constructor(journal: Journal) {
    this.#journal = journal;
    this.#block = new LogBlock(journal);
    this.#ring = journal.end - journal.first;
    this.#position = journal.start;
    this.nextTid = journal.sequence;
  }

  run(): void {
    let tid = this.#journal.sequence;
    for (;;) {
      this.#block.read(this.#position);
      const type = this.#block.typeIn(tid);
      if (type === undefined) return;
      if (this.#passed >= this.#ring) {
        throw corrupt(`journal: the log goes more than once around its ${this.#ring} blocks`);
      }
      this.#pass(1);
      if (type === JBD2_DESCRIPTOR_BLOCK) {
        this.#takeDescriptor(tid);
      } else if (type === JBD2_REVOKE_BLOCK) {
        this.#takeRevokeBlock();
      } else if (type === JBD2_COMMIT_BLOCK) {
        if (!this.#takeCommit(tid)) return;
        tid = nextTid(tid);
      } else {
        return;
      }
    }
  }

  /** Moves on. */
  #pass(count: number): void {
    this.#passed += count;
    this.#position = this.#journal.advance(this.#position, count % this.#ring);
  }

  #takeDescriptor(tid: number): void {
    if (!tailChecksumFits(this.#journal, this.#block)) this.#suspect = true;
    const tags = readTags(this.#journal, this.#block);
    if (this.blocks.size + this.#logged.length + tags.length > MAX_LOGGED_BLOCKS) {
      throw fail(
        "ENOMEM",
        `Cannot replay the journal: it has more than ${MAX_LOGGED_BLOCKS} blocks`,
      );
    }
    let logBlock = this.#position;
    for (const tag of tags) {
      this.#logged.push({ tag, logBlock, tid });
      logBlock = this.#journal.advance(logBlock, 1);
    }
    if (this.#journal.features.has("journal_checksum")) this.#addToChecksum(tags.length);
    this.#pass(tags.length);
  }

  /** Takes in a descriptor, and the data blocks that follow it, as they are in the log. */
  #addToChecksum(count: number): void {
    this.#checksum = crc32Be(this.#checksum, this.#block.bytes);
    for (let index = 0, at = this.#position; index < count; index++) {
      this.#block.read(at);
      this.#checksum = crc32Be(this.#checksum, this.#block.bytes);
      at = this.#journal.advance(at, 1);
    }
  }

  #takeRevokeBlock(): void {
    if (!tailChecksumFits(this.#journal, this.#block)) this.#suspect = true;
    this.#revokeBlocks.push(this.#block.number);
  }

  /** False: the log ends here. */
  #takeCommit(tid: number): boolean {
    const commitTime = CommitHeader.h_commit_sec.get(this.#block.view, 0);
    const isStale = commitTime < this.#lastCommitTime;
    if (this.#suspect) {
      if (isStale) return false;
      throw badChecksum(`transaction ${tid} in the journal, before block ${this.#block.number}`);
    }
    if (this.#unfitTid !== undefined) {
      // The log goes on, so it was no crash that kept the earlier one from being complete.
      this.failedTid = this.#unfitTid;
      return false;
    }
    if (this.#commitFits()) {
      this.#commit(tid);
    } else {
      if (isStale) return false;
      if (!this.#journal.features.has("journal_async_commit")) {
        // The commit block was written last: all in front of it should be there.
        this.failedTid = tid;
        return false;
      }
      this.#unfitTid = tid;
    }
    this.#lastCommitTime = commitTime;
    return true;
  }

  #commitFits(): boolean {
    return this.#journal.features.has("journal_checksum")
      ? transactionChecksumFits(this.#block, this.#checksum)
      : commitChecksumFits(this.#journal, this.#block);
  }

  #commit(tid: number): void {
    for (const logged of this.#logged) {
      const { block } = logged.tag;
      // Put at the end, so that the replay reads the log in order.
      this.blocks.delete(block);
      this.blocks.set(block, logged);
    }
    this.#logged = [];
    for (const number of this.#revokeBlocks) {
      this.#block.read(number);
      this.revokes += readRevokes(
        this.#journal,
        this.#block,
        (block) => this.blocks.delete(block),
      );
    }
    this.#revokeBlocks = [];
    this.#checksum = 0xffffffff;
    this.transactions++;
    this.nextTid = nextTid(tid);
  }
}
