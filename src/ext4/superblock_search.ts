/** Finds the superblock to use: the primary one, or a backup that is asked for or needed. */

import type { Device } from "../block/device.ts";
import { EXT4_SUPER_MAGIC, Ext4SuperBlock, SUPERBLOCK_OFFSET } from "../disk/superblock.ts";
import { fail, FsError } from "../sys/fs_error.ts";
import type { Log } from "../sys/log.ts";
import { Superblock } from "./superblock.ts";

const BLOCK_SIZES = [1024, 2048, 4096, 8192, 16384, 32768, 65536];

/** A superblock, and the block it was found in when it is not the primary one. */
export interface FoundSuperblock {
  readonly superblock: Superblock;
  readonly block: number | undefined;
}

/**
 * The superblock in block `wanted`, else the primary one, else, with a warning, the first backup
 * that makes sense. Throws what is wrong with the primary one when there is none.
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
    const backup = firstBackup(device);
    if (backup === undefined) throw error;
    log.warn(
      `${device.name}: primary superblock: ${error.message}; ` +
        `using the backup in block ${backup.block}`,
    );
    return backup;
  }
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
  throw fail("EINVAL", `no superblock in block ${block}, whatever the block size`);
}

/** Looks where mke2fs puts the first backups: at the start of groups 1, 3 and 5 of the usual size. */
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
