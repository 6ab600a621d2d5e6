/**
 * Shows a file system as its journal would make it, without writing to the device: the log is
 * replayed into memory that lies over the device.
 */

import type { Device } from "../block/device.ts";
import { OverlayDevice } from "../block/overlay_device.ts";
import { Ext4SuperBlock as Sb } from "../disk/superblock.ts";
import { openExternalJournal } from "../jbd2/external_journal.ts";
import { scanFastCommits } from "../jbd2/fast_commit.ts";
import { type Journal, type JournalBlocks, openJournal } from "../jbd2/journal.ts";
import { deviceTarget, recover } from "../jbd2/recovery.ts";
import { fail, FsError } from "../sys/fs_error.ts";
import type { FileSystem } from "./filesystem.ts";
import type { Inode } from "./inode.ts";
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
  const { view } = fs.superblock;
  const ino = Sb.s_journal_inum.get(view, 0);
  if (ino !== 0) return openJournal(inodeBlocks(fs, fs.ownInode(ino, "journal")));
  if (external !== undefined) {
    return openExternalJournal(external, Sb.s_journal_uuid.get(view, 0));
  }
  throw fail("EINVAL", "it is on another device, to be named with -o journal_path=");
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
