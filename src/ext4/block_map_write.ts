import type { Handle } from "../jbd2/handle.ts";
import type { FileSystem } from "./filesystem.ts";
import type { Inode } from "./inode.ts";
import type { Mapping } from "./map.ts";

export interface NewBlocks {
  readonly fileBlock: number;
  /** At least 1. */
  readonly count: number;
  readonly unwritten?: boolean;
  readonly purpose: "data" | "metadata";
}

/** Gives blocks to file blocks that are a hole, from the first one on; maybe fewer than asked. */
export function mapNewBlocks(
  _fs: FileSystem,
  _handle: Handle,
  _inode: Inode,
  _wanted: NewBlocks,
): Mapping {
  throw new Error("not built yet");
}

/** Frees the file blocks [start, end), from the end on; returns the end of what is left to do. */
export function unmapBlocks(
  _fs: FileSystem,
  _handle: Handle,
  _inode: Inode,
  _start: number,
  _end: number,
): number {
  throw new Error("not built yet");
}
