/** What is looked for in a directory: how to tell a stored name, and the hash to go by. */

import { sameBytes } from "../../sys/bytes.ts";
import { foldName } from "./casefold.ts";
import { isDotName } from "./directory_block.ts";
import { type NoKeyQuery, parseNoKeyName } from "./encryption.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { isCasefolded, nameHasher } from "./name_hash.ts";

export interface NameQuery {
  /** Whether a stored name, `length` bytes at `start`, is the one. */
  matches(bytes: Uint8Array, start: number, length: number): boolean;
  /** The major hash. `version` as the root of the directory's tree has it. */
  hash(version: number): number;
}

/** The query for a name; undefined for one that the directory cannot have. */
export function nameQuery(fs: FileSystem, dir: Inode, name: Uint8Array): NameQuery | undefined {
  if (dir.isEncrypted && !isDotName(name)) {
    const parsed = parseNoKeyName(name);
    return parsed && new NoKeyNameQuery(parsed);
  }
  const folded = isCasefolded(fs, dir) ? foldName(name) : undefined;
  return folded === undefined
    ? new ExactName(fs, dir, name)
    : new FoldedName(fs, dir, name, folded);
}

class ExactName implements NameQuery {
  readonly #fs: FileSystem;
  readonly #dir: Inode;
  readonly name: Uint8Array;

  constructor(fs: FileSystem, dir: Inode, name: Uint8Array) {
    this.#fs = fs;
    this.#dir = dir;
    this.name = name;
  }

  matches(bytes: Uint8Array, start: number, length: number): boolean {
    const { name } = this;
    if (length !== name.length) return false;
    // Names of one directory often begin alike.
    for (let index = length - 1; index >= 0; index--) {
      if (bytes[start + index] !== name[index]) return false;
    }
    return true;
  }

  hash(version: number): number {
    return nameHasher(this.#fs, this.#dir, version)(this.name).major;
  }
}

/** A name that stands for all that are the same without regard to case. */
class FoldedName extends ExactName {
  readonly #folded: Uint8Array;

  constructor(fs: FileSystem, dir: Inode, name: Uint8Array, folded: Uint8Array) {
    super(fs, dir, name);
    this.#folded = folded;
  }

  override matches(bytes: Uint8Array, start: number, length: number): boolean {
    if (super.matches(bytes, start, length)) return true;
    const other = foldName(bytes.subarray(start, start + length));
    return other !== undefined && sameBytes(other, this.#folded);
  }
}

class NoKeyNameQuery implements NameQuery {
  readonly #query: NoKeyQuery;

  constructor(query: NoKeyQuery) {
    this.#query = query;
  }

  matches(bytes: Uint8Array, start: number, length: number): boolean {
    return this.#query.matches(bytes.subarray(start, start + length));
  }

  hash(): number {
    return this.#query.hash;
  }
}
