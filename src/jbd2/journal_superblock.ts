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
 * @param sequence the next transaction, a number that none in the ring has
 * @param head where the next transaction may go
 */
export function writeEmptyLog(journal: WritableJournal, sequence: number, head: number): void {
  Sb.s_head.set(journal.view, 0, head);
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
  /**
   * The file system has the feature of fast commits: the ring ends in front of their area. None is
   * written here, but the kernel goes on where this ring ends, and would lose its way in the area.
   */
  readonly fastCommits?: boolean;
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
    fast_commit: journal.fastCommits !== undefined ||
      (format.fastCommits === true && hasRoomForFastCommits(journal)),
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

/** Where there is not, the kernel makes no fast commits either. */
function hasRoomForFastCommits({ view, length, first }: WritableJournal): boolean {
  const count = Sb.s_num_fc_blks.get(view, 0) || JBD2_DEFAULT_FAST_COMMIT_BLOCKS;
  return length - count - (first - 1) >= JBD2_MIN_JOURNAL_BLOCKS;
}

function store({ view, superblockBytes, superblockBlock, blocks }: WritableJournal): void {
  Sb.s_checksum.set(view, 0, 0);
  if (Sb.s_checksum_type.get(view, 0) === JBD2_CRC32C_CHKSUM) {
    Sb.s_checksum.set(view, 0, crc32c(0xffffffff, superblockBytes, 0, Sb.byteLength));
  }
  blocks.write(superblockBlock, superblockBytes);
}
