/**
 * The blocks that make up a log: headers, the tags of descriptors, revoked block numbers, and the
 * checksums of each kind of block.
 */

import { crc32c } from "../disk/crc32c.ts";
import {
  CommitHeader,
  JBD2_CRC32_CHKSUM,
  JBD2_CRC32_CHKSUM_SIZE,
  JBD2_FLAG_ESCAPE,
  JBD2_FLAG_LAST_TAG,
  JBD2_FLAG_SAME_UUID,
  JBD2_MAGIC_NUMBER,
  JournalBlockTag as Tag,
  JournalBlockTag3 as Tag3,
  JournalBlockTail as Tail,
  JournalHeader,
  JournalRevokeHeader as RevokeHeader,
  TAG_UUID_SIZE,
} from "../disk/journal.ts";
import { join32 } from "../disk/struct.ts";
import { corrupt } from "../sys/fs_error.ts";
import { checksumWithZero, type Journal } from "./journal.ts";

/** Memory for one block of the log, read anew for each. */
export class LogBlock {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  /** Journal block number of what was read last. */
  number = -1;
  readonly #journal: Journal;

  constructor(journal: Journal) {
    this.#journal = journal;
    this.bytes = new Uint8Array(journal.blockSize);
    this.view = new DataView(this.bytes.buffer);
  }

  read(number: number): void {
    this.#journal.blocks.read(number, this.bytes);
    this.number = number;
  }

  /** h_blocktype where the block belongs to transaction `tid`; otherwise undefined. */
  typeIn(tid: number): number | undefined {
    if (JournalHeader.h_magic.get(this.view, 0) !== JBD2_MAGIC_NUMBER) return undefined;
    if (JournalHeader.h_sequence.get(this.view, 0) !== tid) return undefined;
    return JournalHeader.h_blocktype.get(this.view, 0);
  }

  /** Puts back the magic number that an escaped block lost in the log. */
  unescape(): void {
    JournalHeader.h_magic.set(this.view, 0, JBD2_MAGIC_NUMBER);
  }
}

/** One data block of the log and where it belongs. */
export interface BlockTag {
  /** File-system block number, unchecked. */
  readonly block: number;
  readonly escaped: boolean;
  /** Zero without checksums; 16 bits with version 2, 32 with version 3. */
  readonly checksum: number;
}

/** Bytes of a tag, without the UUID that may follow it. */
export function tagSize(journal: Journal): number {
  const { features } = journal;
  if (features.has("journal_checksum_v3")) return Tag3.byteLength;
  const size = features.has("journal_64bit") ? Tag.byteLength : Tag.t_blocknr_high.offset;
  return features.has("journal_checksum_v2") ? size + 2 : size;
}

/** The tags of a descriptor block: there is a data block behind it for each. */
export function readTags(journal: Journal, { view }: LogBlock): BlockTag[] {
  const size = tagSize(journal);
  const end = journal.blockSize - tailSize(journal);
  const read = tagReader(journal);
  const tags: BlockTag[] = [];
  // Version 3 has 32 bits of flags, but the lower 16 of them are where the others have theirs.
  let flags = 0;
  let at = JournalHeader.byteLength;
  while (at + size <= end && (flags & JBD2_FLAG_LAST_TAG) === 0) {
    flags = Tag.t_flags.get(view, at);
    tags.push(read(view, at, (flags & JBD2_FLAG_ESCAPE) !== 0));
    at += size;
    if ((flags & JBD2_FLAG_SAME_UUID) === 0) at += TAG_UUID_SIZE;
  }
  return tags;
}

function tagReader(journal: Journal): (view: DataView, at: number, escaped: boolean) => BlockTag {
  const is64bit = journal.features.has("journal_64bit");
  const fields = journal.features.has("journal_checksum_v3") ? Tag3 : Tag;
  const hasChecksum = journal.hasChecksums;
  return (view, at, escaped) => ({
    block: join32(
      fields.t_blocknr.get(view, at),
      is64bit ? fields.t_blocknr_high.get(view, at) : 0,
    ),
    escaped,
    checksum: hasChecksum ? fields.t_checksum.get(view, at) : 0,
  });
}

/** Calls `revoke` for each block number in a revoke block; returns how many there were. */
export function readRevokes(
  journal: Journal,
  { view, number }: LogBlock,
  revoke: (block: number) => void,
): number {
  const end = RevokeHeader.r_count.get(view, 0);
  if (end > journal.blockSize - tailSize(journal)) {
    throw corrupt(`journal block ${number}: a revoke block that claims ${end} bytes`);
  }
  const is64bit = journal.features.has("journal_64bit");
  const size = is64bit ? 8 : 4;
  let count = 0;
  for (let at = RevokeHeader.byteLength; at + size <= end; at += size) {
    revoke(
      is64bit ? join32(view.getUint32(at + 4), view.getUint32(at)) : view.getUint32(at),
    );
    count++;
  }
  return count;
}

/** Bytes at the end of descriptor and revoke blocks that hold no tags and numbers. */
export function tailSize(journal: Journal): number {
  return journal.hasChecksums ? Tail.byteLength : 0;
}

/** True where the checksum at the end of a descriptor or revoke block fits. */
export function tailChecksumFits(journal: Journal, { bytes, view }: LogBlock): boolean {
  if (!journal.hasChecksums) return true;
  const at = journal.blockSize - Tail.byteLength;
  return Tail.t_checksum.get(view, at) === checksumWithZero(journal.checksumSeed, bytes, at);
}

/** True where the checksum of a data block, as it is in the log, fits its tag. */
export function dataChecksumFits(
  journal: Journal,
  { bytes }: LogBlock,
  tag: BlockTag,
  tid: number,
): boolean {
  if (!journal.hasChecksums) return true;
  const sum = crc32c(crc32cOfTid(journal.checksumSeed, tid), bytes);
  return tag.checksum === (journal.features.has("journal_checksum_v3") ? sum : sum & 0xffff);
}

const scratch = new DataView(new ArrayBuffer(4));
const scratchBytes = new Uint8Array(scratch.buffer);

/** Where the checksum of a transaction's data blocks starts. */
export function crc32cOfTid(seed: number, tid: number): number {
  scratch.setUint32(0, tid);
  return crc32c(seed, scratchBytes);
}

/**
 * True where the checksum of a commit block fits (versions 2 and 3). A commit block of which only
 * the first sector reached the disk is as good as a whole one: the rest is zeros, and of no use.
 */
export function commitChecksumFits(journal: Journal, { bytes, view }: LogBlock): boolean {
  if (!journal.hasChecksums) return true;
  const field = CommitHeader.h_chksum.offset;
  const stored = CommitHeader.h_chksum.get(view, 0);
  if (stored === checksumWithZero(journal.checksumSeed, bytes, field)) return true;
  const alone = new Uint8Array(journal.blockSize);
  alone.set(bytes.subarray(0, CommitHeader.byteLength));
  return stored === checksumWithZero(journal.checksumSeed, alone, field);
}

/** True where a commit block's checksum of the whole transaction (version 1) fits, or is absent. */
export function transactionChecksumFits({ view }: LogBlock, sum: number): boolean {
  const type = CommitHeader.h_chksum_type.get(view, 0);
  const size = CommitHeader.h_chksum_size.get(view, 0);
  const stored = CommitHeader.h_chksum.get(view, 0);
  if (type === 0 && size === 0 && stored === 0) return true;
  return type === JBD2_CRC32_CHKSUM && size === JBD2_CRC32_CHKSUM_SIZE && stored === sum;
}
