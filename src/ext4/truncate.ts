import type { FileSystem } from "./filesystem.ts";
import type { Inode } from "./inode.ts";

/** truncate(2): cuts or extends a regular file, in as many operations as it takes. */
export function setSize(_fs: FileSystem, _inode: Inode, _size: number): void {
  throw new Error("not built yet");
}

/**
 * Frees every block from the end of the size on, in as many operations as it takes. The inode is
 * an orphan already: see setSize and evict.
 */
export function freeBlocksBehindSize(_fs: FileSystem, _inode: Inode): void {
  throw new Error("not built yet");
}
