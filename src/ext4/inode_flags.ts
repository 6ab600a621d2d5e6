import type { FileSystem } from "./filesystem.ts";
import type { Inode } from "./inode.ts";

export function setInodeFlags(_fs: FileSystem, _inode: Inode, _flags: number): void {
  throw new Error("not built yet");
}
export function setProject(_fs: FileSystem, _inode: Inode, _projectId: number): void {
  throw new Error("not built yet");
}
export function setVersion(_fs: FileSystem, _inode: Inode, _generation: number): void {
  throw new Error("not built yet");
}
