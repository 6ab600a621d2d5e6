/**
 * Opening what a file system lies on: a block device or an image file, as a whole or a part of it.
 * Says no to everything else before anything is read from it.
 */

import type { Device } from "../block/device.ts";
import { FileDevice } from "../block/file_device.ts";
import { findPartition } from "../block/partition.ts";
import { Errno, errnoWords } from "../sys/errno.ts";
import { fail, FsError, messageOf } from "../sys/fs_error.ts";
import { tryLock } from "../sys/files.ts";
import type { Log } from "../sys/log.ts";
import { type ByteRange, describeUse, findUses } from "./in_use.ts";

/** Which part of the device to use, and how to read it. */
export interface ImageOptions {
  readonly partition?: number;
  /** Byte at which the file system starts. */
  readonly offset?: number;
  /** Past the page cache. */
  readonly direct?: boolean;
}

/** Opens an image for reading, whoever else uses it. Throws FsError. */
export function openImage(path: string, options: ImageOptions): Device {
  return withImage(path, () => {
    requireMedium(path);
    return openPart(path, findPart(path, options), true, options);
  });
}

/** Opens what holds the journal of a mount. Throws FsError. */
export function openJournalDevice(path: string, readOnly: boolean): Device {
  return withImage(path, () => {
    const isBlockDevice = requireMedium(path).isBlockDevice === true;
    const device = openPart(path, undefined, readOnly, {}, isBlockDevice && !readOnly);
    if (readOnly || isBlockDevice || tryLock(device.fd, "exclusive")) return device;
    device.close();
    throw fail("EBUSY", "another server uses it as a journal");
  });
}

/** What a mount wants of its image. */
export interface MountAccess {
  readonly wantsWriting: boolean;
  /** The kernel will claim the block device itself (fuseblk). */
  readonly claimedByKernel: boolean;
}

/**
 * Opens an image for a mount. One that someone else has mounted is refused to a writer (EBUSY); a
 * reader is warned. One that cannot be opened for writing is opened for reading, with a message.
 */
export function openMountImage(
  path: string,
  options: ImageOptions,
  access: MountAccess,
  log: Log,
): Device {
  return withImage(path, () => {
    const isBlockDevice = requireMedium(path).isBlockDevice === true;
    const part = findPart(path, options);
    checkUses(path, part, access.wantsWriting, log);
    const device = openForMount(path, part, isBlockDevice, options, access, log);
    // A lock on a block device would stop udev from looking at it.
    if (!isBlockDevice) lockImage(device, access.wantsWriting, log);
    return device;
  });
}

/** Names the image in whatever goes wrong. */
function withImage<Result>(path: string, body: () => Result): Result {
  try {
    return body();
  } catch (error) {
    throw cannotOpen(path, error);
  }
}

/** Something is wrong with the image itself, not with mounting or reading it. */
export class ImageError extends FsError {
  /** `Cannot open image x: ...`, with the errno of the cause. */
  constructor(path: string, cause: FsError) {
    super(cause.errno, `Cannot open image ${path}: ${cause.message}`);
  }
}

/** What went wrong, as an ImageError, unless it is one already or no FsError at all. */
export function cannotOpen(path: string, error: unknown): unknown {
  if (!(error instanceof FsError) || error instanceof ImageError) return error;
  return new ImageError(path, error);
}

/** Directories, terminals, pipes: opening some of them would wait for ever. */
function requireMedium(path: string): Deno.FileInfo {
  let info: Deno.FileInfo;
  try {
    info = Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw fail("ENOENT", "no such file or directory");
    if (error instanceof Deno.errors.PermissionDenied) throw fail("EACCES", "permission denied");
    throw fail("EIO", messageOf(error));
  }
  if (info.isDirectory) throw fail("EISDIR", "it is a directory");
  if (!info.isFile && !info.isBlockDevice) {
    throw fail("ENOTBLK", "it is neither a file nor a block device");
  }
  return info;
}

/** The bytes that the options choose; undefined: all. */
function findPart(path: string, options: ImageOptions): ByteRange | undefined {
  if (options.partition !== undefined) {
    const whole = FileDevice.open(path, { readOnly: true });
    try {
      const { start, size } = findPartition(whole, options.partition);
      return { start, size };
    } finally {
      whole.close();
    }
  }
  if (options.offset === undefined) return undefined;
  return { start: options.offset, size: Infinity };
}

function openPart(
  path: string,
  part: ByteRange | undefined,
  readOnly: boolean,
  options: ImageOptions,
  exclusive = false,
): FileDevice {
  try {
    return FileDevice.open(path, {
      readOnly,
      exclusive,
      offset: part?.start,
      size: part?.size === Infinity ? undefined : part?.size,
      direct: options.direct,
    });
  } catch (error) {
    // The path is in the message already, the doing as well.
    if (error instanceof FsError) throw new FsError(error.errno, errnoWords(error.errno));
    throw error;
  }
}

function checkUses(
  path: string,
  part: ByteRange | undefined,
  wantsWriting: boolean,
  log: Log,
): void {
  const uses = findUses(path, part);
  if (uses.length === 0) return;
  const where = uses.map(describeUse).join(", ");
  if (wantsWriting) {
    throw fail("EBUSY", `already mounted on ${where}; -o ro mounts it a second time for reading`);
  }
  log.warn(`${path} is already mounted on ${where}: if it changes there, it changes here as well`);
}

/** What tells that an image cannot be written to, but perhaps be read. */
const NOT_WRITABLE: readonly number[] = [Errno.EACCES, Errno.EPERM, Errno.EROFS, Errno.ETXTBSY];

function openForMount(
  path: string,
  part: ByteRange | undefined,
  isBlockDevice: boolean,
  options: ImageOptions,
  access: MountAccess,
  log: Log,
): FileDevice {
  if (access.wantsWriting) {
    try {
      const exclusive = isBlockDevice && !access.claimedByKernel;
      return openPart(path, part, false, options, exclusive);
    } catch (error) {
      if (!(error instanceof FsError) || !NOT_WRITABLE.includes(error.errno)) throw error;
      log.warn(`${path} cannot be opened for writing: mounting read-only`);
    }
  }
  return openPart(path, part, true, options);
}

/**
 * Marks an image file as served, until it is closed: shared by readers, alone for a writer. Where
 * a mark is in the way, its mount was not to be seen from here: it is in another namespace.
 */
function lockImage(device: FileDevice, wantsWriting: boolean, log: Log): void {
  if (tryLock(device.fd, device.readOnly ? "shared" : "exclusive")) return;
  if (wantsWriting) {
    device.close();
    throw fail("EBUSY", "another server has it mounted; -o ro mounts it for reading");
  }
  log.warn(`${device.name} is mounted by another server: it may change while it is read`);
}
