/**
 * The journal's inode as the medium of a log. For reading, its blocks are looked up as they are
 * asked for; for writing they are mapped once, and checked: what is written to the log past the
 * cache must not be anything else.
 */

import type { WritableJournalBlocks } from "../../jbd2/journal.ts";
import { corrupt } from "../../sys/fs_error.ts";
import { JBD2_MAX_INTERNAL_BLOCKS } from "../../disk/journal.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { mapBlocks } from "../map/block_map.ts";

/** Pieces of a journal, which mke2fs and tune2fs lay out as a few. Pointers to pointers can make any. */
const MAX_RUNS = 2 ** 18;

/** Journal blocks that lie together on the device. */
interface Run {
  readonly journalBlock: number;
  readonly physicalBlock: number;
  readonly count: number;
}

/**
 * The blocks of the journal's inode. Throws EUCLEAN where one of them is missing, unwritten, or
 * there twice.
 */
export function journalInodeBlocks(fs: FileSystem, inode: Inode): WritableJournalBlocks {
  const { device, blockSize } = fs;
  if (!inode.isRegular) throw corrupt("journal inode: not a regular file", { ino: inode.ino });
  const length = Math.floor(inode.size / blockSize);
  if (length > JBD2_MAX_INTERNAL_BLOCKS) {
    throw corrupt(`journal inode: ${length} blocks, more than any journal has`, { ino: inode.ino });
  }
  const runs = mapAll(fs, inode, length);
  refuseOverlap(inode, runs);

  /** Calls `act` for each piece of a range that lies together, with its byte on the device. */
  const forEachPiece = (
    block: number,
    bytes: Uint8Array<ArrayBuffer>,
    act: (piece: Uint8Array<ArrayBuffer>, position: number) => void,
  ) => {
    const count = bytes.length / blockSize;
    for (let done = 0; done < count;) {
      const run = runs[indexOfRun(runs, block + done)];
      const into = block + done - run.journalBlock;
      const some = Math.min(count - done, run.count - into);
      const piece = bytes.subarray(done * blockSize, (done + some) * blockSize);
      act(piece, (run.physicalBlock + into) * blockSize);
      done += some;
    }
  };
  return {
    device,
    blockSize,
    length,
    read: (block, into) =>
      forEachPiece(block, into, (piece, position) => device.read(piece, position)),
    write: (block, bytes) =>
      forEachPiece(block, bytes, (piece, position) => device.write(piece, position)),
  };
}

function mapAll(fs: FileSystem, inode: Inode, length: number): Run[] {
  const runs: Run[] = [];
  for (let block = 0; block < length;) {
    if (runs.length >= MAX_RUNS) {
      throw corrupt(`journal inode: in more than ${MAX_RUNS} pieces`, { ino: inode.ino });
    }
    const { kind, physicalBlock, count } = mapBlocks(fs, inode, block, length - block);
    if (kind !== "mapped") {
      throw corrupt(`journal inode: block ${block} is ${kind}`, { ino: inode.ino });
    }
    runs.push({ journalBlock: block, physicalBlock, count });
    block += count;
  }
  return runs;
}

function refuseOverlap(inode: Inode, runs: readonly Run[]): void {
  const sorted = [...runs].sort((a, b) => a.physicalBlock - b.physicalBlock);
  for (let index = 1; index < sorted.length; index++) {
    const before = sorted[index - 1];
    if (before.physicalBlock + before.count > sorted[index].physicalBlock) {
      throw corrupt("journal inode: uses a block twice", {
        ino: inode.ino,
        block: sorted[index].physicalBlock,
      });
    }
  }
}

/** The last run that begins at or before the block; the first begins at 0. */
function indexOfRun(runs: readonly Run[], block: number): number {
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (runs[middle].journalBlock <= block) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
