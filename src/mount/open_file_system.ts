/** Opening the file system of a mount: for writing where that is asked for and safe. */

import type { Device } from "../block/device.ts";
import { concerns, writingConcerns } from "../ext4/superblock/concerns.ts";
import { EXT4_ERROR_FS, Ext4SuperBlock as Sb } from "../disk/superblock.ts";
import { FileSystem, type OpenOptions } from "../ext4/filesystem.ts";
import type { Superblock } from "../ext4/superblock/superblock.ts";
import { findSuperblock } from "../ext4/superblock/superblock_search.ts";
import type { WriteOptions } from "../ext4/writing.ts";
import { Errno } from "../sys/errno.ts";
import { FsError } from "../sys/fs_error.ts";
import { fileTime } from "../sys/system.ts";
import type { Log } from "../sys/log.ts";
import { cannotOpen } from "./image.ts";
import type { MountSettings } from "./settings.ts";

export interface OpenRequest {
  readonly device: Device;
  readonly externalJournal?: Device;
  readonly source: string;
  /** Where it is going to be mounted. */
  readonly mountpoint: string;
  readonly settings: MountSettings;
  readonly log: Log;
}

/** Throws ImageError: whoever mounts tells a bad image from a mount that fails. */
export function openFileSystem(request: OpenRequest): FileSystem {
  const { device, source, settings, log } = request;
  const options: OpenOptions = {
    log,
    superblockBlock: settings.superblockBlock,
    norecovery: settings.norecovery,
    externalJournal: request.externalJournal,
    cacheBytes: settings.cacheBytes,
  };
  try {
    if (settings.readOnly || device.readOnly) return openForReading(request, options);
    const obstacle = findObstacle(request);
    if (obstacle === undefined) return openForWriting(request, options);
    log.warn(`mounting ${source} read-only: ${obstacle}`);
    return openForReading(request, options);
  } catch (error) {
    throw cannotOpen(source, error);
  }
}

/** Why a mount that could be writable is not, or undefined. */
function findObstacle({ device, settings, log }: OpenRequest): string | undefined {
  if (settings.superblockBlock !== undefined) return "a backup superblock is for reading only";
  if (settings.quotaFiles) {
    return "the quota files of usrjquota and grpjquota are not kept up " +
      "(the quota feature is: tune2fs -O quota)";
  }
  return refusalAfterErrors(findSuperblock(device, undefined, log).superblock, settings);
}

/** What damage left may become worse by writing. */
function refusalAfterErrors(superblock: Superblock, settings: MountSettings): string | undefined {
  const hasErrors = (Sb.s_state.get(superblock.view, 0) & EXT4_ERROR_FS) !== 0;
  if (!hasErrors || settings.errors === "continue") return undefined;
  return "errors were found in it before: e2fsck should check it " +
    "(with errors=continue it is writable all the same)";
}

function openForReading({ device, source, log }: OpenRequest, options: OpenOptions): FileSystem {
  const fs = FileSystem.open(device, options);
  for (const concern of concerns(fs)) log.warn(`${source}: ${concern}`);
  return fs;
}

function openForWriting(request: OpenRequest, options: OpenOptions): FileSystem {
  const { device, source, log } = request;
  let fs: FileSystem;
  try {
    fs = FileSystem.open(device, { ...options, write: writeOptions(request) });
  } catch (error) {
    if (!(error instanceof FsError) || error.errno !== Errno.EROFS) throw error;
    log.warn(`mounting ${source} read-only: ${error.message}`);
    return openForReading(request, options);
  }
  const { settings } = request;
  // An error that the journal knew of has come into the superblock.
  const refusal = refusalAfterErrors(fs.superblock, settings);
  if (refusal !== undefined) {
    fs.stopWriting();
    log.warn(`mounting ${source} read-only: ${refusal}`);
    return openForReading(request, options);
  }
  for (const concern of writingConcerns(fs, settings.quotaLimits)) {
    log.warn(`${source}: ${concern}`);
  }
  return fs;
}

function writeOptions({ settings, mountpoint }: OpenRequest): WriteOptions {
  const random = new Uint32Array(1);
  return {
    now: fileTime,
    monotonic: () => performance.now(),
    commitInterval: settings.commitSeconds * 1000,
    barrier: settings.barrier,
    quotaLimits: settings.quotaLimits,
    mountpoint,
    hostName: Deno.hostname(),
    acl: settings.acl,
    random: () => crypto.getRandomValues(random)[0],
  };
}
