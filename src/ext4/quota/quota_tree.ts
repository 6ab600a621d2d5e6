/**
 * The tree of a quota file (disk/quota.ts): finds the entry of an id, and makes one. Entries do not
 * move, and are not removed: one whose use has fallen to nothing is ready for the next file of its
 * owner.
 */

import type { Block } from "../../block/block_cache.ts";
import {
  QT_TREEOFF,
  QtDiskDqdbheader as LeafHeader,
  QUOTA_ENTRIES_PER_LEAF,
  QUOTA_TREE_DEPTH,
  V2r1DiskDqblk as Entry,
} from "../../disk/quota.ts";
import type { Handle } from "../../jbd2/handle.ts";
import type { FileSystem } from "../filesystem.ts";
import type { QuotaBlock, QuotaFile } from "./quota_file.ts";

/** Where an entry lies: a byte in a block of the file system. */
export interface EntryPlace {
  readonly block: number;
  readonly at: number;
}

/** Entries whose place is remembered. */
const MAX_KNOWN = 16384;

export class QuotaTree {
  readonly file: QuotaFile;
  readonly #fs: FileSystem;
  readonly #known = new Map<number, EntryPlace>();

  constructor(fs: FileSystem, file: QuotaFile) {
    this.#fs = fs;
    this.file = file;
  }

  /** Undefined for an id without an entry, which has no limits and no use. Throws EUCLEAN. */
  find(id: number): EntryPlace | undefined {
    const known = this.#known.get(id);
    if (known !== undefined) return known;
    let number = QT_TREEOFF;
    for (let depth = 0; depth < QUOTA_TREE_DEPTH; depth++) {
      number = this.#child(this.file.read(number), id, depth);
      if (number === 0) return undefined;
    }
    const leaf = this.file.read(number);
    const at = findEntry(leaf, id);
    if (at === undefined) throw this.file.damage(`no entry of id ${id} in block ${number}`);
    return this.#remember(id, { block: leaf.block.number, at });
  }

  /** Makes the entry of an id that has none: no limits, no use. Throws EUCLEAN, and ENOSPC. */
  insert(handle: Handle, id: number): EntryPlace {
    let number = QT_TREEOFF;
    for (let depth = 0; depth < QUOTA_TREE_DEPTH - 1; depth++) {
      const child = this.#child(this.file.read(number), id, depth);
      number = child !== 0 ? child : this.#hang(handle, number, id, depth);
    }
    const leaf = this.#leafWithRoom(handle);
    this.#setChild(handle, number, id, QUOTA_TREE_DEPTH - 1, leaf);
    const place = this.#place(handle, leaf, id);
    handle.onUndo(() => this.#known.delete(id));
    return this.#remember(id, place);
  }

  /** A new node below another one. */
  #hang(handle: Handle, parent: number, id: number, depth: number): number {
    const child = this.file.allocate(handle);
    this.#setChild(handle, parent, id, depth, child);
    return child;
  }

  #leafWithRoom(handle: Handle): number {
    const first = this.file.firstWithRoom;
    if (first !== 0) return first;
    const made = this.file.allocate(handle);
    this.file.setFirstWithRoom(handle, made);
    return made;
  }

  /** Takes a free place of a leaf, which leaves the chain when it was the last one. */
  #place(handle: Handle, number: number, id: number): EntryPlace {
    const { block, at } = this.file.modify(handle, number);
    const entries = LeafHeader.dqdh_entries.get(block.view, at) + 1;
    const place = freePlace({ block, at });
    if (place === undefined || entries > QUOTA_ENTRIES_PER_LEAF) {
      throw this.file.damage(`block ${number} is full, and said to have room`);
    }
    if (entries === QUOTA_ENTRIES_PER_LEAF) this.#unchain(handle, { block, at });
    LeafHeader.dqdh_entries.set(block.view, at, entries);
    Entry.dqb_id.set(block.view, place, id);
    if (id === 0) Entry.dqb_itime.set(block.view, place, 1);
    return { block: block.number, at: place };
  }

  /** Takes the first leaf out of the chain of those with room. */
  #unchain(handle: Handle, { block, at }: QuotaBlock): void {
    const next = this.file.checkedLink(LeafHeader.dqdh_next_free.get(block.view, at));
    if (LeafHeader.dqdh_prev_free.get(block.view, at) !== 0) {
      throw this.file.damage("the first block with room has one before it");
    }
    LeafHeader.dqdh_next_free.set(block.view, at, 0);
    this.file.setFirstWithRoom(handle, next);
    if (next === 0) return;
    const behind = this.file.modify(handle, next);
    LeafHeader.dqdh_prev_free.set(behind.block.view, behind.at, 0);
  }

  #child({ block, at }: QuotaBlock, id: number, depth: number): number {
    return this.file.checkedLink(block.view.getUint32(at + childOffset(id, depth), true));
  }

  #setChild(handle: Handle, number: number, id: number, depth: number, child: number): void {
    const { block, at } = this.file.modify(handle, number);
    block.view.setUint32(at + childOffset(id, depth), child, true);
  }

  #remember(id: number, place: EntryPlace): EntryPlace {
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(id, place);
    return place;
  }

  /** The block that an entry is in. */
  blockOf(place: EntryPlace): Block {
    return this.#fs.cache.read(place.block);
  }
}

/** A node has four bytes for each value of one byte of the id. */
function childOffset(id: number, depth: number): number {
  return ((id >>> (8 * (QUOTA_TREE_DEPTH - 1 - depth))) & 0xff) * 4;
}

function entryOffset({ at }: QuotaBlock, index: number): number {
  return at + LeafHeader.byteLength + index * Entry.byteLength;
}

function findEntry(leaf: QuotaBlock, id: number): number | undefined {
  for (let index = 0; index < QUOTA_ENTRIES_PER_LEAF; index++) {
    const at = entryOffset(leaf, index);
    if (Entry.dqb_id.get(leaf.block.view, at) === id && !isFree(leaf.block, at)) return at;
  }
  return undefined;
}

function freePlace(leaf: QuotaBlock): number | undefined {
  for (let index = 0; index < QUOTA_ENTRIES_PER_LEAF; index++) {
    const at = entryOffset(leaf, index);
    if (isFree(leaf.block, at)) return at;
  }
  return undefined;
}

function isFree({ bytes }: Block, at: number): boolean {
  for (let byte = at; byte < at + Entry.byteLength; byte++) {
    if (bytes[byte] !== 0) return false;
  }
  return true;
}
