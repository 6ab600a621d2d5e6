/**
 * What a mount does with the journal that it finds.
 *
 * For reading, the file system is shown as its journal would make it, without writing to the
 * device: the log is replayed into memory that lies over the device. For writing, it is replayed
 * onto the device:
 *
 *  1. The log is read once for a trial. What is damaged, or cannot be replayed here, ends the mount
 *     before anything is written: unlike a reader, a writer would make the damage worse.
 *  2. The blocks go to their places. Flush.
 *  3. The journal's superblock says that there is no log. Flush.
 *
 * A crash in between leaves the log as it was, to be replayed again.
 */

import type { Device } from "../block/device.ts";
import { OverlayDevice } from "../block/overlay_device.ts";
import { Ext4SuperBlock as Sb } from "../disk/superblock.ts";
import { openExternalJournal } from "../jbd2/external_journal.ts";
import { scanFastCommits } from "../jbd2/fast_commit.ts";
import {
  type Journal,
  type JournalBlocks,
  openJournal,
  type WritableJournalBlocks,
} from "../jbd2/journal.ts";
import { writeEmptyLog } from "../jbd2/journal_superblock.ts";
import { deviceTarget, recover } from "../jbd2/recovery.ts";
import { fail, FsError } from "../sys/fs_error.ts";
import { keepErrorFields } from "./error_record.ts";
import type { FileSystem } from "./filesystem.ts";
import type { Inode } from "./inode.ts";
import { journalInodeBlocks } from "./journal_inode.ts";
import { mapBlocks } from "./map.ts";

/**
 * The device as it would be after recovery. Damage in the log is reported, and the replay goes as
 * far as it makes sense: where the kernel would refuse the mount, whoever reads may see the rest.
 * Throws where nothing of the log makes sense.
 * @param fs the file system as it is on the disk
 * @param external the device with the journal, where it has one of its own
 */
export function recoverInMemory(fs: FileSystem, external: Device | undefined): Device {
  const overlay = new OverlayDevice(fs.device, fs.blockSize);
  try {
    replay(fs, openFileSystemJournal(fs, external), overlay);
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    throw new FsError(
      error.errno,
      `cannot replay the journal: ${error.message}; -o norecovery mounts without it`,
    );
  }
  return overlay;
}

function replay(fs: FileSystem, journal: Journal, overlay: Device): void {
  const { log, device: { name } } = fs;
  const { transactions, blocks, problems, nextTid } = recover(
    journal,
    deviceTarget(overlay, fs.blockSize),
  );
  for (const problem of problems) fs.report(problem);
  log.info(
    `${name}: replayed ${transactions} transactions (${blocks} blocks) of its journal in memory` +
      (problems.length > 0 ? ", as far as it is whole" : "") + "; the image stays as it is",
  );
  const { operations, problem } = scanFastCommits(journal, nextTid);
  if (problem !== undefined) fs.report(problem);
  if (operations.length > 0) {
    log.warn(
      `${name}: ${operations.length} fast-committed changes are not shown: ` +
        `have the kernel or e2fsck replay its journal to see them`,
    );
  }
}

function openFileSystemJournal(fs: FileSystem, external: Device | undefined): Journal {
  const ino = Sb.s_journal_inum.get(fs.superblock.view, 0);
  if (ino !== 0) return openJournal(inodeBlocks(fs, fs.ownInode(ino, "journal")));
  return openJournalDevice(fs, external);
}

/** The journal of a file system that is to be written to. */
export function openWritableJournal(
  fs: FileSystem,
  external: Device | undefined,
): Journal<WritableJournalBlocks> {
  const ino = Sb.s_journal_inum.get(fs.superblock.view, 0);
  if (ino !== 0) return openJournal(journalInodeBlocks(fs, fs.ownInode(ino, "journal")));
  const journal = openJournalDevice(fs, external);
  if (external?.readOnly) {
    throw fail("EROFS", `the journal's device ${external.name} cannot be written to`);
  }
  return journal;
}

function openJournalDevice(
  fs: FileSystem,
  external: Device | undefined,
): Journal<WritableJournalBlocks> {
  if (external === undefined) {
    throw fail("EINVAL", "the journal is on another device, to be named with -o journal_path=");
  }
  return openExternalJournal(external, Sb.s_journal_uuid.get(fs.superblock.view, 0));
}

/**
 * Replays a log onto the device, and empties it. Whoever has read anything from the device before
 * begins anew. Throws FsError, with nothing written, where the log is damaged or has fast commits.
 */
export function recoverOnDevice(fs: FileSystem, journal: Journal<WritableJournalBlocks>): void {
  const target = deviceTarget(fs.device, fs.blockSize);
  try {
    requireReplayable(journal, recover(journal, { ...target, write() {} }));
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    throw new FsError(
      error.errno,
      `cannot replay the journal: ${error.message}; -o ro mounts without writing, e2fsck may mend it`,
    );
  }
  const keep = keepErrorFields(fs);
  const { transactions, blocks, nextTid } = recover(journal, target);
  keep();
  fs.device.flush();
  emptyLog(journal, nextTid);
  fs.log.info(
    `${fs.device.name}: replayed ${transactions} transactions (${blocks} blocks) of its journal`,
  );
}

function requireReplayable(
  journal: Journal,
  { problems, nextTid }: ReturnType<typeof recover>,
): void {
  if (problems.length > 0) throw problems[0];
  const { operations, problem } = scanFastCommits(journal, nextTid);
  if (problem !== undefined) throw problem;
  if (operations.length > 0) {
    throw fail(
      "EROFS",
      `it has ${operations.length} fast-committed changes, which are left to the kernel to replay`,
    );
  }
}

/**
 * Throws away a log that the file system does not want replayed, as the kernel does: the file
 * system's superblock does not say that it needs recovery.
 */
export function discardLog(fs: FileSystem, journal: Journal<WritableJournalBlocks>): void {
  fs.log.warn(`${fs.device.name}: its journal has a log although it was unmounted: not replayed`);
  // Each transaction takes a block at least: none in the ring has this number, or a later one.
  emptyLog(journal, journal.sequence + (journal.end - journal.first));
}

/**
 * One number is left out: that of a transaction that was not committed, of which there may be
 * pieces in the ring that must not be taken for those of the next one.
 */
function emptyLog(journal: Journal<WritableJournalBlocks>, nextTid: number): void {
  writeEmptyLog(journal, (nextTid + 1) >>> 0);
  journal.blocks.device.flush();
}

/** The blocks of the journal's inode, as the log's medium. */
function inodeBlocks(fs: FileSystem, inode: Inode): JournalBlocks {
  const { blockSize } = fs;
  return {
    blockSize,
    length: Math.floor(inode.size / blockSize),
    read(block, into) {
      const mapping = mapBlocks(fs, inode, block, 1);
      if (mapping.kind === "mapped") fs.device.read(into, mapping.physicalBlock * blockSize);
      else into.fill(0);
    },
  };
}
