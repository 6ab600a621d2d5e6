/**
 * Changes to the journal's superblock. It tells where the log begins: until it does, what is in
 * the log does not count, and once it tells of a later begin, what was before is forgotten. None
 * of the changes is durable before the next flush of the journal's device.
 */

import { crc32c } from "../disk/crc32c.ts";
import {
  JBD2_CRC32C_CHKSUM,
  JBD2_DEFAULT_FAST_COMMIT_BLOCKS,
  JBD2_MIN_JOURNAL_BLOCKS,
  JBD2_SUPERBLOCK_V2,
  JournalSuperblock as Sb,
} from "../disk/journal.ts";
import { setJournalFeatures } from "./features.ts";
import { type Journal, openJournal, type WritableJournalBlocks } from "./journal.ts";

type WritableJournal = Journal<WritableJournalBlocks>;

/** The log begins with transaction `sequence` at block `start`. */
export function writeLogStart(journal: WritableJournal, start: number, sequence: number): void {
  Sb.s_start.set(journal.view, 0, start);
  Sb.s_sequence.set(journal.view, 0, sequence);
  store(journal);
}

/**
 * There is no log, and nothing in the area of fast commits: the feature is off until the next mount,
 * as the kernel leaves it, so that older kernels can mount the file system.
 * @param sequence the next transaction, a number that none in the journal has
 */
export function writeEmptyLog(journal: WritableJournal, sequence: number): void {
  Sb.s_head.set(journal.view, 0, journal.first);
  if (journal.version > 1) setJournalFeatures(journal.view, { fast_commit: false });
  writeLogStart(journal, 0, sequence);
}

/** The journal was aborted because of an error; zero: it was not. */
export function writeJournalErrno(journal: WritableJournal, errno: number): void {
  Sb.s_errno.set(journal.view, 0, -errno >>> 0);
  store(journal);
}

/** How transactions are to be written. */
export interface LogFormat {
  readonly is64bit: boolean;
  /** Which kind of checksums: the old one of whole transactions, or those of each block. */
  readonly checksums: "none" | "journal_checksum" | "journal_checksum_v2" | "journal_checksum_v3";
}

/**
 * Gives a journal without a log the features that a mount wants, as the kernel does at each mount:
 * what earlier ones wanted does not matter. Returns the journal opened anew.
 */
export function setLogFormat(journal: WritableJournal, format: LogFormat): WritableJournal {
  const { view } = journal;
  if (journal.version === 1) {
    // The superblock of version 1 ends before the features.
    Sb.h_blocktype.set(view, 0, JBD2_SUPERBLOCK_V2);
    journal.superblockBytes.fill(0, Sb.s_feature_compat.offset);
  }
  setJournalFeatures(view, {
    journal_incompat_revoke: true,
    journal_64bit: format.is64bit || journal.features.has("journal_64bit"),
    journal_async_commit: false,
    journal_checksum: format.checksums === "journal_checksum",
    journal_checksum_v2: format.checksums === "journal_checksum_v2",
    journal_checksum_v3: format.checksums === "journal_checksum_v3",
  });
  const hasChecksums = format.checksums === "journal_checksum_v2" ||
    format.checksums === "journal_checksum_v3";
  Sb.s_checksum_type.set(view, 0, hasChecksums ? JBD2_CRC32C_CHKSUM : 0);
  Sb.s_errno.set(view, 0, 0);
  store(journal);
  const { blocks, superblockBlock, length } = journal;
  return openJournal(blocks, { superblockBlock, maxBlocks: length });
}

/**
 * Where the log must end on a file system with the feature of fast commits. The journal has that
 * feature only while the kernel uses it, but the kernel goes on where the log that it finds ends, and
 * in the area of fast commits, or at its very start, it would lose its way.
 */
export function endBeforeFastCommits({ view, length, first, end }: Journal): number {
  const count = Sb.s_num_fc_blks.get(view, 0) || JBD2_DEFAULT_FAST_COMMIT_BLOCKS;
  // In a journal that is too small for both, the kernel makes no fast commits.
  const isTooSmall = length - count - (first - 1) < JBD2_MIN_JOURNAL_BLOCKS;
  return isTooSmall ? end : Math.min(end, length - count - 1);
}

function store({ view, superblockBytes, superblockBlock, blocks }: WritableJournal): void {
  Sb.s_checksum.set(view, 0, 0);
  if (Sb.s_checksum_type.get(view, 0) === JBD2_CRC32C_CHKSUM) {
    Sb.s_checksum.set(view, 0, crc32c(0xffffffff, superblockBytes, 0, Sb.byteLength));
  }
  blocks.write(superblockBlock, superblockBytes);
}
