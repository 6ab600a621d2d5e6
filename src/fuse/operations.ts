/**
 * The operations, one row each: libfuse's name and place for it, and how a request becomes a call
 * of the handler and its result an answer. A new FUSE operation is a row here, a method in
 * handlers.ts, and its structures in wire.ts.
 */

import { Errno } from "../sys/errno.ts";
import { FsError } from "../sys/fs_error.ts";
import type { Log } from "../sys/log.ts";
import type { Handlers } from "./handlers.ts";
import type { Replies } from "./reply.ts";
import type { Request } from "./request.ts";
import * as wire from "./wire.ts";

/** What a row works with. */
export interface Context {
  readonly handlers: Handlers;
  readonly request: Request;
  readonly reply: Replies;
  /** The descriptor of /dev/fuse. */
  readonly fuseFd: number;
  /** The kernel takes ENOSYS to open or opendir as "do it without me from now on". */
  readonly canSkipOpen: boolean;
  readonly canSkipOpendir: boolean;
}

interface Operation {
  readonly name: string;
  /** Place in struct fuse_lowlevel_ops; later versions of libfuse only append to it. */
  readonly slot: number;
  readonly handle: (context: Context) => void;
}

/** init and destroy have other parameters than the rest and are the session's own. */
export const INIT_SLOT = 0;
export const DESTROY_SLOT = 1;
/** Slots of the table that goes to libfuse: up to lseek, which 3.8 brought. */
export const SLOT_COUNT = 44;

