/** Finds the superblock to use: the primary one, or a backup that is asked for or needed. */

import type { Device } from "../../block/device.ts";
import { EXT4_SUPER_MAGIC, Ext4SuperBlock, SUPERBLOCK_OFFSET } from "../../disk/superblock.ts";
import { fail, FsError } from "../../sys/fs_error.ts";
import { foreignContent } from "./foreign.ts";
import type { Log } from "../../sys/log.ts";
import { Superblock } from "./superblock.ts";

const BLOCK_SIZES = [1024, 2048, 4096, 8192, 16384, 32768, 65536];

/** A superblock, and the block of the file system it was found in when it is not the primary one. */
export interface FoundSuperblock {
  readonly superblock: Superblock;
  readonly block: number | undefined;
}

/**
 * The superblock in block `wanted` (as e2fsck -b counts; else in KiB), else the primary one, else,
 * with a warning, the first backup that makes sense. Throws what is wrong with the primary one when
 * there is none, and EINVAL where something else than ext4 has taken its place.
 */
export function findSuperblock(
  device: Device,
  wanted: number | undefined,
  log: Log,
): FoundSuperblock {
  if (wanted !== undefined) return requestedBackup(device, wanted);
  try {
    return { superblock: Superblock.read(device), block: undefined };
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    const foreign = hasMagic(device) ? undefined : foreignContent(device);
    if (foreign !== undefined) {
      throw fail("EINVAL", `not an ext2, ext3 or ext4 file system, but ${foreign}`);
    }
    const backup = firstBackup(device);
    if (backup === undefined) throw error;
    log.warn(
      `${device.name}: primary superblock: ${error.message}; ` +
        `using the backup in block ${backup.block}`,
    );
    return backup;
  }
}

/** False where something else was written over the place of the primary superblock. */
function hasMagic(device: Device): boolean {
  const magic = new Uint8Array(2);
  try {
    device.read(magic, SUPERBLOCK_OFFSET + Ext4SuperBlock.s_magic.offset);
  } catch (error) {
    if (error instanceof FsError) return false;
    throw error;
  }
  return magic[0] + magic[1] * 256 === EXT4_SUPER_MAGIC;
}

function requestedBackup(device: Device, block: number): FoundSuperblock {
  for (const blockSize of BLOCK_SIZES) {
    // Block 0 and, with blocks of 1 KiB, block 1 hold the primary superblock.
    if (block * blockSize <= SUPERBLOCK_OFFSET) {
      return { superblock: Superblock.read(device), block: undefined };
    }
    const superblock = backupAt(device, block, blockSize);
    if (superblock !== undefined) return { superblock, block };
  }
  // The kernel's option of this name counts in KiB: fstab lines may carry such a number.
  const counted = backupAtByte(device, block * 1024);
  if (counted !== undefined) return counted;
  throw fail("EINVAL", `no superblock in block ${block}, whatever the block size`);
}

/** How far the search for a backup in an unusual place goes, in bytes. */
const SEARCH_LIMIT = 256 << 20;
const SEARCH_STEP = 1 << 20;
/** Places that are looked at more closely. Two bytes are easily the magic number. */
const MOST_CANDIDATES = 4096;
/** Superblocks start at multiples of the smallest block. */
const SMALLEST_BLOCK = 1024;

/** Where mke2fs usually puts the first backups, then anywhere in the first part of the device. */
function firstBackup(device: Device): FoundSuperblock | undefined {
  for (const blockSize of BLOCK_SIZES) {
    const blocksPerGroup = 8 * blockSize;
    const first = blockSize === 1024 ? 1 : 0;
    for (const group of [1, 3, 5]) {
      const block = first + group * blocksPerGroup;
      const superblock = backupAt(device, block, blockSize);
      if (superblock !== undefined) return { superblock, block };
    }
  }
  return searchBackup(device);
}

function searchBackup(device: Device): FoundSuperblock | undefined {
  const limit = Math.min(device.size, SEARCH_LIMIT);
  const magicAt = Ext4SuperBlock.s_magic.offset;
  let candidates = 0;
  for (let start = 0; start < limit; start += SEARCH_STEP) {
    const piece = new Uint8Array(Math.min(SEARCH_STEP, limit - start));
    try {
      device.read(piece, start);
    } catch (error) {
      if (error instanceof FsError) continue;
      throw error;
    }
    const view = new DataView(piece.buffer);
    for (let at = 0; at + Ext4SuperBlock.byteLength <= piece.length; at += SMALLEST_BLOCK) {
      if (start + at <= SUPERBLOCK_OFFSET) continue;
      if (view.getUint16(at + magicAt, true) !== EXT4_SUPER_MAGIC) continue;
      if (++candidates > MOST_CANDIDATES) return undefined;
      const found = backupAtByte(device, start + at);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

function backupAtByte(device: Device, position: number): FoundSuperblock | undefined {
  for (const blockSize of BLOCK_SIZES) {
    if (position % blockSize !== 0) continue;
    const block = position / blockSize;
    const superblock = backupAt(device, block, blockSize);
    if (superblock !== undefined) return { superblock, block };
  }
  return undefined;
}

/** The backup in a block, or undefined when there is none that makes sense. */
function backupAt(device: Device, block: number, blockSize: number): Superblock | undefined {
  const position = block * blockSize;
  if (position + Ext4SuperBlock.byteLength > device.size) return undefined;
  const magic = new Uint8Array(2);
  try {
    device.read(magic, position + Ext4SuperBlock.s_magic.offset);
    if (magic[0] + magic[1] * 256 !== EXT4_SUPER_MAGIC) return undefined;
    const superblock = Superblock.read(device, position);
    // Data that merely looks like a superblock would not know its own place.
    const isHere = superblock.blockSize === blockSize &&
      superblock.groupStart(Ext4SuperBlock.s_block_group_nr.get(superblock.view, 0)) === block;
    return isHere ? superblock : undefined;
  } catch (error) {
    if (error instanceof FsError) return undefined;
    throw error;
  }
}
