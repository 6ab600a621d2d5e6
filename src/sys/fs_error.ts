/**
 * The one error channel of fuse4fs. Everything below the command line throws FsError and nothing
 * else on purpose; expected absence (no such name, no such attribute) is a return value instead.
 * Only src/fuse turns an FsError into the errno of a reply, and only src/cli into an exit code.
 */

import { Errno, type ErrnoName, errnoName } from "./errno.ts";

/** Where on the disk an error was met, for the log line. */
export interface DiskPlace {
  /** Inode number. */
  readonly ino?: number;
  /** File-system block number. */
  readonly block?: number;
  /** Block group number. */
  readonly group?: number;
}

/** An error with the errno that the caller of the file system gets. */
export class FsError extends Error {
  override readonly name = "FsError";
  /** The number, one of {@linkcode Errno}. */
  readonly errno: number;
  /** Where it was met, when that is known. */
  readonly place: DiskPlace;
  /** Set once the error is in the log, so that no layer above logs it again. */
  logged = false;

  constructor(errno: number, message: string, place: DiskPlace = {}) {
    super(message + describePlace(place));
    this.errno = errno;
    this.place = place;
  }

  /** The symbolic name of the errno, such as `EUCLEAN`. */
  get code(): string {
    return errnoName(this.errno);
  }

  /** True for damage found on the disk, which the superblock's error fields record. */
  get isCorruption(): boolean {
    return this.errno === Errno.EUCLEAN || this.errno === Errno.EBADMSG;
  }
}

/** Runs `read`; an error that does not say where it was met gets `place`. */
export function atPlace<Result>(place: DiskPlace, read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof FsError) || Object.keys(error.place).length > 0) throw error;
    throw new FsError(error.errno, error.message, place);
  }
}

/** What was thrown, in its own words. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function describePlace(place: DiskPlace): string {
  const parts: string[] = [];
  if (place.ino !== undefined) parts.push(`inode ${place.ino}`);
  if (place.group !== undefined) parts.push(`group ${place.group}`);
  if (place.block !== undefined) parts.push(`block ${place.block}`);
  return parts.length === 0 ? "" : ` (${parts.join(", ")})`;
}

/** An ordinary failure: `fail("ENOTDIR", "Cannot list /a: not a directory")`. */
export function fail(code: ErrnoName, message: string, place?: DiskPlace): FsError {
  return new FsError(Errno[code], message, place);
}

/**
 * Damage found in a structure: `throw corrupt("extent magic 0x0000", { ino, block })`. The caller
 * of the file system gets EUCLEAN, as from the kernel's ext4.
 */
export function corrupt(what: string, place?: DiskPlace): FsError {
  return new FsError(Errno.EUCLEAN, `Corrupt ${what}`, place);
}

/** A structure whose checksum does not fit its content: EBADMSG, as from the kernel's ext4. */
export function badChecksum(structure: string, place?: DiskPlace): FsError {
  return new FsError(Errno.EBADMSG, `Bad checksum of ${structure}`, place);
}
