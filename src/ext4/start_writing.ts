/**
 * The start and the end of writing to a file system, in an order that leaves a sound one after a
 * crash at any point:
 *
 *     start   1. multiple mount protection: nobody else writes
 *             2. the log of an earlier mount goes to its places            (recovery.ts)
 *             3. the superblock says that the file system is in use: with a journal, that it needs
 *                recovery. This one is written past the journal, since the journal of a file system
 *                that does not say so is thrown away by whoever mounts it next.
 *             4. the journal's superblock says where the log begins        (journal_store.ts)
 *
 *     end     1. last commit, and everything to its place
 *             2. the journal's superblock says that there is no log
 *             3. the superblock says that the file system needs no recovery and is in order
 *             4. multiple mount protection: nobody has it any more
 */

import type { Device } from "../block/device.ts";
import { EXT4_VALID_FS, Ext4SuperBlock as Sb, SUPERBLOCK_OFFSET } from "../disk/superblock.ts";
import type { Journal, WritableJournalBlocks } from "../jbd2/journal.ts";
import { endBeforeFastCommits, setLogFormat } from "../jbd2/journal_superblock.ts";
import { JournalStore } from "../jbd2/journal_store.ts";
import { fail, FsError } from "../sys/fs_error.ts";
import type { FileSystem } from "./filesystem.ts";
import { MetadataZones } from "./allocation/metadata_zones.ts";
import { MultipleMountProtection } from "./superblock/mmp.ts";
import { markInUse, markUnused } from "./superblock/mount_state.ts";
import { listOrphans } from "./orphans/orphans.ts";
import { Quotas } from "./quota/quotas.ts";
import { discardLog, openWritableJournal, recoverOnDevice } from "./recovery/recovery.ts";
import { type WriteOptions, Writing } from "./writing.ts";

/** Features of which reading needs to know little, and writing more than is known here. */
const NOT_WRITTEN = ["snapshot", "replica", "read-only", "shared_blocks"] as const;

/** Blocks of a group. */
const LEAST_GROUP = 256;

/** Throws EROFS, with the reason, where the file system can only be read. */
export function requireWritable(fs: FileSystem, superblockBlock: number | undefined): void {
  const { device, superblock } = fs;
  if (device.readOnly) throw fail("EROFS", `${device.name} cannot be written to`);
  if (superblockBlock !== undefined) {
    throw fail("EROFS", "a file system without its primary superblock is for reading only");
  }
  const features = [
    ...superblock.features.unwritable(),
    ...NOT_WRITTEN.filter((name) => superblock.features.has(name)),
  ];
  if (features.length > 0) {
    throw fail("EROFS", `file systems with ${features.join(" ")} are for reading only`);
  }
  // What belongs to the file system itself is kept in mind for each group: mke2fs makes no smaller
  // ones, of which a sparse image can have any number.
  if (superblock.blocksPerGroup < LEAST_GROUP) {
    throw fail("EROFS", `groups of ${superblock.blocksPerGroup} blocks are for reading only`);
  }
  if (superblock.blocksCount * superblock.blockSize > device.size) {
    throw fail("EROFS", "a file system that its device cuts off is for reading only");
  }
}

/** Step 1: undefined where the file system has no such protection. */
export function claimForWriting(
  fs: FileSystem,
  options: WriteOptions,
): MultipleMountProtection | undefined {
  if (!fs.superblock.features.has("mmp")) return undefined;
  return MultipleMountProtection.claim(fs, options);
}

/**
 * Step 2. True when something was replayed: what was read of the device before is old then, and is
 * to be read anew.
 */
export function recoverForWriting(
  fs: FileSystem,
  external: Device | undefined,
  now: WriteOptions["now"],
): boolean {
  const { features } = fs.superblock;
  if (!features.has("has_journal")) {
    if (!features.has("needs_recovery")) return false;
    throw fail("EROFS", "it needs recovery and has no journal: e2fsck may mend it");
  }
  const journal = openWritableJournal(fs, external);
  if (!journal.needsRecovery) return false;
  if (features.has("needs_recovery")) recoverOnDevice(fs, journal, now);
  else discardLog(fs, journal);
  return true;
}

