import type { Handle } from "../jbd2/handle.ts";
import type { FileSystem } from "./filesystem.ts";
import type { Inode } from "./inode.ts";

/** The inode is to be cut to its size, or freed, by the next mount, if this one does not get to it. */
export function addOrphan(_fs: FileSystem, _handle: Handle, _inode: Inode): void {
  throw new Error("not built yet");
}
export function removeOrphan(_fs: FileSystem, _handle: Handle, _inode: Inode): void {
  throw new Error("not built yet");
}
/** An inode without links stays a file as long as it is open: an orphan, and in fs.unlinkedInodes. */
export function keepUnlinked(_fs: FileSystem, _handle: Handle, _inode: Inode): void {
  throw new Error("not built yet");
}
/** What an earlier mount left: frees and cuts. Returns how many inodes that were. */
export function cleanOrphans(_fs: FileSystem): number {
  return 0; // not built yet
}
