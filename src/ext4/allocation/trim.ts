/** FITRIM: tells the device which blocks are free, so that it need not keep what is in them. */

import { fail } from "../../sys/fs_error.ts";
import { groupClusters } from "./bitmaps.ts";
import type { FileSystem } from "../filesystem.ts";

/**
 * Discards the free space in `length` bytes from `start` on, in runs of at least `minimum` bytes,
 * and returns how many bytes that were. What was discarded before and not used since is passed
 * over. Throws EINVAL for a range as the kernel does, and EOPNOTSUPP where the device cannot.
 */
export function trim(fs: FileSystem, start: number, length: number, minimum: number): number {
  const { superblock, blockSize } = fs;
  const { blocksCount, firstDataBlock, blocksPerGroup, clusterRatio, clustersPerGroup } =
    superblock;
  fs.writing.transactions.requireWritable();
  if (fs.device.discard === undefined) throw fail("EOPNOTSUPP", "The device has no discard");
  const shortest = Math.max(1, Math.ceil(Math.floor(minimum / blockSize) / clusterRatio));
  const firstBlock = Math.floor(start / blockSize);
  if (shortest > clustersPerGroup || firstBlock >= blocksCount || length < blockSize) {
    throw fail("EINVAL", `Cannot discard ${length} bytes from byte ${start} on`);
  }
  // What was freed is free for good after a commit only.
  fs.writing.transactions.commit();
  const first = Math.max(firstBlock, firstDataBlock) - firstDataBlock;
  const end = Math.min(firstBlock + Math.floor(length / blockSize), blocksCount) - firstDataBlock;
  let discarded = 0;
  for (let group = Math.floor(first / blocksPerGroup); group * blocksPerGroup < end; group++) {
    const groupStart = group * blocksPerGroup;
    const from = Math.ceil(Math.max(0, first - groupStart) / clusterRatio);
    const to = Math.min(
      Math.floor((end - groupStart) / clusterRatio),
      groupClusters(superblock, group),
    );
    discarded += trimGroup(fs, group, from, to, shortest);
  }
  return discarded * clusterRatio * blockSize;
}

/** Discards runs of a group's clusters [from, to), and returns how many clusters that were. */
function trimGroup(
  fs: FileSystem,
  group: number,
  from: number,
  to: number,
  shortest: number,
): number {
  const { superblock, blockSize, device } = fs;
  const { space } = fs.writing.blocks;
  if (space.wasDiscarded(group, shortest)) return 0;
  let discarded = 0;
  space.eachFreeRun(group, from, to, shortest, (run) => {
    const block = superblock.groupStart(group) + run.start * superblock.clusterRatio;
    const blocks = Math.min(run.length * superblock.clusterRatio, superblock.blocksCount - block);
    device.discard?.(block * blockSize, blocks * blockSize);
    discarded += run.length;
  });
  if (from === 0 && to === groupClusters(superblock, group)) space.noteDiscarded(group, shortest);
  return discarded;
}
