import type { Handle } from "../jbd2/handle.ts";
import type { FileSystem } from "./filesystem.ts";
import type { Inode } from "./inode.ts";

export function setXattr(
  _fs: FileSystem,
  _inode: Inode,
  _name: Uint8Array,
  _value: Uint8Array,
  _flags: number,
): void {
  throw new Error("not built yet");
}
export function removeXattr(_fs: FileSystem, _inode: Inode, _name: Uint8Array): void {
  throw new Error("not built yet");
}
/** Sets or, with undefined, removes one attribute, by index and rest of its name, in an operation. */
export function storeXattr(
  _fs: FileSystem,
  _handle: Handle,
  _inode: Inode,
  _index: number,
  _name: Uint8Array,
  _value: Uint8Array | undefined,
): void {
  throw new Error("not built yet");
}
/** Lets go of everything that attributes hold outside the inode, which is about to be freed. */
export function dropXattrs(_fs: FileSystem, _handle: Handle, _inode: Inode): void {
  throw new Error("not built yet");
}
