/**
 * What is remembered of directories that are being listed.
 *
 * The kernel asks for names and attributes together, so that programs that look at what they list
 * (find, tar, rm) need not ask for each name. For a program that wants names only, attributes of a
 * large directory are work in vain: so after some thousand rows they are left out, until a name of
 * the directory is looked up.
 *
 * The end of a listing is asked for as such, with the position behind the last row. As long as the
 * directory does not change, that is known from the time before.
 */

import { forgetOldest } from "./forget_oldest.ts";

/** Rows of one directory that get attributes although nobody has looked up any. */
const ROWS_WITH_ATTRIBUTES = 8192;
/** Directories that are remembered. */
const MAX_DIRECTORIES = 256;

interface Listing {
  /** Rows with attributes, since the start or the last lookup. */
  rows: number;
  /** The position behind the last row, where it is known. */
  end: number | undefined;
}

export class Listings {
  /** By node, in the order in which they were begun. */
  readonly #listings = new Map<number, Listing>();

  /** A listing goes on from a position, 0 for its beginning. True when it is at its end. */
  resume(nodeId: number, position: number): boolean {
    if (position !== 0) return this.#listings.get(nodeId)?.end === position;
    this.#listings.delete(nodeId);
    if (this.#listings.size >= MAX_DIRECTORIES) forgetOldest(this.#listings);
    this.#listings.set(nodeId, { rows: 0, end: undefined });
    return false;
  }

  /** Whether the next row is to have attributes. */
  wantsAttributes(nodeId: number): boolean {
    const listing = this.#listings.get(nodeId);
    return listing === undefined || listing.rows++ < ROWS_WITH_ATTRIBUTES;
  }

  /** All rows were given, and `position` is behind the last one. */
  ended(nodeId: number, position: number): void {
    const listing = this.#listings.get(nodeId);
    if (listing !== undefined) listing.end = position;
  }

  /** Names came or went. */
  changed(nodeId: number): void {
    const listing = this.#listings.get(nodeId);
    if (listing !== undefined) listing.end = undefined;
  }

  /** A name was looked up: more of them will be. */
  lookedUp(nodeId: number): void {
    const listing = this.#listings.get(nodeId);
    if (listing !== undefined) listing.rows = 0;
  }
}
