import type { Handle } from "../jbd2/handle.ts";
import type { Transactions } from "../jbd2/transactions.ts";
import type { FileSystem } from "./filesystem.ts";
import type { Inode } from "./inode.ts";

export class InodeAllocator {
  constructor(_fs: FileSystem, _transactions: Transactions) {}

  /** Takes a free inode number for a new file in `parent`. Throws ENOSPC. */
  allocate(_handle: Handle, _parent: Inode, _mode: number): number {
    throw new Error("not built yet");
  }

  /** Gives a number back. */
  free(_handle: Handle, _ino: number, _isDirectory: boolean): void {
    throw new Error("not built yet");
  }
}
