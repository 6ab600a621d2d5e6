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
 * The device as it would be after recovery. Problems in the log are reported, and the replay ends
 * where it no longer makes sense, as the kernel's would.
 * @param fs the file system as it is on the disk
 * @param external the device with the journal, where it has one of its own
 */
export function recoverInMemory(fs: FileSystem, external: Device | undefined): Device {
  const journal = openFileSystemJournal(fs, external);
  const overlay = new OverlayDevice(fs.device, fs.blockSize);
  const result = recover(journal, deviceTarget(overlay, fs.blockSize));
  for (const problem of result.problems) fs.report(problem);
  const name = fs.device.name;
  fs.log.info(
    `${name}: replayed ${result.transactions} transactions (${result.blocks} blocks) of its journal ` +
      `in memory; the image stays as it is`,
  );
  const fastCommits = scanFastCommits(journal, result.nextTid);
  if (fastCommits.operations.length > 0) {
    fs.log.warn(
      `${name}: ${fastCommits.operations.length} fast-committed changes are not shown: ` +
        `mount it once for writing, or let e2fsck replay its journal, to have them`,
    );
  }
  return overlay;
}

function openFileSystemJournal(fs: FileSystem, external: Device | undefined): Journal {
  const { view } = fs.superblock;
  const ino = Sb.s_journal_inum.get(view, 0);
  try {
    if (ino !== 0) return openJournal(inodeBlocks(fs, fs.ownInode(ino, "journal")));
    if (external !== undefined) {
      return openExternalJournal(external, Sb.s_journal_uuid.get(view, 0));
    }
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    throw new FsError(
      error.errno,
      `cannot replay the journal: ${error.message}; -o norecovery mounts without it`,
    );
  }
  throw fail(
    "EINVAL",
    "the journal, which has changes to be replayed, is on another device: " +
      "name it with -o journal_path=, or mount without it with -o norecovery",
  );
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
