/**
 * One transaction in a log of which nothing is needed any more, for whoever has replayed it.
 *
 *  1. The journal's superblock says that the log begins with this transaction, at the first block of
 *     the ring; there it is not, so that the log is empty. Flush.
 *  2. Descriptors and blocks, and zeros to the place of the commit block. Flush.
 *  3. The commit block. Flush.
 *
 * A crash before step 3 is durable leaves a log without transactions, and fast commits that belong
 * to this transaction count as before; after it, the transaction counts, and they do not.
 */

import type { Block } from "../block/block_cache.ts";
import type { Device } from "../block/device.ts";
import { fail } from "../sys/fs_error.ts";
import type { Journal, WritableJournalBlocks } from "./journal.ts";
import { writeLogStart } from "./journal_superblock.ts";
import { type CommitTime, LogTransaction, tagsPerDescriptor } from "./log_transaction.ts";
import { LogWriter } from "./log_writer.ts";

/** Throws EROFS where the log has no room for a transaction of so many blocks. */
export function requireRoom(journal: Journal, count: number): void {
  const descriptors = Math.ceil(count / tagsPerDescriptor(journal));
  if (count + descriptors + 1 < journal.end - journal.first) return;
  throw fail("EROFS", `its journal has no room for the ${count} blocks that fast commits change`);
}

/**
 * Commits blocks. When it returns, they are durable in the log, and not at their places.
 * @param device where their places are; what was written to it before is durable afterwards
 */
export function commitAlone(
  journal: Journal<WritableJournalBlocks>,
  device: Device,
  blocks: readonly Block[],
  { tid, time }: { readonly tid: number; readonly time: CommitTime },
): void {
  requireRoom(journal, blocks.length);
  const logDevice = journal.blocks.device;
  device.flush();
  writeLogStart(journal, journal.first, tid);
  logDevice.flush();
  const writer = new LogWriter(journal, journal.end);
  const transaction = new LogTransaction(journal, writer, tid);
  transaction.log(blocks);
  writer.writeAndClearNext();
  logDevice.flush();
  transaction.commit(time);
  writer.write();
  logDevice.flush();
}
