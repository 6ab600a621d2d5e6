import type { Handle } from "../jbd2/handle.ts";
import type { Transactions } from "../jbd2/transactions.ts";
import type { FileSystem } from "./filesystem.ts";
import type { Inode } from "./inode.ts";

/** What is asked for. Numbers are in blocks. */
export interface BlockRequest {
  /** The file that gets the blocks, and whose owners' quota pays for them. */
  readonly inode: Inode;
  /** Where they had best begin. */
  readonly goal: number;
  /** At least 1. */
  readonly count: number;
  /** A block of metadata is allocated alone and never from what is reserved for growing files. */
  readonly purpose: "data" | "metadata";
}

/** Blocks that lie together. */
export interface BlockRun {
  readonly block: number;
  readonly count: number;
}

export class BlockAllocator {
  constructor(_fs: FileSystem, _transactions: Transactions) {}

  /**
   * Takes one run of free blocks, which may be shorter than what is asked for. With bigalloc it
   * consists of whole clusters: it begins with the first block of one and may so be longer.
   * Throws ENOSPC and EDQUOT.
   */
  allocate(_handle: Handle, _request: BlockRequest): BlockRun {
    throw new Error("not built yet");
  }

  /** Gives blocks back; with bigalloc, whole clusters. They are free for others after the next commit. */
  free(_handle: Handle, _inode: Inode, _block: number, _count: number): void {
    throw new Error("not built yet");
  }
}
