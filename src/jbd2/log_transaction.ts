/**
 * Writes one transaction to the log, in the order in which its parts are called:
 *
 *     revoke blocks | descriptor, data, data, ... | descriptor, ... |  commit block
 *
 * The counterpart of log_block.ts and log_scan.ts. What the blocks look like depends on the
 * journal's features: 64-bit numbers, checksums of version 2 or 3 on every block, or, with the old
 * journal_checksum, one of the whole transaction in its commit block.
 */

import type { Block } from "../block/block_cache.ts";
import { crc32Be } from "../disk/crc32_be.ts";
import { crc32c } from "../disk/crc32c.ts";
import {
  CommitHeader,
  JBD2_COMMIT_BLOCK,
  JBD2_CRC32_CHKSUM,
  JBD2_CRC32_CHKSUM_SIZE,
  JBD2_DESCRIPTOR_BLOCK,
  JBD2_FLAG_ESCAPE,
  JBD2_FLAG_LAST_TAG,
  JBD2_FLAG_SAME_UUID,
  JBD2_MAGIC_NUMBER,
  JBD2_REVOKE_BLOCK,
  JournalBlockTag as Tag,
  JournalBlockTag3 as Tag3,
  JournalHeader as Header,
  JournalRevokeHeader as RevokeHeader,
  TAG_UUID_SIZE,
} from "../disk/journal.ts";
import type { Journal, WritableJournalBlocks } from "./journal.ts";
import { crc32cOfTid, tagSize, tailSize } from "./log_block.ts";
import type { LogWriter } from "./log_writer.ts";

/** A point in time, in seconds since 1970 and nanoseconds. */
export interface CommitTime {
  readonly sec: number;
  readonly nsec: number;
}

/** Blocks of data that one descriptor has tags for. */
export function tagsPerDescriptor(journal: Journal): number {
  const room = journal.blockSize - Header.byteLength - tailSize(journal) - TAG_UUID_SIZE;
  return Math.floor(room / tagSize(journal));
}

/** Block numbers that one revoke block has room for. */
export function revokesPerBlock(journal: Journal): number {
  const room = journal.blockSize - RevokeHeader.byteLength - tailSize(journal);
  return Math.floor(room / revokeSize(journal));
}

export class LogTransaction {
  readonly #journal: Journal<WritableJournalBlocks>;
  readonly #writer: LogWriter;
  readonly #tid: number;
  /** Of all descriptors and data so far, with the old journal_checksum. */
  #sum = 0xffffffff;

  constructor(journal: Journal<WritableJournalBlocks>, writer: LogWriter, tid: number) {
    this.#journal = journal;
    this.#writer = writer;
    this.#tid = tid;
  }

