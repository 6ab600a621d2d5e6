/** One look through a chain of entries: for a name, and for room for another one. */

import { Ext4DirEntry2 as Entry } from "../../disk/directory.ts";
import { type EntryChain, entryLength, hashIsStored, recordLength } from "./directory_block.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import type { NameQuery } from "./name_query.ts";

/** Where an entry is. */
export interface EntryPlace {
  readonly chain: EntryChain;
  readonly at: number;
  /** The entry before it in the chain, -1 for none. */
  readonly before: number;
}

/** What was seen: bytes of the chain, -1 where there is nothing. */
export interface ChainSearch {
  /** The entry with the name. */
  readonly found: number;
  /** The entry before that. */
  readonly before: number;
  /** The first entry that has enough room behind it, or is unused and long enough. */
  readonly room: number;
}

/** Nothing is made for an entry that is passed, and nothing for a chain either. */
const search = { found: -1, before: -1, room: -1 };

const NO_ROOM = Infinity;
/** The lengths of entries in larger blocks are encoded. */
const MAX_PLAIN_BLOCK = 32768;
const NAME_LENGTH = Entry.name_len.offset;
const RECORD_LENGTH = Entry.rec_len.offset;

/**
 * Looks for a name, and for the room that a new entry needs. The result is good until the next
 * search. Throws EUCLEAN for a damaged entry in front of the name.
 * @param needed bytes
 */
export function searchChain(
  fs: FileSystem,
  dir: Inode,
  chain: EntryChain,
  query: NameQuery,
  needed = NO_ROOM,
): ChainSearch {
  const { bytes, view, end } = chain;
  const { inodesCount } = fs.superblock;
  const isPlain = fs.blockSize <= MAX_PLAIN_BLOCK && !hashIsStored(dir);
  search.found = search.room = -1;
  let before = -1;
  for (let at = chain.start; at < end;) {
    const length = (isPlain ? soundLength(bytes, view, at, end, inodesCount) : 0) ||
      entryLength(fs, dir, chain, at);
    const nameLength = bytes[at + NAME_LENGTH];
    let room = length;
    if (view.getUint32(at, true) !== 0) {
      if (query.matches(bytes, at + Entry.byteLength, nameLength)) {
        search.found = at;
        search.before = before;
        return search;
      }
      room -= recordLength(nameLength);
    }
    if (room >= needed && search.room < 0) search.room = at;
    before = at;
    at += length;
  }
  return search;
}

/** The length of an ordinary entry; 0 for one that has to be looked at more closely. */
function soundLength(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  end: number,
  inodesCount: number,
): number {
  if (at + Entry.byteLength > end) return 0;
  const length = bytes[at + RECORD_LENGTH] | bytes[at + RECORD_LENGTH + 1] << 8;
  const isSound = length >= recordLength(bytes[at + NAME_LENGTH]) && length % 4 === 0 &&
    at + length <= end && view.getUint32(at, true) <= inodesCount;
  return isSound ? length : 0;
}
