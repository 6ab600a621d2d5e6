/**
 * Makes happen again what fast commits (jbd2/fast_commit.ts) tell of. Everything in them is
 * relative to the last full commit, which is what the file system must be like before:
 *
 *     INODE      the record of an inode, but for where its data is     fast_commit_replay_inodes.ts
 *     ADD_RANGE, DEL_RANGE   where data is, and is no more             fast_commit_replay_extents.ts
 *     CREAT, LINK, UNLINK    names                                     fast_commit_replay_names.ts
 *
 * What follows from these is not in them, and is worked out here: which blocks are in use
 * (fast_commit_replay_space.ts), inodes that lost their last name, links of directories, quotas.
 *
 * The kernel's replay does the same on the device, a step at a time, so that its steps may meet
 * what an earlier, interrupted replay has done. This one works in memory, and what comes of it is
 * written as one transaction (recovery.ts): all of it has happened, or nothing.
 */

import { Ext4SuperBlock as Sb } from "../../disk/superblock.ts";
import type { FastCommitOperation } from "../../jbd2/fast_commit.ts";
import { fail } from "../../sys/fs_error.ts";
import { evict } from "../inode/evict.ts";
import { replayAddRange, replayDelRange } from "./fast_commit_replay_extents.ts";
import { decodeRecord, replayInode } from "./fast_commit_replay_inodes.ts";
import { replayCreat, replayLink, replayUnlink } from "./fast_commit_replay_names.ts";
import { ReplayedQuotas } from "./fast_commit_replay_quotas.ts";
import { ReplayedSpace } from "./fast_commit_replay_space.ts";
import type { FileSystem } from "../filesystem.ts";
import type { InodeTime } from "../inode/inode.ts";
import { listOrphans } from "../orphans/orphans.ts";
import { Writing } from "../writing.ts";

/**
 * Replays fast commits.
 * @param fs the file system as the last full commit left it, on a device that nobody else has:
 * blocks are written to their places. What is in memory of it is good afterwards.
 * @throws FsError where the records make no sense for the file system
 */
export function replayFastCommits(
  fs: FileSystem,
  operations: readonly FastCommitOperation[],
): void {
  const now = timeOf(fs, operations);
  const quotas = new ReplayedQuotas(fs);
  const space = new ReplayedSpace(fs, (ino, inode) => quotas.note(ino, inode));
  writeDirectly(fs, now, (writing) => {
    space.reserve(operations);
    for (const operation of operations) replayOne(fs, space, operation);
    freeUnlinked(fs, space);
    space.settle();
    fs.unlinkedInodes.clear();
    writing.transactions.writeBack();
  });
  if (fs.superblock.features.has("quota")) {
    writeDirectly(fs, now, (writing) => {
      quotas.settle();
      writing.transactions.writeBack();
    }, quotas);
  }
}

function replayOne(fs: FileSystem, space: ReplayedSpace, operation: FastCommitOperation): void {
  switch (operation.kind) {
    case "inode":
      return replayInode(fs, space, operation);
    case "add_range":
      return replayAddRange(fs, space, operation);
    case "del_range":
      return replayDelRange(fs, space, operation);
    case "creat":
      return replayCreat(fs, space, operation);
    case "link":
      return replayLink(fs, space, operation);
    case "unlink":
      return replayUnlink(fs, space, operation);
  }
}

/** Those that were orphans before are left to whoever cleans up orphans. */
function freeUnlinked(fs: FileSystem, space: ReplayedSpace): void {
  const orphans = new Set(listOrphans(fs));
  for (const ino of [...fs.unlinkedInodes]) {
    const inode = fs.inode(ino);
    space.settleInode(inode);
    if (!orphans.has(ino)) evict(fs, inode);
    else fs.unlinkedInodes.delete(ino);
  }
}

/**
 * Times are not in the records but for those of inodes. The newest of these, which is all the same
 * each time, is the time at which directories changed and inodes were deleted.
 */
function timeOf(fs: FileSystem, operations: readonly FastCommitOperation[]): InodeTime {
  const { view } = fs.superblock;
  let newest: InodeTime = {
    sec: Sb.s_wtime_hi.get(view, 0) * 2 ** 32 + Sb.s_wtime.get(view, 0),
    nsec: 0,
  };
  for (const operation of operations) {
    if (operation.kind !== "inode") continue;
    const { ctime } = decodeRecord(fs, operation);
    if (ctime.sec > newest.sec || (ctime.sec === newest.sec && ctime.nsec > newest.nsec)) {
      newest = ctime;
    }
  }
  return newest;
}

function writeDirectly(
  fs: FileSystem,
  now: InodeTime,
  act: (writing: Writing) => void,
  quotas?: ReplayedQuotas,
): void {
  const writing = new Writing(fs, {
    now: () => now,
    monotonic: () => 0,
    commitInterval: Infinity,
    random: () => {
      throw fail("EIO", "a replay makes no inodes of its own");
    },
  }, { wasValid: true, quotas: quotas?.open() });
  fs.writeDirectly(writing, () => act(writing));
}
