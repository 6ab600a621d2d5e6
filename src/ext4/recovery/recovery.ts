/**
 * What a mount does with the journal that it finds.
 *
 * For reading, the file system is shown as its journal would make it, without writing to the
 * device: blocks that the log has are read from there, as if they were in their places, and fast
 * commits are replayed into memory over that. For writing, the log is replayed onto the device:
 *
 *  1. All of it is done for a trial, in memory. What is damaged, or cannot be replayed here, ends
 *     the mount before anything is written: unlike a reader, a writer would make the damage worse.
 *  2. The blocks go to their places. Flush.
 *  3. What fast commits change becomes one transaction in the log (single_transaction.ts), and goes
 *     to its places. Flush.
 *  4. The journal's superblock says that there is no log. Flush.
 *
 * A crash in between leaves the log as it was, or with that one transaction, to be replayed again.
 */

import { Block } from "../../block/block_cache.ts";
import type { Device } from "../../block/device.ts";
import { OverlayDevice } from "../../block/overlay_device.ts";
import { Ext4SuperBlock as Sb } from "../../disk/superblock.ts";
import { openExternalJournal } from "../../jbd2/external_journal.ts";
import { type FastCommitOperation, scanFastCommits } from "../../jbd2/fast_commit.ts";
import {
  type Journal,
  type JournalBlocks,
  openJournal,
  type WritableJournalBlocks,
} from "../../jbd2/journal.ts";
import { writeEmptyLog } from "../../jbd2/journal_superblock.ts";
import type { CommitTime } from "../../jbd2/log_transaction.ts";
import {
  deviceTarget,
  readLogged,
  recover,
  type RecoveryResult,
  type ReplayTarget,
} from "../../jbd2/recovery.ts";
import { commitAlone, requireRoom } from "../../jbd2/single_transaction.ts";
import { writeBlocks } from "../../jbd2/write_blocks.ts";
import { fail, FsError } from "../../sys/fs_error.ts";
import { errorFieldsKeeper } from "../superblock/error_record.ts";
import { replayFastCommits } from "./fast_commit_replay.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { journalInodeBlocks } from "./journal_inode.ts";
import { mapBlocks } from "../map/block_map.ts";

/**
 * The file system as it would be after recovery. Damage in the log is reported, and the replay goes
 * as far as it makes sense: where the kernel would refuse the mount, whoever reads may see the rest.
 * Throws where nothing of the log makes sense.
 * @param fs the file system as it is on the disk
 * @param external the device with the journal, where it has one of its own
 */
export function recoverInMemory(fs: FileSystem, external: Device | undefined): FileSystem {
  try {
    const { overlay, fastCommits } = replay(fs, openFileSystemJournal(fs, external));
    const replayed = fs.reopenedOn(overlay);
    return fastCommits.length === 0 ? replayed : withFastCommits(replayed, fastCommits);
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    throw new FsError(
      error.errno,
      `cannot replay the journal: ${error.message}; -o norecovery mounts without it`,
    );
  }
}

/** The device as the log would make it: what is in the log is read from there. */
function logOver({ device, blockSize }: FileSystem, journal: Journal) {
  const overlay = new OverlayDevice(device, blockSize, {
    elsewhere: (place, into) =>
      readLogged(journal, { logBlock: Math.floor(place / 2), escaped: place % 2 === 1 }, into),
  });
  const target: ReplayTarget = {
    ...deviceTarget(overlay, blockSize),
    write: (block, _bytes, { logBlock, escaped }) =>
      overlay.borrow(block, logBlock * 2 + (escaped ? 1 : 0)),
  };
  return { overlay, target };
}

/** Replays the log; gives the fast commits behind it, too. */
function replay(
  fs: FileSystem,
  journal: Journal,
): { readonly overlay: Device; readonly fastCommits: readonly FastCommitOperation[] } {
  const { log, device: { name } } = fs;
  const { overlay, target } = logOver(fs, journal);
  const { transactions, blocks, problems, nextTid } = recover(journal, target);
  for (const problem of problems) fs.report(problem);
  log.info(
    `${name}: replayed ${transactions} transactions (${blocks} blocks) of its journal in memory` +
      (problems.length > 0 ? ", as far as it is whole" : "") + "; the image stays as it is",
  );
  const { operations, problem } = scanFastCommits(journal, nextTid);
  if (problem !== undefined) fs.report(problem);
  return { overlay, fastCommits: operations };
}

/** With fast commits that make no sense, all is as without them. */
function withFastCommits(fs: FileSystem, operations: readonly FastCommitOperation[]): FileSystem {
  const { log, device: { name } } = fs;
  try {
    const changed = fs.reopenedOn(new OverlayDevice(fs.device, fs.blockSize));
    replayFastCommits(changed, operations);
    log.info(`${name}: replayed ${operations.length} records of fast commits in memory`);
    return changed;
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    fs.report(error);
    log.warn(`${name}: ${operations.length} records of fast commits are not shown`);
    return fs;
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
 * Replays a log, and the fast commits behind it, onto the device, and empties it. Whoever has read
 * anything from the device before begins anew. Throws FsError, with nothing written, where the log
 * or a fast commit is damaged.
 */
export function recoverOnDevice(
  fs: FileSystem,
  journal: Journal<WritableJournalBlocks>,
  now: () => CommitTime,
): void {
  const { device, log } = fs;
  const changes = tryOut(fs, journal);
  const keepErrors = errorFieldsKeeper(fs);
  const target = deviceTarget(device, fs.blockSize);
  const { transactions, blocks, nextTid } = recoverAll(journal, {
    ...target,
    write(block, bytes, place) {
      keepErrors(block, bytes);
      target.write(block, bytes, place);
    },
  });
  device.flush();
  if (changes.length === 0) emptyLog(journal, nextTid);
  else {
    for (const { number, bytes } of changes) keepErrors(number, bytes);
    commitAlone(journal, device, changes, { tid: nextTid, time: now() });
    writeBlocks(device, changes);
    device.flush();
    emptyLog(journal, nextTid + 1);
  }
  log.info(
    `${device.name}: replayed ${transactions} transactions (${blocks} blocks) of its journal` +
      (changes.length === 0 ? "" : `, and fast commits (${changes.length} blocks)`),
  );
}

/** Replays all of it in memory, for a trial. Returns the blocks that fast commits change. */
function tryOut(fs: FileSystem, journal: Journal): readonly Block[] {
  try {
    const target = deviceTarget(fs.device, fs.blockSize);
    const { nextTid } = recoverAll(journal, { ...target, write() {} });
    const { operations, problem } = scanFastCommits(journal, nextTid);
    if (problem !== undefined) throw problem;
    if (operations.length === 0) return [];
    const { overlay: replayed, target: trial } = logOver(fs, journal);
    recoverAll(journal, trial);
    const changed = new OverlayDevice(replayed, fs.blockSize);
    replayFastCommits(fs.reopenedOn(changed), operations);
    requireRoom(journal, changed.written.size);
    return [...changed.written].map(([number, bytes]) => new Block(number, bytes));
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    throw new FsError(
      error.errno,
      `cannot replay the journal: ${error.message}; -o ro mounts without writing, e2fsck may mend it`,
    );
  }
}

/** Throws what is wrong: a block that is left out because it could not be read would be missed. */
function recoverAll(journal: Journal, target: ReplayTarget): RecoveryResult {
  const result = recover(journal, target);
  if (result.problems.length > 0) throw result.problems[0];
  return result;
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
