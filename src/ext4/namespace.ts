import type { FileSystem } from "./filesystem.ts";
import type { Inode } from "./inode.ts";

/** A file to be made. */
export interface NewFile {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly umask: number;
  readonly rdev?: { readonly major: number; readonly minor: number };
}

export function makeNode(_fs: FileSystem, _dir: Inode, _name: Uint8Array, _file: NewFile): Inode {
  throw new Error("not built yet");
}
export function makeDirectory(
  _fs: FileSystem,
  _dir: Inode,
  _name: Uint8Array,
  _file: NewFile,
): Inode {
  throw new Error("not built yet");
}
export function makeSymlink(
  _fs: FileSystem,
  _dir: Inode,
  _name: Uint8Array,
  _target: Uint8Array,
  _owner: { readonly uid: number; readonly gid: number },
): Inode {
  throw new Error("not built yet");
}
export function makeTemporary(_fs: FileSystem, _dir: Inode, _file: NewFile): Inode {
  throw new Error("not built yet");
}
export function link(_fs: FileSystem, _inode: Inode, _dir: Inode, _name: Uint8Array): void {
  throw new Error("not built yet");
}
export function unlink(_fs: FileSystem, _dir: Inode, _name: Uint8Array): Inode {
  throw new Error("not built yet");
}
export function removeDirectory(_fs: FileSystem, _dir: Inode, _name: Uint8Array): Inode {
  throw new Error("not built yet");
}