  /** What older transactions have of these blocks, and this one, must not be replayed. */
  revoke(numbers: readonly number[]): void {
    const perBlock = revokesPerBlock(this.#journal);
    for (let done = 0; done < numbers.length; done += perBlock) {
      this.#revokeBlock(numbers.slice(done, done + perBlock));
    }
  }

  /** New content of these blocks. */
  log(blocks: readonly Block[]): void {
    const perDescriptor = tagsPerDescriptor(this.#journal);
    for (let done = 0; done < blocks.length; done += perDescriptor) {
      const some = blocks.slice(done, done + perDescriptor);
      this.#descriptor(some);
      for (const block of some) this.#data(block);
    }
  }

  /** The block that makes all of it count, once it is on the disk. */
  commit(time: CommitTime): void {
    const at = this.#begin(JBD2_COMMIT_BLOCK);
    const { view, bytes } = this.#writer;
    CommitHeader.h_commit_sec.set(view, at, time.sec);
    CommitHeader.h_commit_nsec.set(view, at, time.nsec);
    if (this.#journal.features.has("journal_checksum")) {
      CommitHeader.h_chksum_type.set(view, at, JBD2_CRC32_CHKSUM);
      CommitHeader.h_chksum_size.set(view, at, JBD2_CRC32_CHKSUM_SIZE);
      CommitHeader.h_chksum.set(view, at, this.#sum);
    } else if (this.#journal.hasChecksums) {
      // The field itself counts as zero, which it still is.
      const sum = crc32c(this.#journal.checksumSeed, bytes, at, at + this.#journal.blockSize);
      CommitHeader.h_chksum.set(view, at, sum);
    }
  }

  #begin(type: number): number {
    const at = this.#writer.addBlank();
    const { view } = this.#writer;
    Header.h_magic.set(view, at, JBD2_MAGIC_NUMBER);
    Header.h_blocktype.set(view, at, type);
    Header.h_sequence.set(view, at, this.#tid);
    return at;
  }

  #revokeBlock(numbers: readonly number[]): void {
    const block = this.#begin(JBD2_REVOKE_BLOCK);
    const { view } = this.#writer;
    const size = revokeSize(this.#journal);
    let at = block + RevokeHeader.byteLength;
    for (const number of numbers) {
      if (size === 8) view.setUint32(at, Math.floor(number / 2 ** 32));
      view.setUint32(at + size - 4, number % 2 ** 32);
      at += size;
    }
    RevokeHeader.r_count.set(view, block, at - block);
    this.#sealTail(block);
  }

  #descriptor(blocks: readonly Block[]): void {
    const descriptor = this.#begin(JBD2_DESCRIPTOR_BLOCK);
    const size = tagSize(this.#journal);
    let at = descriptor + Header.byteLength;
    for (const [index, block] of blocks.entries()) {
      let flags = index === 0 ? 0 : JBD2_FLAG_SAME_UUID;
      if (index === blocks.length - 1) flags |= JBD2_FLAG_LAST_TAG;
      if (startsWithMagic(block)) flags |= JBD2_FLAG_ESCAPE;
      this.#tag(at, block, flags);
      at += size;
      if (index === 0) {
        this.#writer.bytes.set(this.#journal.uuid, at);
        at += TAG_UUID_SIZE;
      }
    }
    this.#sealTail(descriptor);
    this.#addToSum(descriptor);
  }

  #tag(at: number, block: Block, flags: number): void {
    const { features, hasChecksums } = this.#journal;
    const { view } = this.#writer;
    const isVersion3 = features.has("journal_checksum_v3");
    const fields = isVersion3 ? Tag3 : Tag;
    fields.t_blocknr.set(view, at, block.number % 2 ** 32);
    fields.t_flags.set(view, at, flags);
    if (features.has("journal_64bit")) {
      fields.t_blocknr_high.set(view, at, Math.floor(block.number / 2 ** 32));
    }
    if (!hasChecksums) return;
    const sum = this.#dataChecksum(block);
    fields.t_checksum.set(view, at, isVersion3 ? sum : sum & 0xffff);
  }

  /** Of the block as it will be in the log, without the number that it loses there. */
  #dataChecksum(block: Block): number {
    const seed = crc32cOfTid(this.#journal.checksumSeed, this.#tid);
    if (!startsWithMagic(block)) return crc32c(seed, block.bytes);
    return crc32c(crc32c(seed, ESCAPED), block.bytes, ESCAPED.length);
  }

  #data(block: Block): void {
    const at = this.#writer.add();
    this.#writer.bytes.set(block.bytes, at);
    if (startsWithMagic(block)) this.#writer.bytes.set(ESCAPED, at);
    this.#addToSum(at);
  }

  #sealTail(block: number): void {
    if (!this.#journal.hasChecksums) return;
    const { view, bytes } = this.#writer;
    const end = block + this.#journal.blockSize;
    // The field itself counts as zero, which it still is.
    view.setUint32(end - 4, crc32c(this.#journal.checksumSeed, bytes, block, end));
  }

  #addToSum(at: number): void {
    if (!this.#journal.features.has("journal_checksum")) return;
    const block = this.#writer.bytes.subarray(at, at + this.#journal.blockSize);
    this.#sum = crc32Be(this.#sum, block);
  }
}

/** What stands in the log for the magic number at the start of a block of data. */
const ESCAPED = new Uint8Array(4);

/** A block of data that a reader of the log could take for one of the log's own. */
function startsWithMagic(block: Block): boolean {
  return Header.h_magic.get(block.view, 0) === JBD2_MAGIC_NUMBER;
}

function revokeSize(journal: Journal): number {
  return journal.features.has("journal_64bit") ? 8 : 4;
}
