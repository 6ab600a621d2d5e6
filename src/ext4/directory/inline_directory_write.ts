/**
 * Changes to a directory that lies in its inode: it begins there, gets all the room that the inode
 * has, and leaves for a block when that is full. Layout: inline_directory.ts. In the block it looks
 * as a reader of the inline form is shown it, so that positions of a listing stay good:
 *
 *     parent (4) | chain (56) | chain ...   ->   `.` (12) | `..` (12) | chain (56) | chain ... | tail
 */

import { I_BLOCK_SIZE } from "../../disk/inode.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { viewOf } from "../../sys/bytes.ts";
import { corrupt } from "../../sys/fs_error.ts";
import type { EntryChain } from "./directory_block.ts";
import { appendLeaf } from "./directory_growth.ts";
import { extendLastEntry, setLength } from "./entry_write.ts";
import type { FileSystem } from "../filesystem.ts";
import { dotEntries, DOTS_LENGTH, PARENT_SIZE } from "./inline_directory.ts";
import { readInlineRoom } from "../content/inline_data.ts";
import { inlineCapacity, leaveInline, storeInlineData } from "../content/inline_data_write.ts";
import type { Inode } from "../inode/inode.ts";

/** The shortest entry; less room than this is of no use. */
const LEAST_GROWTH = 12;
const ALIGNMENT = 4;

/** Makes an announced inode with room for inline data an empty directory. */
export function initInlineDirectory(dir: Inode, parent: Inode): void {
  const { iBlock } = dir;
  iBlock.fill(0);
  setInlineParent(dir, parent);
  setLength(viewOf(iBlock), PARENT_SIZE, I_BLOCK_SIZE - PARENT_SIZE);
  dir.size = I_BLOCK_SIZE;
}

/** Writes the number that stands for `..` into an announced inode. */
export function setInlineParent(dir: Inode, parent: Inode): void {
  viewOf(dir.iBlock).setUint32(0, parent.ino, true);
}

/** Gives the directory all the room of its inode. False when that is not worth while. */
export function extendInlineDirectory(fs: FileSystem, handle: Handle, dir: Inode): boolean {
  const capacity = inlineCapacity(fs, dir);
  const size = capacity - capacity % ALIGNMENT;
  const old = dir.size;
  if (size - old < LEAST_GROWTH) return false;
  const bytes = new Uint8Array(size);
  bytes.set(readInlineRoom(dir).subarray(0, old));
  extendLastEntry(fs, new DataView(bytes.buffer), I_BLOCK_SIZE, old, size);
  fs.modifyInode(handle, dir);
  storeInlineData(fs, handle, dir, bytes);
  dir.size = size;
  return true;
}

/** Moves the directory into a block. Throws ENOSPC, EDQUOT. */
export function leaveInlineDirectory(fs: FileSystem, handle: Handle, dir: Inode): EntryChain {
  const used = dir.size;
  fs.modifyInode(handle, dir);
  const bytes = leaveInline(fs, handle, dir).subarray(0, used);
  dir.size = 0;
  const chain = appendLeaf(fs, handle, dir);
  const end = DOTS_LENGTH + used - PARENT_SIZE;
  if (end > chain.end) throw corrupt("inline directory: longer than a block", { ino: dir.ino });
  const parent = viewOf(bytes).getUint32(0, true);
  chain.bytes.set(dotEntries(fs, dir.ino, parent));
  chain.bytes.set(bytes.subarray(PARENT_SIZE), DOTS_LENGTH);
  extendLastEntry(fs, chain.view, DOTS_LENGTH, end, chain.end);
  return chain;
}
