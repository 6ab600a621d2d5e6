/**
 * A place in an extent tree, and the one change that all others are made of: entries of a node are
 * replaced by others. What follows from that happens here, up to the root:
 *
 * - a node that becomes too full is split in two, and a root that does moves into a block;
 * - a node that becomes empty is freed;
 * - an index names the first file block of what is below it.
 */

import {
  EXT4_EXT_MAGIC,
  EXT4_MAX_EXTENT_DEPTH,
  Ext4Extent as Extent,
  Ext4ExtentHeader as Header,
  Ext4ExtentIdx as Index,
  EXT_INIT_MAX_LEN,
  EXTENT_ENTRY_SIZE,
} from "../../disk/extent.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { corrupt } from "../../sys/fs_error.ts";
import {
  blockCapacity,
  childBlock,
  childNode,
  entryCount,
  entryOffset,
  extentAt,
  type ExtentNode,
  type ExtentRun,
  keyAt,
  lastEntryUpTo,
  maxEntries,
  nodeClaim,
  rootNode,
  sealNode,
} from "./extent_node.ts";
import type { FileSystem } from "../filesystem.ts";
import { metadataGoal } from "../allocation/group_choice.ts";
import type { Inode } from "../inode/inode.ts";

const NOTHING = new Uint8Array(0);

export class ExtentCursor {
  readonly #fs: FileSystem;
  readonly #inode: Inode;
  /** Space for nodes may come from what is held back for operations that give space back. */
  readonly #mayUseAll: boolean;
  /** From the root to the leaf. */
  readonly #nodes: ExtentNode[] = [];
  /** In each node but the leaf, the entry that leads to the next one. */
  readonly #entries: number[] = [];

  /** Goes to the leaf that `fileBlock` belongs into. Throws EUCLEAN and EBADMSG. */
  constructor(fs: FileSystem, inode: Inode, fileBlock: number, mayUseAll = false) {
    this.#fs = fs;
    this.#inode = inode;
    this.#mayUseAll = mayUseAll;
    let node = rootNode(inode);
    this.#nodes.push(node);
    while (node.depth > 0) {
      const entry = Math.max(0, lastEntryUpTo(node, fileBlock));
      node = childNode(fs, inode, node, entry);
      this.#entries.push(entry);
      this.#nodes.push(node);
    }
  }

  get leaf(): ExtentNode {
    return this.#nodes[this.#nodes.length - 1];
  }

  /**
   * Replaces `removed` extents of the leaf, from entry `at` on, by others that keep the order. Has
   * to be the last use of the cursor. Throws ENOSPC and EDQUOT when a node has to be split.
   */
  replace(handle: Handle, at: number, removed: number, runs: readonly ExtentRun[]): void {
    this.#splice(handle, this.#nodes.length - 1, at, removed, encodeExtents(runs));
  }

  /** Moves the extents of the leaf, from entry `at` on, by `distance` file blocks. */
  shift(handle: Handle, at: number, distance: number): void {
    const { leaf } = this;
    this.#announce(handle, leaf);
    for (let entry = at; entry < entryCount(leaf); entry++) {
      setKey(leaf, entry, keyAt(leaf, entry) + distance);
    }
    if (at === 0) this.#correctKeys(handle, this.#nodes.length - 1);
  }