export const OPERATIONS: readonly Operation[] = [
  {
    name: "lookup",
    slot: 2,
    handle: ({ handlers, request, reply }) =>
      reply.entry(
        request,
        noEntryIsAnError(handlers, handlers.lookup(request.nodeId, request.name(), request)),
      ),
  },
  {
    name: "forget",
    slot: 3,
    handle: ({ handlers, request, reply }) => {
      handlers.forget(request.nodeId, request.argument(wire.FuseForgetIn.nlookup));
      reply.none(request);
    },
  },
  {
    name: "getattr",
    slot: 4,
    handle: ({ handlers, request, reply }) =>
      reply.attributes(request, handlers.getattr(request.nodeId)),
  },
  {
    name: "readlink",
    slot: 6,
    handle: ({ handlers, request, reply }) =>
      reply.bytes(request, handlers.readlink(request.nodeId)),
  },
  {
    name: "open",
    slot: 14,
    handle: ({ handlers, request, reply, canSkipOpen }) => {
      const flags = request.argument(wire.FuseOpenIn.flags);
      const opened = handlers.open(request.nodeId, flags, request);
      if (opened === undefined && canSkipOpen) reply.error(request, Errno.ENOSYS);
      else reply.open(request, opened ?? { handle: 0, keepCache: true });
    },
  },
  {
    name: "read",
    slot: 15,
    handle: ({ handlers, request, reply, fuseFd }) => {
      const position = request.argument(wire.FuseReadIn.offset);
      const size = request.argument(wire.FuseReadIn.size);
      const handle = request.argument(wire.FuseReadIn.fh);
      reply.data(request, handlers.read(request.nodeId, position, size, handle), fuseFd);
    },
  },
  {
    name: "release",
    slot: 18,
    handle: ({ handlers, request, reply }) => {
      handlers.release(request.nodeId, request.argument(wire.FuseReleaseIn.fh));
      reply.error(request, 0);
    },
  },
  {
    name: "opendir",
    slot: 20,
    handle: ({ handlers, request, reply, canSkipOpendir }) => {
      const opened = handlers.opendir(request.nodeId, request);
      if (opened === undefined && canSkipOpendir) reply.error(request, Errno.ENOSYS);
      else reply.open(request, opened ?? { handle: 0, keepCache: true, cacheReaddir: true });
    },
  },
  {
    name: "readdir",
    slot: 21,
    handle: ({ handlers, request, reply }) => {
      const rows = reply.rows(request.argument(wire.FuseReadIn.size));
      const position = request.argument(wire.FuseReadIn.offset);
      handlers.readdir(request.nodeId, position, (row) => rows.add(row));
      reply.listing(request, rows);
    },
  },
  {
    name: "releasedir",
    slot: 22,
    handle: ({ handlers, request, reply }) => {
      handlers.releasedir(request.nodeId, request.argument(wire.FuseReleaseIn.fh));
      reply.error(request, 0);
    },
  },
  {
    name: "statfs",
    slot: 24,
    handle: ({ handlers, request, reply }) =>
      reply.statfs(request, handlers.statfs(request.nodeId)),
  },
  {
    name: "getxattr",
    slot: 26,
    handle: ({ handlers, request, reply }) => {
      const name = request.name(wire.FuseGetxattrIn.byteLength);
      const value = handlers.getxattr(request.nodeId, name);
      if (value === undefined) reply.error(request, Errno.ENODATA);
      else replySized(request, reply, value);
    },
  },
  {
    name: "listxattr",
    slot: 27,
    handle: ({ handlers, request, reply }) =>
      replySized(request, reply, handlers.listxattr(request.nodeId, request)),
  },
  {
    name: "access",
    slot: 29,
    handle: ({ handlers, request, reply }) => {
      handlers.access(request.nodeId, request.argument(wire.FuseAccessIn.mask), request);
      reply.error(request, 0);
    },
  },
  {
    name: "bmap",
    slot: 33,
    handle: ({ handlers, request, reply }) => {
      const block = request.argument(wire.FuseBmapIn.block);
      const blockSize = request.argument(wire.FuseBmapIn.blocksize);
      reply.bmap(request, handlers.bmap(request.nodeId, blockSize, block));
    },
  },
  {
    name: "ioctl",
    slot: 34,
    handle: ({ handlers, request, reply }) => {
      const { FuseIoctlIn: In } = wire;
      const input = request.data(In.byteLength, request.argument(In.in_size));
      const outputSize = request.argument(In.out_size);
      const command = request.argument(In.cmd);
      reply.ioctl(
        request,
        handlers.ioctl(request.nodeId, command, input, outputSize, request),
      );
    },
  },
  {
    name: "forget_multi",
    slot: 38,
    handle: ({ handlers, request, reply }) => {
      const { FuseBatchForgetIn: In, FuseForgetOne: One } = wire;
      const count = request.argument(In.count);
      for (let index = 0; index < count; index++) {
        const at = In.byteLength + index * One.byteLength;
        handlers.forget(request.argumentAt(One.nodeid, at), request.argumentAt(One.nlookup, at));
      }
      reply.none(request);
    },
  },
  {
    name: "readdirplus",
    slot: 41,
    handle: ({ handlers, request, reply }) => {
      const rows = reply.rows(request.argument(wire.FuseReadIn.size));
      const position = request.argument(wire.FuseReadIn.offset);
      handlers.readdirplus(request.nodeId, position, (row, entry) => rows.addPlus(row, entry));
      reply.listing(request, rows);
    },
  },
  {
    name: "lseek",
    slot: 43,
    handle: ({ handlers, request, reply }) => {
      const { FuseLseekIn: In } = wire;
      const position = request.argument(In.offset);
      reply.lseek(
        request,
        handlers.lseek(request.nodeId, position, request.argument(In.whence)),
      );
    },
  },
];

/** Without a time to remember it for, a missing name is answered as the error that it is. */
function noEntryIsAnError<Found>(handlers: Handlers, entry: Found | undefined): Found | undefined {
  if (entry === undefined && handlers.timeouts.negativeEntry === 0) {
    throw new FsError(Errno.ENOENT, "No such name");
  }
  return entry;
}

/** A value or list goes out when there is room for it; no room at all asks for its size. */
function replySized(request: Request, reply: Replies, content: Uint8Array): void {
  const room = request.argument(wire.FuseGetxattrIn.size);
  if (room === 0) reply.xattrSize(request, content.length);
  else if (content.length > room) reply.error(request, Errno.ERANGE);
  else reply.bytes(request, content);
}

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
