import type { Handle } from "../jbd2/handle.ts";
import type { FileSystem } from "./filesystem.ts";
import type { Inode } from "./inode.ts";

/** Most bytes that the inode can hold inline, given the attributes that it has now. */
export function inlineCapacity(_fs: FileSystem, _inode: Inode): number {
  throw new Error("not built yet");
}

/** Replaces all inline data: their length becomes that of `bytes`. i_size is the caller's. */
export function storeInlineData(
  _fs: FileSystem,
  _handle: Handle,
  _inode: Inode,
  _bytes: Uint8Array,
): void {
  throw new Error("not built yet");
}

/** The inode becomes one with an empty map of blocks; returns what was inline. */
export function leaveInline(_fs: FileSystem, _handle: Handle, _inode: Inode): Uint8Array {
  throw new Error("not built yet");
}
