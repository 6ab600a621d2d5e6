/**
 * Keeps the orphans (orphans.ts) of a file system that is open for writing: inodes that the next
 * mount must free or cut, should this one not get to it.
 *
 * An orphan goes into the orphan file, where there is one with room, and else on the list:
 *
 *     s_last_orphan -> newest -> ... -> oldest      each by its i_dtime, the oldest with 0
 *
 * The order of writes: an inode becomes an orphan in the operation that takes its last name, or
 * before the first of the operations that cut it, and stops being one in the operation that frees
 * it, or in the last that cuts it. So a crash in between leaves nothing that only e2fsck finds.
 *
 * The list is known in memory, as an orphan that leaves its middle needs to know the newer one.
 */

import { Ext4SuperBlock as Sb } from "../../disk/superblock.ts";
import type { Handle } from "../../jbd2/handle.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import type { OrphanFile } from "./orphan_file.ts";
import { modifySuperblock } from "../superblock/superblock_write.ts";

/** Neighbours in the list; 0 where there is none. */
interface Links {
  readonly newer: number;
  readonly older: number;
}

export class Orphans {
  readonly #fs: FileSystem;
  /** Undefined without one that can be used. */
  file: OrphanFile | undefined;
  readonly #list = new Map<number, Links>();

  constructor(fs: FileSystem) {
    this.#fs = fs;
  }

  has(ino: number): boolean {
    return this.#list.has(ino) || (this.file?.has(ino) ?? false);
  }

  /** The list as the disk has it, the newest one first. */
  takeInList(numbers: readonly number[]): void {
    numbers.forEach((ino, index) => {
      this.#list.set(ino, { newer: numbers[index - 1] ?? 0, older: numbers[index + 1] ?? 0 });
    });
  }

  add(handle: Handle, inode: Inode): void {
    if (this.has(inode.ino) || this.file?.add(handle, inode.ino)) return;
    const view = modifySuperblock(this.#fs, handle);
    const newest = Sb.s_last_orphan.get(view, 0);
    this.#fs.modifyInode(handle, inode);
    inode.dtime = newest;
    Sb.s_last_orphan.set(view, 0, inode.ino);
    this.#link(handle, inode.ino, { newer: 0, older: newest });
    const links = this.#list.get(newest);
    if (links !== undefined) this.#link(handle, newest, { ...links, newer: inode.ino });
  }

  remove(handle: Handle, inode: Inode): void {
    const links = this.#list.get(inode.ino);
    if (links === undefined) {
      if (this.file?.has(inode.ino)) this.file.remove(handle, inode.ino);
      return;
    }
    const { newer, older } = links;
    this.#pointTo(handle, newer, older);
    this.#fs.modifyInode(handle, inode);
    inode.dtime = 0;
    this.#link(handle, inode.ino, undefined);
    const next = this.#list.get(older);
    if (next !== undefined) this.#link(handle, older, { ...next, newer });
  }

  /** What pointed to the orphan behind `newer`, or behind the superblock, points to `ino`. */
  #pointTo(handle: Handle, newer: number, ino: number): void {
    if (newer === 0) {
      Sb.s_last_orphan.set(modifySuperblock(this.#fs, handle), 0, ino);
      return;
    }
    const before = this.#fs.inode(newer);
    this.#fs.modifyInode(handle, before);
    before.dtime = ino;
    const links = this.#list.get(newer);
    if (links !== undefined) this.#link(handle, newer, { ...links, older: ino });
  }

  #link(handle: Handle, ino: number, links: Links | undefined): void {
    const before = this.#list.get(ino);
    this.#set(ino, links);
    handle.onUndo(() => this.#set(ino, before));
  }

  #set(ino: number, links: Links | undefined): void {
    if (links === undefined) this.#list.delete(ino);
    else this.#list.set(ino, links);
  }
}

/**
 * The inode is to be cut to its size, or freed, by the next mount, if this one does not get to it.
 * Does nothing for one that is an orphan already.
 */
export function addOrphan(fs: FileSystem, handle: Handle, inode: Inode): void {
  fs.writing.orphans.add(handle, inode);
}

/** The inode was cut. Does nothing for one without links, which stays an orphan until it is freed. */
export function removeOrphan(fs: FileSystem, handle: Handle, inode: Inode): void {
  if (!fs.unlinkedInodes.has(inode.ino)) fs.writing.orphans.remove(handle, inode);
}

/** An inode without links stays a file as long as it is open: an orphan, and in fs.unlinkedInodes. */
export function keepUnlinked(fs: FileSystem, handle: Handle, inode: Inode): void {
  addOrphan(fs, handle, inode);
  const { unlinkedInodes } = fs;
  if (unlinkedInodes.has(inode.ino)) return;
  unlinkedInodes.add(inode.ino);
  handle.onUndo(() => unlinkedInodes.delete(inode.ino));
}

/**
 * The opposite: the inode has a link again, as after linkat(2) of a temporary file, or is being
 * freed.
 */
export function dropUnlinked(fs: FileSystem, handle: Handle, inode: Inode): void {
  const { unlinkedInodes } = fs;
  if (unlinkedInodes.delete(inode.ino)) {
    handle.onUndo(() => unlinkedInodes.add(inode.ino));
  }
  removeOrphan(fs, handle, inode);
}
