/**
 * Attribute blocks by their content, so that files with the same attributes can share one. Only a
 * limited number is known: those that were read or written last. A block that is not known to be
 * like another one is just not shared.
 */

import { EXT4_XATTR_REFCOUNT_MAX, Ext4XattrHeader as Header } from "../../disk/xattr.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { sameBytes } from "../../sys/bytes.ts";
import { FsError } from "../../sys/fs_error.ts";
import type { FileSystem } from "../filesystem.ts";
import { readXattrBlock, type XattrBlock } from "./xattr_block.ts";
import { blockHash } from "./xattr_hash.ts";
import type { XattrEntry } from "./xattr_table.ts";

const MOST_KNOWN = 4096;

export class SharedXattrBlocks {
  readonly #fs: FileSystem;
  /** The last block with this h_hash. Every number in it is that of an attribute block. */
  readonly #byHash = new Map<number, number>();
  readonly #hashes = new Map<number, number>();

  constructor(fs: FileSystem) {
    this.#fs = fs;
  }

  /** A block with these entries that one more file can use. */
  find(hash: number, entries: readonly XattrEntry[]): XattrBlock | undefined {
    const number = this.#byHash.get(hash);
    if (number === undefined || !canBeShared(entries)) return undefined;
    const found = this.#read(number);
    if (found === undefined || !sameEntries(found.entries, entries)) return undefined;
    const users = Header.h_refcount.get(found.block.view, 0);
    return users < EXT4_XATTR_REFCOUNT_MAX ? found : undefined;
  }

  /** A block was read. */
  note({ block, entries }: XattrBlock): void {
    const hash = Header.h_hash.get(block.view, 0);
    if (canBeShared(entries) && hash === blockHash(entries)) this.#set(block.number, hash);
  }

  /** A block was written in an operation. */
  replace(handle: Handle, number: number, hash: number, entries: readonly XattrEntry[]): void {
    this.forget(number);
    if (!canBeShared(entries)) return;
    this.#set(number, hash);
    handle.onUndo(() => this.forget(number));
  }

  /** The block is no attribute block any more, or has other content. */
  forget(number: number): void {
    const hash = this.#hashes.get(number);
    if (hash === undefined) return;
    this.#hashes.delete(number);
    if (this.#byHash.get(hash) === number) this.#byHash.delete(hash);
  }

  #set(number: number, hash: number): void {
    if (hash === 0) return;
    const before = this.#byHash.get(hash);
    if (before !== undefined) this.forget(before);
    this.#byHash.set(hash, number);
    this.#hashes.set(number, hash);
    if (this.#hashes.size <= MOST_KNOWN) return;
    const [oldest] = this.#hashes.keys();
    this.forget(oldest);
  }

  #read(number: number): XattrBlock | undefined {
    try {
      return readXattrBlock(this.#fs, number);
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      this.forget(number);
      return undefined;
    }
  }
}

/** Whoever shares a value in an inode would have to count in that, too. */
function canBeShared(entries: readonly XattrEntry[]): boolean {
  return entries.every(({ valueIno }) => valueIno === 0);
}

function sameEntries(a: readonly XattrEntry[], b: readonly XattrEntry[]): boolean {
  return a.length === b.length && a.every((entry, index) => {
    const other = b[index];
    return entry.nameIndex === other.nameIndex && entry.valueIno === other.valueIno &&
      sameBytes(entry.name, other.name) && sameBytes(entry.value, other.value);
  });
}
