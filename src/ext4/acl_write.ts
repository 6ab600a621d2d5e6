import type { Handle } from "../jbd2/handle.ts";
import type { FileSystem } from "./filesystem.ts";
import type { Inode } from "./inode.ts";

/** Gives a new file the ACLs, and the permissions, that its directory's default ACL or the umask says. */
export function inheritAcls(
  _fs: FileSystem,
  _handle: Handle,
  _dir: Inode,
  _inode: Inode,
  _umask: number,
): void {
  throw new Error("not built yet");
}

/** Changes the permissions, and the access ACL with them. */
export function changeMode(_fs: FileSystem, _handle: Handle, _inode: Inode, _mode: number): void {
  throw new Error("not built yet");
}
