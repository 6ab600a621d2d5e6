import type { FileSystem } from "./filesystem.ts";
import type { Inode } from "./inode.ts";

export function evict(_fs: FileSystem, _inode: Inode): void {
  throw new Error("not built yet");
}
