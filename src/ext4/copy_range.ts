import type { FileSystem } from "./filesystem.ts";
import type { Inode } from "./inode.ts";

export function copyRange(
  _fs: FileSystem,
  _from: Inode,
  _fromPosition: number,
  _to: Inode,
  _toPosition: number,
  _length: number,
): number {
  throw new Error("not built yet");
}
