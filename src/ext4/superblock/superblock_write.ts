/**
 * Changes to the superblock. They are made on the bytes that fs.superblock holds, and go into the
 * block, with their checksum, when the operation succeeds. Backups are left alone, as by
 * the kernel, but for the label (label.ts).
 */

import type { Block } from "../../block/block_cache.ts";
import { crc32c } from "../../disk/crc32c.ts";
import { type FeatureName, RO_COMPAT } from "../../disk/features.ts";
import {
  EXT4_DYNAMIC_REV,
  EXT4_GOOD_OLD_REV,
  Ext4SuperBlock as Sb,
  SUPERBLOCK_OFFSET,
} from "../../disk/superblock.ts";
import type { Handle } from "../../jbd2/handle.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Superblock } from "./superblock.ts";

/** The superblock before the operation: there is never more than one. */
const beforeOperation = new Uint8Array(Sb.byteLength);

/**
 * Announces changes and returns the superblock's 1024 bytes for `Ext4SuperBlock`'s accessors at 0.
 * Geometry must not be changed: it was read once.
 */
export function modifySuperblock(fs: FileSystem, handle: Handle): DataView<ArrayBuffer> {
  const { superblock } = fs;
  const { view } = superblock;
  handle.enlist(superblock, () => {
    beforeOperation.set(bytesOf(view));
    return {
      undo() {
        bytesOf(view).set(beforeOperation);
        superblock.readFeatures();
      },
      finish: () => store(fs, handle),
    };
  });
  return view;
}

/** Switches a feature on or off, such as large_file when the first large file comes. */
export function setFeature(
  fs: FileSystem,
  handle: Handle,
  name: FeatureName,
  on: boolean,
): void {
  if (fs.superblock.features.has(name) === on) return;
  const view = modifySuperblock(fs, handle);
  if (Sb.s_rev_level.get(view, 0) === EXT4_GOOD_OLD_REV) makeDynamic(fs.superblock);
  fs.superblock.features.set(name, on);
  fs.superblock.storeFeatures();
}

/** The first revision of the superblock knows no features: the next one does, and is the same else. */
function makeDynamic({ view, firstInode, inodeSize }: Superblock): void {
  Sb.s_rev_level.set(view, 0, EXT4_DYNAMIC_REV);
  Sb.s_first_ino.set(view, 0, firstInode);
  Sb.s_inode_size.set(view, 0, inodeSize);
}

function store(fs: FileSystem, handle: Handle): void {
  const block = fs.cache.read(Math.floor(SUPERBLOCK_OFFSET / fs.blockSize));
  handle.modify(block, sealBlock);
  block.bytes.set(bytesOf(fs.superblock.view), SUPERBLOCK_OFFSET % fs.blockSize);
}

/** Fills in the checksum of the superblock in its block. */
function sealBlock({ bytes }: Block): void {
  const at = bytes.byteOffset + SUPERBLOCK_OFFSET % bytes.length;
  const view = new DataView(bytes.buffer, at, Sb.byteLength);
  const roCompat = Sb.s_feature_ro_compat.get(view, 0);
  const hasMetadataChecksums = (roCompat & RO_COMPAT.metadata_csum) !== 0;
  sealSuperblock({ view, hasMetadataChecksums });
}

/** Fills in s_checksum, where the file system has one. */
export function sealSuperblock(
  { view, hasMetadataChecksums }: Pick<Superblock, "view" | "hasMetadataChecksums">,
): void {
  if (hasMetadataChecksums) Sb.s_checksum.set(view, 0, checksum(view));
}

/** True for a superblock whose checksum fits, and for one without. */
export function hasValidChecksum(
  { view, hasMetadataChecksums }: Pick<Superblock, "view" | "hasMetadataChecksums">,
): boolean {
  return !hasMetadataChecksums || Sb.s_checksum.get(view, 0) === checksum(view);
}

function checksum(view: DataView<ArrayBuffer>): number {
  return crc32c(0xffffffff, bytesOf(view), 0, Sb.s_checksum.offset);
}

function bytesOf(view: DataView<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(view.buffer, view.byteOffset, Sb.byteLength);
}
