import type { FileSystem } from "./filesystem.ts";
import type { Inode } from "./inode.ts";

export function rename(
  _fs: FileSystem,
  _oldDir: Inode,
  _oldName: Uint8Array,
  _newDir: Inode,
  _newName: Uint8Array,
  _flags: number,
  _owner: { readonly uid: number; readonly gid: number },
): Inode | undefined {
  throw new Error("not built yet");
}
