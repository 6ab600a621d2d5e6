import type { FileSystem } from "./filesystem.ts";
import type { Inode } from "./inode.ts";

export function fallocate(
  _fs: FileSystem,
  _inode: Inode,
  _mode: number,
  _offset: number,
  _length: number,
): void {
  throw new Error("not built yet");
}
