/**
 * INIT, the first request: what the server asks of the kernel, and what it then may rely on.
 *
 * It is answered here and not by libfuse, which offers what its own version knows: so the same is
 * agreed upon with every libfuse, and what newer kernels have can be used with older ones.
 */

import { fail } from "../sys/fs_error.ts";
import { FUSE_IOMAP } from "./iomap_wire.ts";
import type { Request } from "./request.ts";
import * as wire from "./wire.ts";

/** What the kernel agreed to. */
export interface Connection {
  readonly protocolMajor: number;
  readonly protocolMinor: number;
  /** FUSE_* flags, of which the kernel offered each. */
  readonly flags: number;
  readonly flags2: number;
  /** The kernel takes ENOSYS to open or opendir as "do it without me from now on". */
  readonly canSkipOpen: boolean;
  readonly canSkipOpendir: boolean;
  /** SETXATTR has its longer form. */
  readonly hasLongSetxattr: boolean;
  /** The kernel offered FUSE iomap, whether it was taken or not. */
  readonly offersIomap: boolean;
  /** The kernel reads and writes file data itself: it configures that next. */
  readonly hasIomap: boolean;
}

export interface Wishes {
  /** Let the kernel check POSIX ACLs, which includes that creating applies the umask. */
  readonly posixAcl: boolean;
  /** Files will be written to. */
  readonly writing: boolean;
  /** Let the kernel read and write file data itself. */
  readonly iomap: boolean;
}

/** The kernel's major version never changed; 7.23 (Linux 3.15) has INIT in its present form. */
const MAJOR = 7;
const OLDEST_MINOR = 23;
/** The newest version whose requests were looked at. */
const NEWEST_MINOR = 45;

/**
 * Not among them is FUSE_AUTO_INVAL_DATA: nobody else changes the files, so the kernel need not
 * compare times to find out whether its cache is stale. Nor FUSE_ATOMIC_O_TRUNC: with opens that
 * are not asked for, it would make the kernel forget to truncate. Nor FUSE_READDIRPLUS_AUTO: the
 * kernel's guess whether attributes are wanted fails from the second piece of a listing on, and
 * each of its names is then looked up. The handlers know better.
 */
const WANTED = wire.FUSE_ASYNC_READ | wire.FUSE_EXPORT_SUPPORT | wire.FUSE_BIG_WRITES |
  wire.FUSE_HAS_IOCTL_DIR | wire.FUSE_DO_READDIRPLUS | wire.FUSE_ASYNC_DIO |
  wire.FUSE_PARALLEL_DIROPS | wire.FUSE_MAX_PAGES | wire.FUSE_CACHE_SYMLINKS |
  wire.FUSE_INIT_EXT;

/**
 * - WRITEBACK_CACHE: the kernel gathers small writes, and owns size and times of cached files
 * - HANDLE_KILLPRIV_V2: the server takes set-user-ID bits away when told to; otherwise the kernel
 *   would ask for security.capability before each write
 * - DONT_MASK: the umask comes along, since a default ACL takes its place
 */
const WANTED_FOR_WRITING = wire.FUSE_WRITEBACK_CACHE | wire.FUSE_HANDLE_KILLPRIV_V2 |
  wire.FUSE_SETXATTR_EXT | wire.FUSE_DONT_MASK;

/** Largest read and write in one request, and largest read-ahead; the kernel may want less. */
export const MAX_TRANSFER = 1 << 20;

const PAGE_SIZE = 4096;

/** What is agreed upon. Throws EPROTO for a kernel that is too old or speaks otherwise. */
export function negotiate(request: Request, { posixAcl, writing, iomap }: Wishes): Connection {
  const protocolMajor = request.argument(wire.FuseInitIn.major);
  const protocolMinor = request.argument(wire.FuseInitIn.minor);
  if (protocolMajor !== MAJOR || protocolMinor < OLDEST_MINOR) {
    throw fail("EPROTO", `The kernel speaks version ${protocolMajor}.${protocolMinor} of FUSE`);
  }
  const offered = request.argument(wire.FuseInitIn.flags);
  const wanted = WANTED | (posixAcl ? wire.FUSE_POSIX_ACL : 0) |
    (writing ? WANTED_FOR_WRITING : 0);
  const flags = wanted & offered;
  // Older kernels do not send the second word, and what stands there is of no meaning.
  const hasMore = (flags & wire.FUSE_INIT_EXT) !== 0 &&
    request.argumentsLength >= wire.FuseInitIn.flags2.offset + wire.FuseInitIn.flags2.size;
  const offered2 = hasMore ? request.argument(wire.FuseInitIn.flags2) : 0;
  const flags2 = iomap ? FUSE_IOMAP & offered2 : 0;
  return {
    protocolMajor,
    protocolMinor: Math.min(protocolMinor, NEWEST_MINOR),
    flags,
    flags2,
    canSkipOpen: (offered & wire.FUSE_NO_OPEN_SUPPORT) !== 0,
    canSkipOpendir: (offered & wire.FUSE_NO_OPENDIR_SUPPORT) !== 0,
    hasLongSetxattr: (flags & wire.FUSE_SETXATTR_EXT) !== 0,
    offersIomap: (offered2 & FUSE_IOMAP) !== 0,
    hasIomap: (flags2 & FUSE_IOMAP) !== 0,
  };
}

/**
 * Fills in the answer to INIT.
 * @param timeGranularity nanoseconds between two times that can be told apart
 */
export function putInitAnswer(
  view: DataView,
  request: Request,
  connection: Connection,
  timeGranularity: number,
): void {
  const { FuseInitOut: Out } = wire;
  const readahead = request.argument(wire.FuseInitIn.max_readahead);
  Out.major.set(view, 0, connection.protocolMajor);
  Out.minor.set(view, 0, connection.protocolMinor);
  Out.max_readahead.set(view, 0, Math.min(readahead, MAX_TRANSFER));
  Out.flags.set(view, 0, connection.flags);
  // How many requests the kernel sends ahead is left to it.
  Out.max_background.set(view, 0, 0);
  Out.congestion_threshold.set(view, 0, 0);
  Out.max_write.set(view, 0, MAX_TRANSFER);
  Out.time_gran.set(view, 0, timeGranularity);
  Out.max_pages.set(view, 0, MAX_TRANSFER / PAGE_SIZE);
  Out.map_alignment.set(view, 0, 0);
  Out.flags2.set(view, 0, connection.flags2);
  Out.unused.get(view, 0).fill(0);
}
