/**
 * Times of access. The kernel leaves them to a FUSE server, which hears of a read only when the
 * page cache has not got the data: reads of what was read or written lately change no time.
 */

import { EXT4_NOATIME_FL } from "../disk/inode.ts";
import type { FileSystem } from "../ext4/filesystem.ts";
import type { Inode, InodeTime } from "../ext4/inode/inode.ts";
import { FsError } from "../sys/fs_error.ts";

/**
 * - `never`: as noatime
 * - `relative`: when it is older than the last change, or than a day, as relatime
 * - `always`: as strictatime
 */
export type AccessTimeRule = "never" | "relative" | "always";

const DAY_SECONDS = 24 * 60 * 60;

export class AccessTimes {
  readonly #fs: FileSystem;
  readonly #rule: AccessTimeRule;
  readonly #ofDirectories: boolean;

  constructor(fs: FileSystem, rule: AccessTimeRule, ofDirectories: boolean) {
    this.#fs = fs;
    this.#rule = fs.isReadOnly ? "never" : rule;
    this.#ofDirectories = ofDirectories;
  }

  /** Content of the inode was read. Never fails: a time is no reason not to read. */
  note(inode: Inode): void {
    if (this.#rule === "never" || inode.hasFlag(EXT4_NOATIME_FL)) return;
    if (inode.isDirectory && !this.#ofDirectories) return;
    const now = this.#fs.writing.now();
    if (this.#rule === "relative" && !isDue(inode, now)) return;
    try {
      this.#fs.change((handle) => {
        this.#fs.modifyInode(handle, inode);
        inode.atime = now;
      });
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
    }
  }
}

function isDue({ atime, mtime, ctime }: Inode, now: InodeTime): boolean {
  return !isAfter(atime, mtime) || !isAfter(atime, ctime) || now.sec - atime.sec >= DAY_SECONDS;
}

function isAfter(a: InodeTime, b: InodeTime): boolean {
  return a.sec > b.sec || (a.sec === b.sec && a.nsec > b.nsec);
}
