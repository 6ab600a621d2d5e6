/**
 * Making and freeing inodes that hold the value of one attribute (ea_inode.ts). Their content is
 * metadata, so it goes through the journal in the operation that sets the attribute. The file with
 * the attribute pays for the value, as often as it refers to it; the value inode pays for nothing.
 */

import { EXT4_EA_INODE_FL, Ext4Inode } from "../../disk/inode.ts";
import type { Handle } from "../../jbd2/handle.ts";
import { S_IFREG } from "../../sys/stat.ts";
import { chargeBlocks, chargeInode, refundBlocks, refundInode } from "../quota/accounting.ts";
import { mapNewBlocks, unmapBlocks } from "../map/block_map_write.ts";
import { makeExtentRoot, setExtraSize } from "../inode/create_inode.ts";
import { belongsToOne, valueHash, valueInode, valueReferences } from "./ea_inode.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { entryHashOfValueInode } from "./xattr_hash.ts";
import type { XattrEntry } from "./xattr_table.ts";

/** Puts the value of an entry of the owner's attributes into an inode; returns the entry then. */
export function storeValueInode(
  fs: FileSystem,
  handle: Handle,
  owner: Inode,
  entry: XattrEntry,
): XattrEntry {
  const { value } = entry;
  chargeInode(fs, handle, owner);
  chargeBlocks(fs, handle, owner, blocksToPayFor(fs, value.length));
  const hash = valueHash(fs, value);
  const holder = makeValueInode(fs, handle, owner, hash);
  writeValue(fs, handle, holder, value);
  return {
    ...entry,
    value: new Uint8Array(),
    valueIno: holder.ino,
    hash: entryHashOfValueInode(entry.name, hash),
  };
}

/** One more entry, in another attribute block, refers to the value. */
export function addReference(
  fs: FileSystem,
  handle: Handle,
  owner: Inode,
  entry: XattrEntry,
): void {
  const holder = valueInode(fs, owner, entry);
  setReferences(fs, handle, holder, valueReferences(holder) + 1);
}

/** An entry less refers to the value, which is freed when it was the last one. */
export function dropReference(
  fs: FileSystem,
  handle: Handle,
  owner: Inode,
  entry: XattrEntry,
): void {
  const holder = valueInode(fs, owner, entry);
  const references = belongsToOne(owner, holder) ? 1 : valueReferences(holder);
  if (references > 1) setReferences(fs, handle, holder, references - 1);
  else freeValueInode(fs, handle, holder);
}

/** The owner does not refer to the value any more, and need not pay for it. */
export function refundValue(
  fs: FileSystem,
  handle: Handle,
  owner: Inode,
  entry: XattrEntry,
): void {
  // Nobody was charged for one of the older kind.
  if (belongsToOne(owner, valueInode(fs, owner, entry))) return;
  refundBlocks(fs, handle, owner, blocksToPayFor(fs, entry.valueSize));
  refundInode(fs, handle, owner);
}

/** Whole clusters, however the value is stored. */
function blocksToPayFor(fs: FileSystem, size: number): number {
  const { clusterRatio } = fs.superblock;
  return Math.ceil(size / (fs.blockSize * clusterRatio)) * clusterRatio;
}

function makeValueInode(fs: FileSystem, handle: Handle, owner: Inode, hash: number): Inode {
  const { writing, superblock } = fs;
  const mode = S_IFREG | 0o600;
  const ino = writing.inodes.allocate(handle, owner, mode);
  const holder = fs.createInode(handle, ino, writing.options.random());
  setExtraSize(superblock, holder);
  holder.mode = mode;
  holder.uid = owner.uid;
  holder.gid = owner.gid;
  holder.linksCount = 1;
  holder.flags = EXT4_EA_INODE_FL;
  const now = writing.now();
  holder.mtime = now;
  holder.crtime = now;
  holder.atime = { sec: hash, nsec: 0 };
  // A record without the extra fields has room for 31 bits of a time, but for 32 of a hash.
  Ext4Inode.i_atime.set(holder.view, 0, hash);
  setReferences(fs, handle, holder, 1);
  if (superblock.features.has("extent")) makeExtentRoot(holder);
  return holder;
}

function setReferences(fs: FileSystem, handle: Handle, holder: Inode, count: number): void {
  fs.modifyInode(handle, holder);
  Ext4Inode.i_ctime.set(holder.view, 0, Math.floor(count / 2 ** 32));
  Ext4Inode.l_i_version.set(holder.view, 0, count % 2 ** 32);
}

function writeValue(fs: FileSystem, handle: Handle, holder: Inode, value: Uint8Array): void {
  const { blockSize } = fs;
  const blocks = Math.ceil(value.length / blockSize);
  for (let fileBlock = 0; fileBlock < blocks;) {
    const wanted = { fileBlock, count: blocks - fileBlock, purpose: "metadata" } as const;
    const mapping = mapNewBlocks(fs, handle, holder, wanted);
    if (mapping.kind !== "mapped") throw new Error("new blocks that are not mapped");
    const count = Math.min(mapping.count, blocks - fileBlock);
    for (let index = 0; index < count; index++) {
      const at = (fileBlock + index) * blockSize;
      const block = handle.create(mapping.physicalBlock + index);
      block.bytes.set(value.subarray(at, at + blockSize));
    }
    fileBlock += count;
  }
  fs.modifyInode(handle, holder);
  holder.size = value.length;
}

function freeValueInode(fs: FileSystem, handle: Handle, holder: Inode): void {
  let end = Math.ceil(holder.size / fs.blockSize);
  while (end > 0) end = unmapBlocks(fs, handle, holder, 0, end);
  fs.modifyInode(handle, holder);
  holder.size = 0;
  holder.linksCount = 0;
  setReferences(fs, handle, holder, 0);
  holder.dtime = Math.floor(fs.writing.now().sec) % 2 ** 32;
  fs.writing.inodes.free(handle, holder.ino, false);
}
