import type { FileSystem } from "./filesystem.ts";
import type { Inode, InodeTime } from "./inode.ts";

export interface AttributeChange {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly atime?: InodeTime;
  readonly mtime?: InodeTime;
  readonly ctime?: InodeTime;
}

export function setAttributes(
  _fs: FileSystem,
  _inode: Inode,
  _change: AttributeChange,
  _caller: { readonly uid: number; readonly gid: number },
): void {
  throw new Error("not built yet");
}
