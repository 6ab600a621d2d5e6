/**
 * The operations: one row for each request of the kernel (linux/fuse.h), in three tables, of those
 * that read (reading_operations.ts), of those that change (changing_operations.ts), and of those by
 * which the kernel does file I/O itself (iomap_operations.ts). A row says how a request becomes a
 * call of the handler and its result an answer. A new FUSE operation is a row in one of them, a
 * method in handlers.ts, and its structures in wire.ts.
 */

import { Errno } from "../sys/errno.ts";
import { FsError } from "../sys/fs_error.ts";
import type { Log } from "../sys/log.ts";
import { CHANGING_OPERATIONS } from "./changing_operations.ts";
import type { ChangeHandlers, Handlers } from "./handlers.ts";
import { IOMAP_OPERATIONS } from "./iomap_operations.ts";
import { READING_OPERATIONS } from "./reading_operations.ts";
import type { Replies } from "./reply.ts";
import type { Request } from "./request.ts";

/** What a row works with. */
export interface Context {
  readonly handlers: Handlers;
  /** Throws EROFS where the file system is read-only. */
  readonly changes: ChangeHandlers;
  readonly request: Request;
  readonly reply: Replies;
  /** The kernel takes ENOSYS to open or opendir as "do it without me from now on". */
  readonly canSkipOpen: boolean;
  readonly canSkipOpendir: boolean;
  readonly hasLongSetxattr: boolean;
  /** The request is answered after the next commit. */
  readonly awaitCommit: () => void;
}

export interface Operation {
  /** As in the kernel's FUSE_*. */
  readonly name: string;
  readonly opcode: number;
  /** The structure at the beginning of its arguments: a shorter request is EINVAL. */
  readonly takes?: { readonly byteLength: number };
  /** Asked of a file or folder that the caller has open, perhaps as a gift of another user. */
  readonly isOnOpenFile?: boolean;
  /** Nobody waits for it. */
  readonly hasNoAnswer?: boolean;
  /** The kernel lets go of something: never refused. */
  readonly isFarewell?: boolean;
  readonly handle: (context: Context) => void;
}

export const OPERATIONS: readonly Operation[] = [
  ...READING_OPERATIONS,
  ...CHANGING_OPERATIONS,
  ...IOMAP_OPERATIONS,
];

/** Damage and failures of the device are worth a line; what a caller asked amiss is not. */
const WORTH_LOGGING: ReadonlySet<number> = new Set([Errno.EIO, Errno.EUCLEAN, Errno.EBADMSG]);

/**
 * The errno to answer with. Damage and device errors are logged once; an error that is no FsError
 * is a defect in fuse4fs and is logged with its stack.
 */
export function errnoOf(error: unknown, name: string, log: Log): number {
  if (!(error instanceof FsError)) {
    const stack = error instanceof Error ? error.stack : String(error);
    log.error(`internal error in ${name}: ${stack}`);
    return Errno.EIO;
  }
  if (WORTH_LOGGING.has(error.errno) && !error.logged) {
    error.logged = true;
    log.error(`${name}: ${error.message}`);
  } else {
    log.debug(`${name}: ${error.code}: ${error.message}`);
  }
  return error.errno;
}
