/**
 * What the superblock tells of mounts: whether the file system is in use, was left in order, when
 * it was mounted and where, and how much is free in it.
 *
 * Everything here but the free counts is written to the superblock's place on the device at once,
 * past the journal: it must be there before the journal is used, and when the journal cannot be
 * used any more. The bytes that fs.superblock and the cache hold change with it, so that whatever
 * is committed later has the changes, too.
 */

import { INCOMPAT, RO_COMPAT } from "../../disk/features.ts";
import type { Field } from "../../disk/struct.ts";
import {
  EXT4_ERROR_FS,
  EXT4_VALID_FS,
  Ext4SuperBlock as Sb,
  SUPERBLOCK_OFFSET,
} from "../../disk/superblock.ts";
import type { Handle } from "../../jbd2/handle.ts";
import type { FileSystem } from "../filesystem.ts";
import { modifySuperblock, sealSuperblock } from "./superblock_write.ts";

/**
 * Changes the superblock on the device, in memory, and, where it is, in the cache. Durable when it
 * returns. Not to be called inside an operation.
 * @param change is called for each of these copies, and does the same to each
 */
export function changeSuperblockInPlace(
  fs: FileSystem,
  change: (view: DataView<ArrayBuffer>) => void,
): void {
  const { superblock, device, cache, blockSize } = fs;
  const raw = new Uint8Array(Sb.byteLength);
  device.read(raw, SUPERBLOCK_OFFSET);
  const cached = cache.peek(Math.floor(SUPERBLOCK_OFFSET / blockSize));
  const copies = [new DataView(raw.buffer), superblock.view];
  if (cached !== undefined) {
    const at = cached.bytes.byteOffset + SUPERBLOCK_OFFSET % blockSize;
    copies.push(new DataView(cached.bytes.buffer, at, Sb.byteLength));
  }
  for (const view of copies) {
    change(view);
    sealSuperblock({ view, hasMetadataChecksums: superblock.hasMetadataChecksums });
  }
  superblock.readFeatures();
  device.write(raw, SUPERBLOCK_OFFSET);
  device.flush();
}

/** A time of the superblock has 40 bits: the upper ones were added elsewhere. */
export function setSuperblockTime(
  view: DataView,
  low: Field<number>,
  high: Field<number>,
  seconds: number,
): void {
  low.set(view, 0, seconds % 2 ** 32);
  high.set(view, 0, Math.floor(seconds / 2 ** 32));
}

/** What is to be told at the start of writing. */
export interface MountFacts {
  /** Seconds since 1970. */
  readonly now: number;
  readonly usesJournal: boolean;
  /** The journal says that an earlier mount ended with an error. */
  readonly journalHadError: boolean;
  /** Where it is mounted. */
  readonly mountpoint: string | undefined;
}

/** The file system is in use, and a crash would leave it so. */
export function markInUse(fs: FileSystem, facts: MountFacts): void {
  const counts = freeCounts(fs);
  const hasOrphanFile = fs.superblock.features.has("orphan_file");
  changeSuperblockInPlace(fs, (view) => {
    if (facts.usesJournal) setBits(view, Sb.s_feature_incompat, INCOMPAT.needs_recovery, true);
    else setBits(view, Sb.s_state, EXT4_VALID_FS, false);
    if (facts.journalHadError) setBits(view, Sb.s_state, EXT4_ERROR_FS, true);
    if (hasOrphanFile) setBits(view, Sb.s_feature_ro_compat, RO_COMPAT.orphan_present, true);
    setSuperblockTime(view, Sb.s_mtime, Sb.s_mtime_hi, facts.now);
    setSuperblockTime(view, Sb.s_wtime, Sb.s_wtime_hi, facts.now);
    Sb.s_mnt_count.set(view, 0, (Sb.s_mnt_count.get(view, 0) + 1) % 2 ** 16);
    if (facts.mountpoint !== undefined) setLastMounted(view, facts.mountpoint);
    setFreeCounts(view, counts);
  });
}

/** How a file system is left after its last write-back. */
export interface EndFacts {
  /** Seconds since 1970. */
  readonly now: number;
  /** It was in order when writing started: EXT4_VALID_FS. */
  readonly wasValid: boolean;
  /** Nothing is left in the orphan file. */
  readonly hasNoOrphans: boolean;
  /** How much was written since the start. */
  readonly kilobytesWritten: number;
}

/** The file system is in order, as far as it was before. */
export function markUnused(fs: FileSystem, facts: EndFacts): void {
  const counts = freeCounts(fs);
  changeSuperblockInPlace(fs, (view) => {
    setBits(view, Sb.s_feature_incompat, INCOMPAT.needs_recovery, false);
    if (facts.hasNoOrphans) {
      setBits(view, Sb.s_feature_ro_compat, RO_COMPAT.orphan_present, false);
    }
    setBits(view, Sb.s_state, EXT4_VALID_FS, facts.wasValid);
    setSuperblockTime(view, Sb.s_wtime, Sb.s_wtime_hi, facts.now);
    Sb.s_kbytes_written.set(
      view,
      0,
      Sb.s_kbytes_written.get(view, 0) + facts.kilobytesWritten,
    );
    setFreeCounts(view, counts);
  });
}

/**
 * Brings the superblock's free counts up to date, as part of a transaction: after a crash, e2fsck
 * finds them in agreement with the groups'. Does nothing where they are already.
 */
export function updateFreeCounts(fs: FileSystem, handle: Handle, now: number): void {
  const counts = freeCounts(fs);
  const { view } = fs.superblock;
  if (
    freeBlocksIn(view) === counts.blocks && Sb.s_free_inodes_count.get(view, 0) === counts.inodes
  ) return;
  modifySuperblock(fs, handle);
  setFreeCounts(view, counts);
  setSuperblockTime(view, Sb.s_wtime, Sb.s_wtime_hi, now);
}

interface FreeCounts {
  readonly blocks: number;
  readonly inodes: number;
}

function freeCounts({ groups, superblock }: FileSystem): FreeCounts {
  const { freeClusters, freeInodes } = groups.totals.all;
  return { blocks: freeClusters * superblock.clusterRatio, inodes: freeInodes };
}

/** The high half is only in use with 64bit; without it, it is zero. */
function freeBlocksIn(view: DataView): number {
  return Sb.s_free_blocks_count_hi.get(view, 0) * 2 ** 32 + Sb.s_free_blocks_count_lo.get(view, 0);
}

function setFreeCounts(view: DataView, { blocks, inodes }: FreeCounts): void {
  Sb.s_free_blocks_count_lo.set(view, 0, blocks % 2 ** 32);
  Sb.s_free_blocks_count_hi.set(view, 0, Math.floor(blocks / 2 ** 32));
  Sb.s_free_inodes_count.set(view, 0, inodes);
}

/** As many bytes of the path as there is room for, with a NUL at the end. */
function setLastMounted(view: DataView, path: string): void {
  const field = Sb.s_last_mounted.get(view, 0);
  field.fill(0);
  new TextEncoder().encodeInto(path, field.subarray(0, field.length - 1));
}

function setBits(view: DataView, field: Field<number>, mask: number, on: boolean): void {
  const bits = field.get(view, 0);
  field.set(view, 0, on ? bits | mask : bits & ~mask);
}