  #splice(handle: Handle, level: number, at: number, removed: number, added: Uint8Array): void {
    const node = this.#nodes[level];
    const before = entryCount(node);
    const after = before - removed + added.length / EXTENT_ENTRY_SIZE;
    if (after > maxEntries(node)) {
      if (level > 0) return this.#split(handle, level, at, removed, added);
      this.#grow(handle);
      return this.#splice(handle, level + 1, at, removed, added);
    }
    if (after === 0 && level > 0) return this.#remove(handle, level);
    this.#announce(handle, node);
    const bytes = bytesOf(node);
    const start = entryOffset(node, at);
    bytes.copyWithin(
      start + added.length,
      entryOffset(node, at + removed),
      entryOffset(node, before),
    );
    bytes.set(added, start);
    Header.eh_entries.set(node.view, node.at, after);
    // A root without entries is an empty leaf, however deep the tree was.
    if (after === 0) Header.eh_depth.set(node.view, node.at, 0);
    else if (at === 0) this.#correctKeys(handle, level);
  }

  /** The first key of a node changed: so do those of the indexes that begin with it. */
  #correctKeys(handle: Handle, level: number): void {
    const key = keyAt(this.#nodes[level], 0);
    for (let above = level - 1; above >= 0; above--) {
      const node = this.#nodes[above];
      const entry = this.#entries[above];
      if (keyAt(node, entry) === key) return;
      this.#announce(handle, node);
      setKey(node, entry, key);
      if (entry > 0) return;
    }
  }

  /** Divides a node, as it will be, between itself and a new one behind it. */
  #split(handle: Handle, level: number, at: number, removed: number, added: Uint8Array): void {
    const node = this.#nodes[level];
    const all = spliced(node, at, removed, added);
    const count = all.length / EXTENT_ENTRY_SIZE;
    // Files mostly grow at their end: full nodes stay behind then.
    const isAtEnd = at + removed === entryCount(node);
    const max = maxEntries(node);
    const kept = isAtEnd ? Math.min(max, count - 1) : Math.min(max, Math.ceil(count / 2));
    const border = kept * EXTENT_ENTRY_SIZE;
    const added2 = this.#create(handle, node, all.subarray(border));

    this.#announce(handle, node);
    bytesOf(node).set(all.subarray(0, border), entryOffset(node, 0));
    Header.eh_entries.set(node.view, node.at, kept);
    if (at === 0) this.#correctKeys(handle, level);
    this.#splice(handle, level - 1, this.#entries[level - 1] + 1, 0, added2);
  }

  /** Moves the root's entries into a block, with an index to it as the root's only entry. */
  #grow(handle: Handle): void {
    const [root] = this.#nodes;
    if (root.depth === EXT4_MAX_EXTENT_DEPTH) {
      throw corrupt(`extent tree: full at depth ${root.depth}`, { ino: this.#inode.ino });
    }
    const index = this.#create(handle, root, spliced(root, 0, 0, NOTHING));
    this.#announce(handle, root);
    Header.eh_entries.set(root.view, root.at, 1);
    Header.eh_depth.set(root.view, root.at, root.depth + 1);
    bytesOf(root).set(index, entryOffset(root, 0));
    const grown = { ...root, depth: root.depth + 1 };
    this.#nodes.splice(0, 1, grown, childNode(this.#fs, this.#inode, grown, 0));
    this.#entries.unshift(0);
  }

  /** Not where the file grows to, if there is a place that is kept for metadata. */
  #nodeGoal(beside: ExtentNode): number {
    const place = metadataGoal(this.#fs, this.#inode);
    if (place !== undefined) return place;
    return beside.depth === 0 ? extentAt(beside, 0).physicalBlock : childBlock(beside, 0);
  }

  /** Makes a node beside another one, and returns an index to it. */
  #create(handle: Handle, beside: ExtentNode, entries: Uint8Array): Uint8Array {
    const { blockSize, writing } = this.#fs;
    const { block: number } = writing.blocks.allocate(handle, {
      inode: this.#inode,
      goal: this.#nodeGoal(beside),
      count: 1,
      purpose: "metadata",
      mayUseAll: this.#mayUseAll,
    });
    const block = handle.create(number, this.#seal);
    Header.eh_magic.set(block.view, 0, EXT4_EXT_MAGIC);
    Header.eh_entries.set(block.view, 0, entries.length / EXTENT_ENTRY_SIZE);
    Header.eh_max.set(block.view, 0, blockCapacity(blockSize));
    Header.eh_depth.set(block.view, 0, beside.depth);
    block.bytes.set(entries, EXTENT_ENTRY_SIZE);
    block.verifiedAs = nodeClaim(this.#inode, beside.depth);
    return encodeIndex(Extent.ee_block.get(block.view, EXTENT_ENTRY_SIZE), number);
  }

  /** Frees a node that becomes empty. */
  #remove(handle: Handle, level: number): void {
    freeNode(this.#fs, handle, this.#inode, this.#nodes[level]);
    this.#splice(handle, level - 1, this.#entries[level - 1], 1, NOTHING);
  }

  #announce(handle: Handle, node: ExtentNode): void {
    if (node.block === undefined) this.#fs.modifyInode(handle, this.#inode);
    else {
      requireOrdinary(this.#fs, this.#inode, node.block.number);
      handle.modify(node.block, this.#seal);
    }
  }

  get #seal() {
    const inode = this.#inode;
    return this.#fs.superblock.hasMetadataChecksums
      ? (block: NonNullable<ExtentNode["block"]>) => sealNode(inode, block)
      : undefined;
  }
}

/**
 * Makes the tree as flat as the root has room for: while the root has one entry and what is below it
 * fits into the root, it moves there.
 */
export function flatten(fs: FileSystem, handle: Handle, inode: Inode): void {
  for (;;) {
    const root = rootNode(inode);
    if (root.depth === 0 || entryCount(root) !== 1) return;
    const child = childNode(fs, inode, root, 0);
    const count = entryCount(child);
    if (count > maxEntries(root)) return;
    const entries = spliced(child, 0, 0, NOTHING).slice();
    fs.modifyInode(handle, inode);
    Header.eh_depth.set(root.view, root.at, child.depth);
    Header.eh_entries.set(root.view, root.at, count);
    bytesOf(root).set(entries, entryOffset(root, 0));
    freeNode(fs, handle, inode, child);
  }
}

function freeNode(fs: FileSystem, handle: Handle, inode: Inode, { block }: ExtentNode): void {
  if (block === undefined) throw new Error("the root of an extent tree cannot be freed");
  handle.forget(block.number);
  fs.writing.blocks.free(handle, inode, block.number, 1);
}

/** Throws EUCLEAN for a block of a file's map that is the file system's own. */
export function requireOrdinary(fs: FileSystem, inode: Inode, block: number, count = 1): void {
  if (!fs.writing.blocks.zones.touches(block, count)) return;
  throw corrupt("block map: leads into the file system's own blocks", { ino: inode.ino, block });
}

function bytesOf({ view }: ExtentNode): Uint8Array<ArrayBuffer> {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** The entries as they are after a replacement, in memory of their own. */
function spliced(node: ExtentNode, at: number, removed: number, added: Uint8Array): Uint8Array {
  const entries = bytesOf(node).subarray(
    entryOffset(node, 0),
    entryOffset(node, entryCount(node)),
  );
  const result = new Uint8Array(entries.length + added.length - removed * EXTENT_ENTRY_SIZE);
  const start = at * EXTENT_ENTRY_SIZE;
  result.set(entries.subarray(0, start));
  result.set(added, start);
  result.set(entries.subarray(start + removed * EXTENT_ENTRY_SIZE), start + added.length);
  return result;
}

function setKey(node: ExtentNode, entry: number, key: number): void {
  Extent.ee_block.set(node.view, entryOffset(node, entry), key);
}

function encodeExtents(runs: readonly ExtentRun[]): Uint8Array {
  if (runs.length === 0) return NOTHING;
  const view = new DataView(new ArrayBuffer(runs.length * EXTENT_ENTRY_SIZE));
  for (const [index, { fileBlock, count, physicalBlock, unwritten }] of runs.entries()) {
    const at = index * EXTENT_ENTRY_SIZE;
    Extent.ee_block.set(view, at, fileBlock);
    Extent.ee_len.set(view, at, unwritten ? count + EXT_INIT_MAX_LEN : count);
    Extent.ee_start_hi.set(view, at, Math.floor(physicalBlock / 2 ** 32));
    Extent.ee_start_lo.set(view, at, physicalBlock % 2 ** 32);
  }
  return new Uint8Array(view.buffer);
}

function encodeIndex(key: number, block: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(EXTENT_ENTRY_SIZE));
  Index.ei_block.set(view, 0, key);
  Index.ei_leaf_lo.set(view, 0, block % 2 ** 32);
  Index.ei_leaf_hi.set(view, 0, Math.floor(block / 2 ** 32));
  return new Uint8Array(view.buffer);
}
