/**
 * The operations, one row each: the kernel's name and number for it (linux/fuse.h), and how a
 * request becomes a call of the handler and its result an answer. A new FUSE operation is a row
 * here, a method in handlers.ts, and its structures in wire.ts.
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
  /** The kernel takes ENOSYS to open or opendir as "do it without me from now on". */
  readonly canSkipOpen: boolean;
  readonly canSkipOpendir: boolean;
}

export interface Operation {
  readonly name: string;
  readonly opcode: number;
  /** Asked of a file or folder that the caller has open, perhaps as a gift of another user. */
  readonly isOnOpenFile?: boolean;
  readonly handle: (context: Context) => void;
}

export const OPERATIONS: readonly Operation[] = [
  {
    name: "lookup",
    opcode: 1,
    handle: ({ handlers, request, reply }) =>
      reply.entry(
        request,
        noEntryIsAnError(handlers, handlers.lookup(request.nodeId, request.name(), request)),
      ),
  },
  {
    name: "forget",
    opcode: 2,
    // Has no answer, as the next one.
    handle: ({ handlers, request }) => {
      handlers.forget(request.nodeId, request.argument(wire.FuseForgetIn.nlookup));
    },
  },
  {
    name: "getattr",
    opcode: 3,
    handle: ({ handlers, request, reply }) =>
      reply.attributes(request, handlers.getattr(request.nodeId)),
  },
  {
    name: "readlink",
    opcode: 5,
    handle: ({ handlers, request, reply }) =>
      reply.bytes(request, handlers.readlink(request.nodeId)),
  },
  {
    name: "open",
    opcode: 14,
    handle: ({ handlers, request, reply, canSkipOpen }) => {
      const flags = request.argument(wire.FuseOpenIn.flags);
      const opened = handlers.open(request.nodeId, flags, request);
      if (opened === undefined && canSkipOpen) reply.error(request, Errno.ENOSYS);
      else reply.open(request, opened ?? { handle: 0, keepCache: true });
    },
  },
  {
    name: "read",
    opcode: 15,
    isOnOpenFile: true,
    handle: ({ handlers, request, reply }) => {
      const position = request.argument(wire.FuseReadIn.offset);
      const size = request.argument(wire.FuseReadIn.size);
      const handle = request.argument(wire.FuseReadIn.fh);
      reply.data(request, handlers.read(request.nodeId, position, size, handle));
    },
  },
  {
    name: "release",
    opcode: 18,
    isOnOpenFile: true,
    handle: ({ handlers, request, reply }) => {
      handlers.release(request.nodeId, request.argument(wire.FuseReleaseIn.fh));
      reply.error(request, 0);
    },
  },
  {
    name: "opendir",
    opcode: 27,
    handle: ({ handlers, request, reply, canSkipOpendir }) => {
      const opened = handlers.opendir(request.nodeId, request);
      if (opened === undefined && canSkipOpendir) reply.error(request, Errno.ENOSYS);
      else reply.open(request, opened ?? { handle: 0, keepCache: true, cacheReaddir: true });
    },
  },
  {
    name: "readdir",
    opcode: 28,
    isOnOpenFile: true,
    handle: ({ handlers, request, reply }) => {
      const rows = reply.rows(request.argument(wire.FuseReadIn.size));
      const position = request.argument(wire.FuseReadIn.offset);
      handlers.readdir(request.nodeId, position, (row) => rows.add(row));
      reply.listing(request, rows);
    },
  },
  {
    name: "releasedir",
    opcode: 29,
    isOnOpenFile: true,
    handle: ({ handlers, request, reply }) => {
      handlers.releasedir(request.nodeId, request.argument(wire.FuseReleaseIn.fh));
      reply.error(request, 0);
    },
  },
  {
    name: "statfs",
    opcode: 17,
    handle: ({ handlers, request, reply }) =>
      reply.statfs(request, handlers.statfs(request.nodeId)),
  },
  {
    name: "getxattr",
    opcode: 22,
    handle: ({ handlers, request, reply }) => {
      const name = request.name(wire.FuseGetxattrIn.byteLength);
      const value = handlers.getxattr(request.nodeId, name);
      if (value === undefined) reply.error(request, Errno.ENODATA);
      else replySized(request, reply, value);
    },
  },
  {
    name: "listxattr",
    opcode: 23,
    handle: ({ handlers, request, reply }) =>
      replySized(request, reply, handlers.listxattr(request.nodeId, request)),
  },
  {
    name: "access",
    opcode: 34,
    handle: ({ handlers, request, reply }) => {
      handlers.access(request.nodeId, request.argument(wire.FuseAccessIn.mask), request);
      reply.error(request, 0);
    },
  },
  {
    // Each request is answered before the next is received: what this one wants to interrupt has
    // its answer. An interrupt itself has none.
    name: "interrupt",
    opcode: 36,
    handle: () => {},
  },
  {
    name: "bmap",
    opcode: 37,
    handle: ({ handlers, request, reply }) => {
      const block = request.argument(wire.FuseBmapIn.block);
      const blockSize = request.argument(wire.FuseBmapIn.blocksize);
      reply.bmap(request, handlers.bmap(request.nodeId, blockSize, block));
    },
  },
  {
    name: "ioctl",
    opcode: 39,
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
    // libfuse before 3.18 does not know it: the time of creation would be lost.
    name: "statx",
    opcode: 52,
    handle: ({ handlers, request, reply }) =>
      reply.statx(request, handlers.getattr(request.nodeId)),
  },
  {
    name: "batch_forget",
    opcode: 42,
    handle: ({ handlers, request }) => {
      const { FuseBatchForgetIn: In, FuseForgetOne: One } = wire;
      const count = request.argument(In.count);
      for (let index = 0; index < count; index++) {
        const at = In.byteLength + index * One.byteLength;
        handlers.forget(request.argumentAt(One.nodeid, at), request.argumentAt(One.nlookup, at));
      }
    },
  },
  {
    name: "readdirplus",
    opcode: 44,
    isOnOpenFile: true,
    handle: ({ handlers, request, reply }) => {
      const rows = reply.rows(request.argument(wire.FuseReadIn.size));
      const position = request.argument(wire.FuseReadIn.offset);
      handlers.readdirplus(request.nodeId, position, (row, entry) => rows.addPlus(row, entry));
      reply.listing(request, rows);
    },
  },
  {
    name: "lseek",
    opcode: 46,
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
