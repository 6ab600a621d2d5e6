import type { FileSystem } from "./filesystem.ts";
import type { Inode } from "./inode.ts";

export function writeFile(
  _fs: FileSystem,
  _inode: Inode,
  _position: number,
  _bytes: Uint8Array<ArrayBuffer>,
): void {
  throw new Error("not built yet");
}
