/** Who has told others where data of files is has to hear before it changes. */

import type { Inode } from "../inode/inode.ts";

export interface MapObserver {
  /**
   * The mapping of the file blocks [start, end) is about to change. Called inside an operation that
   * may still fail, or be run again, and before the first byte of the map changes. Must not throw.
   */
  changing(inode: Inode, start: number, end: number): void;
}
