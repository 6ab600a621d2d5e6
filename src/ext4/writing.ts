/** What a file system that is open for writing has beside what reading needs. */

import { DirectStore } from "../jbd2/direct_store.ts";
import { Transactions, type TransactionStore } from "../jbd2/transactions.ts";
import { BlockAllocator } from "./block_allocator.ts";
import type { FileSystem } from "./filesystem.ts";
import type { InodeTime } from "./inode.ts";
import { InodeAllocator } from "./inode_allocator.ts";

export interface WriteOptions {
  /** The time that goes into inodes. */
  readonly now: () => InodeTime;
  /** A clock in milliseconds that never goes back. */
  readonly monotonic: () => number;
  /** Milliseconds from the first change to its commit. */
  readonly commitInterval: number;
  /** A random number of 32 bits, for generations. */
  readonly random: () => number;
}

export class Writing {
  readonly transactions: Transactions;
  readonly blocks: BlockAllocator;
  readonly inodes: InodeAllocator;
  readonly options: WriteOptions;

  constructor(fs: FileSystem, options: WriteOptions, store?: TransactionStore) {
    this.options = options;
    this.transactions = new Transactions(fs.cache, store ?? new DirectStore(fs.device), {
      commitInterval: options.commitInterval,
      now: options.monotonic,
    });
    this.blocks = new BlockAllocator(fs, this.transactions);
    this.inodes = new InodeAllocator(fs, this.transactions);
  }

  now(): InodeTime {
    return this.options.now();
  }
}
