/**
 * Inline data (kernel documentation: filesystems/ext4/inlinedata.rst): the first 60 bytes of a
 * small file or directory lie in i_block, the rest in the attribute `system.data` of the inode.
 */

import { EXT4_XATTR_INDEX_SYSTEM } from "../../disk/xattr.ts";
import { corrupt } from "../../sys/fs_error.ts";
import { I_BLOCK_SIZE } from "../../disk/inode.ts";
import { INLINE_DATA, type Inode } from "../inode/inode.ts";

/** The part in i_block and the part in the attribute, which may be empty. Not copies. */
export interface InlineParts {
  readonly first: Uint8Array<ArrayBuffer>;
  readonly rest: Uint8Array<ArrayBuffer>;
}

/** Where the inline data of an inode lie, with all the room they have. */
export function inlineParts(inode: Inode): InlineParts {
  const rest = inode.inlineXattr(EXT4_XATTR_INDEX_SYSTEM, INLINE_DATA);
  if (rest === undefined) {
    throw corrupt("inline data: the inode has no attribute system.data", { ino: inode.ino });
  }
  return { first: inode.iBlock, rest };
}

/** A copy of all the room for inline data, in use or not. */
export function readInlineRoom(inode: Inode): Uint8Array<ArrayBuffer> {
  const { first, rest } = inlineParts(inode);
  const room = new Uint8Array(I_BLOCK_SIZE + rest.length);
  room.set(first);
  room.set(rest, I_BLOCK_SIZE);
  return room;
}

/** A copy of the inline data: as many bytes as the inode says. Throws EUCLEAN. */
export function readInlineData(inode: Inode): Uint8Array<ArrayBuffer> {
  const room = readInlineRoom(inode);
  if (inode.size > room.length) {
    throw corrupt(`inline data: size ${inode.size} in room for ${room.length}`, { ino: inode.ino });
  }
  return room.subarray(0, inode.size);
}
