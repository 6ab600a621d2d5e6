/** What a file system that is open for writing has beside what reading needs. */

import { DirectStore } from "../jbd2/direct_store.ts";
import type { JournalStore } from "../jbd2/journal_store.ts";
import { Transactions } from "../jbd2/transactions.ts";
import { Errno } from "../sys/errno.ts";
import { FsError } from "../sys/fs_error.ts";
import { BlockAllocator } from "./allocation/block_allocator.ts";
import type { FileSystem } from "./filesystem.ts";
import type { InodeTime } from "./inode/inode.ts";
import { InodeAllocator } from "./allocation/inode_allocator.ts";
import type { MultipleMountProtection } from "./superblock/mmp.ts";
import { updateFreeCounts } from "./superblock/mount_state.ts";
import { SharedXattrBlocks } from "./xattr/shared_xattr_blocks.ts";
import { Orphans } from "./orphans/orphans_write.ts";
import type { QuotaType } from "./quota/quota_file.ts";
import type { Quotas } from "./quota/quotas.ts";

export interface WriteOptions {
  /** The time that goes into inodes. */
  readonly now: () => InodeTime;
  /** A clock in milliseconds that never goes back. */
  readonly monotonic: () => number;
  /** Milliseconds from the first change to its commit. */
  readonly commitInterval: number;
  /** A random number of 32 bits, for generations. */
  readonly random: () => number;
  /** False: commits do not wait for the device, and a crash of the system may destroy anything. */
  readonly barrier?: boolean;
  /** Whose quota limits count; none without it. Use is counted in any case. */
  readonly quotaLimits?: ReadonlySet<QuotaType>;
  /** False: access control lists are left out of account when files are made and modes changed. */
  readonly acl?: boolean;
  /** Where the file system is mounted, for s_last_mounted. */
  readonly mountpoint?: string;
  /** The name of this machine, for others that share the disk. */
  readonly hostName?: string;
  /** Stops this thread for a time in milliseconds; without it, in an ordinary way. */
  readonly sleep?: (milliseconds: number) => void;
}

/** What was set up before writing may start. */
export interface WritingParts {
  /** Without it, the file system has no journal. */
  readonly journal?: JournalStore;
  /** Where the file system has it. */
  readonly protection?: MultipleMountProtection;
  /** Where the file system has the quota feature. */
  readonly quotas?: Quotas;
  /** The file system was left in order by whoever had it last. */
  readonly wasValid: boolean;
}

export class Writing {
  readonly transactions: Transactions;
  readonly blocks: BlockAllocator;
  readonly inodes: InodeAllocator;
  readonly xattrBlocks: SharedXattrBlocks;
  readonly orphans: Orphans;
  readonly options: WriteOptions;
  readonly parts: WritingParts;
  /** File data written so far. */
  dataBytes = 0;
  /** Nothing is written any more, by decision: everything before was. */
  isStoppedInOrder = false;

  constructor(fs: FileSystem, options: WriteOptions, parts: WritingParts) {
    this.options = options;
    this.parts = parts;
    const store = parts.journal ?? new DirectStore(fs.device, options.barrier);
    this.transactions = new Transactions(fs.cache, store, {
      commitInterval: options.commitInterval,
      now: options.monotonic,
    });
    this.transactions.onBeforeCommit((handle) => updateFreeCounts(fs, handle, this.now().sec));
    this.blocks = new BlockAllocator(fs, this.transactions);
    this.inodes = new InodeAllocator(fs, this.transactions);
    this.xattrBlocks = new SharedXattrBlocks(fs);
    this.orphans = new Orphans(fs);
  }

  now(): InodeTime {
    return this.options.now();
  }

  /**
   * Writes everything so far to its place, and nothing after it: later changes throw EROFS. Throws
   * FsError when not everything could be written.
   */
  stopInOrder(reason: FsError): void {
    this.transactions.writeBack();
    this.transactions.abort(reason, false);
    this.isStoppedInOrder = true;
  }

  /** Milliseconds until `fire` should be called, undefined when there is nothing to wait for. */
  due(): number | undefined {
    const commit = this.transactions.due();
    const update = this.#protection?.due();
    if (commit === undefined || update === undefined) return commit ?? update;
    return Math.min(commit, update);
  }

  /**
   * Does what is due: a commit, or an update of the multiple mount protection. Throws FsError when
   * that fails; it is not due at once again.
   */
  fire(): void {
    if (this.#protection?.due() === 0) this.#updateProtection(this.#protection);
    if (this.transactions.due() === 0) this.transactions.commit();
  }

  /**
   * The others need to know as long as something will be written, be it only at the end: a file
   * system that was stopped in order is left in order.
   */
  get #protection(): MultipleMountProtection | undefined {
    const isDone = this.transactions.failure !== undefined && !this.isStoppedInOrder;
    return isDone ? undefined : this.parts.protection;
  }

  #updateProtection(protection: MultipleMountProtection): void {
    try {
      protection.update();
    } catch (error) {
      // Two that write would destroy the file system: this one stops, and leaves the journal alone,
      // which is not its own any more.
      if (error instanceof FsError && error.errno === Errno.EBUSY) {
        this.transactions.abort(error, false);
        this.isStoppedInOrder = false;
      }
      throw error;
    }
  }
}