/** Steps 3 and 4. */
export function startWriting(
  fs: FileSystem,
  options: WriteOptions,
  external: Device | undefined,
  protection: MultipleMountProtection | undefined,
): Writing {
  const journal = fs.superblock.features.has("has_journal")
    ? openWritableJournal(fs, external)
    : undefined;
  const hadError = journal !== undefined && journal.errno !== 0;
  if (hadError) {
    fs.log.warn(`${fs.device.name}: an earlier mount ended with an error: e2fsck should check it`);
  }
  // A journal, or a bitmap, that lies where something else does would destroy it.
  MetadataZones.of(fs);
  const quotas = openQuotas(fs, options);
  // Every commit writes the superblock: it must not fail because it cannot be read just then.
  fs.cache.hold(fs.cache.read(Math.floor(SUPERBLOCK_OFFSET / fs.blockSize)));
  const wasValid = (Sb.s_state.get(fs.superblock.view, 0) & EXT4_VALID_FS) !== 0;
  markInUse(fs, {
    now: options.now().sec,
    usesJournal: journal !== undefined,
    journalHadError: hadError,
    mountpoint: options.mountpoint,
  });
  const store = journal === undefined ? undefined : openStore(fs, journal, options);
  return new Writing(fs, options, { journal: store, protection, quotas, wasValid });
}

/** Written without them, the file system would have wrong quotas without anybody's knowing. */
function openQuotas(fs: FileSystem, options: WriteOptions): Quotas | undefined {
  if (!fs.superblock.features.has("quota")) return undefined;
  try {
    return new Quotas(fs, options.quotaLimits ?? new Set());
  } catch (error) {
    if (!(error instanceof FsError) || !error.isCorruption) throw error;
    throw fail("EROFS", `its quota cannot be kept up (e2fsck may mend it): ${error.message}`);
  }
}

function openStore(
  fs: FileSystem,
  journal: Journal<WritableJournalBlocks>,
  options: WriteOptions,
): JournalStore {
  const { superblock } = fs;
  const formatted = setLogFormat(journal, {
    is64bit: superblock.features.has("64bit"),
    checksums: superblock.hasMetadataChecksums ? "journal_checksum_v3" : "none",
  });
  return new JournalStore(fs.cache, fs.device, formatted, {
    now: options.now,
    barrier: options.barrier,
    end: superblock.features.has("fast_commit") ? endBeforeFastCommits(formatted) : formatted.end,
  });
}

/**
 * The end. Throws FsError when not everything could be written; then, and when writing had ended
 * with an error before, the file system is left as after a crash.
 */
export function stopWriting(fs: FileSystem, writing: Writing): void {
  const { transactions, parts } = writing;
  try {
    if (transactions.failure === undefined) transactions.writeBack();
    else if (!writing.isStoppedInOrder) return;
    leaveInOrder(fs, writing);
  } finally {
    releaseProtection(fs, parts.protection);
  }
}

/** After the last write-back. */
function leaveInOrder(fs: FileSystem, writing: Writing): void {
  const { transactions, parts: { journal, wasValid } } = writing;
  // Without barriers, nothing was waited for so far; the log is needed until then.
  fs.device.flush();
  journal?.close();
  const metadataBytes = transactions.writtenBlocks * fs.blockSize;
  markUnused(fs, {
    now: writing.now().sec,
    wasValid,
    hasNoOrphans: listOrphans(fs).length === 0,
    kilobytesWritten: Math.floor((writing.dataBytes + metadataBytes) / 1024),
  });
}

/** That it fails does not make the file system worse: the next mount has to wait, no more. */
function releaseProtection(
  fs: FileSystem,
  protection: MultipleMountProtection | undefined,
): void {
  try {
    protection?.release();
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    fs.report(error);
  }
}
