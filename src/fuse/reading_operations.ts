/** The requests that read, one row each: see operations.ts. */

import { Errno } from "../sys/errno.ts";
import { FsError } from "../sys/fs_error.ts";
import type { Operation } from "./operations.ts";
import type { Replies } from "./reply.ts";
import type { Request } from "./request.ts";
import * as wire from "./wire.ts";

export const READING_OPERATIONS: readonly Operation[] = [
  {
    name: "lookup",
    opcode: 1,
    handle: ({ handlers, request, reply }) => {
      const entry = handlers.lookup(request.nodeId, request.name(), request);
      // Without a time to remember it for, a missing name is answered as the error that it is.
      if (entry === undefined && handlers.timeouts.negativeEntry === 0) {
        throw new FsError(Errno.ENOENT, "No such name");
      }
      const taken = reply.entry(request, entry);
      if (taken && entry !== undefined) handlers.remember?.(entry.nodeId);
    },
  },
  {
    name: "forget",
    opcode: 2,
    isFarewell: true,
    takes: wire.FuseForgetIn,
    hasNoAnswer: true,
    handle: ({ handlers, request }) => {
      handlers.forget(request.nodeId, request.argument(wire.FuseForgetIn.nlookup));
    },
  },
  {
    name: "getattr",
    opcode: 3,
    takes: wire.FuseGetattrIn,
    handle: ({ handlers, request, reply }) => {
      const flags = request.argument(wire.FuseGetattrIn.getattr_flags);
      const isOnOpenFile = (flags & wire.FUSE_GETATTR_FH) !== 0;
      reply.attributes(request, handlers.getattr(request.nodeId, isOnOpenFile));
    },
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
    takes: wire.FuseOpenIn,
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
    takes: wire.FuseReadIn,
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
    isFarewell: true,
    takes: wire.FuseReleaseIn,
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
    takes: wire.FuseReadIn,
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
    isFarewell: true,
    takes: wire.FuseReleaseIn,
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
    takes: wire.FuseGetxattrIn,
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
    takes: wire.FuseGetxattrIn,
    handle: ({ handlers, request, reply }) =>
      replySized(request, reply, handlers.listxattr(request.nodeId, request)),
  },
  {
    name: "access",
    opcode: 34,
    takes: wire.FuseAccessIn,
    handle: ({ handlers, request, reply }) => {
      handlers.access(request.nodeId, request.argument(wire.FuseAccessIn.mask), request);
      reply.error(request, 0);
    },
  },
  {
    // Each request is answered before the next is received: what this one wants to interrupt has
    // its answer, or waits for a commit that is about to begin.
    name: "interrupt",
    opcode: 36,
    hasNoAnswer: true,
    handle: () => {},
  },
  {
    name: "bmap",
    opcode: 37,
    takes: wire.FuseBmapIn,
    handle: ({ handlers, request, reply }) => {
      const block = request.argument(wire.FuseBmapIn.block);
      const blockSize = request.argument(wire.FuseBmapIn.blocksize);
      reply.bmap(request, handlers.bmap(request.nodeId, blockSize, block));
    },
  },
  {
    name: "ioctl",
    opcode: 39,
    takes: wire.FuseIoctlIn,
    handle: ({ handlers, request, reply }) => {
      const { FuseIoctlIn: In } = wire;
      const input = request.data(In.byteLength, request.argument(In.in_size));
      const outputSize = request.argument(In.out_size);
      const command = request.argument(In.cmd);
      const output = handlers.ioctl(request.nodeId, command, input, outputSize, request);
      // The kernel does not expect that it changed the file.
      if (onlySets(command)) reply.invalidateAttributes(request.nodeId);
      reply.ioctl(request, output);
    },
  },
  {
    // Alone among the answers it has the time of creation.
    name: "statx",
    opcode: 52,
    takes: wire.FuseStatxIn,
    handle: ({ handlers, request, reply }) =>
      reply.statx(request, handlers.getattr(request.nodeId)),
  },
  {
    name: "batch_forget",
    opcode: 42,
    isFarewell: true,
    takes: wire.FuseBatchForgetIn,
    hasNoAnswer: true,
    handle: ({ handlers, request }) => {
      const { FuseBatchForgetIn: In, FuseForgetOne: One } = wire;
      const room = Math.floor((request.argumentsLength - In.byteLength) / One.byteLength);
      const count = Math.min(request.argument(In.count), room);
      for (let index = 0; index < count; index++) {
        const at = In.byteLength + index * One.byteLength;
        handlers.forget(request.argumentAt(One.nodeid, at), request.argumentAt(One.nlookup, at));
      }
    },
  },
  {
    name: "readdirplus",
    opcode: 44,
    takes: wire.FuseReadIn,
    isOnOpenFile: true,
    handle: ({ handlers, request, reply }) => {
      const rows = reply.rows(request.argument(wire.FuseReadIn.size));
      const position = request.argument(wire.FuseReadIn.offset);
      const listed: number[] = [];
      handlers.readdirplus(request.nodeId, position, (row, entry) => {
        const fits = rows.addPlus(row, entry);
        if (fits && entry !== undefined) listed.push(entry.nodeId);
        return fits;
      });
      if (reply.listing(request, rows)) {
        for (const nodeId of listed) handlers.remember?.(nodeId);
      }
    },
  },
  {
    name: "lseek",
    opcode: 46,
    takes: wire.FuseLseekIn,
    handle: ({ handlers, request, reply }) => {
      const { FuseLseekIn: In } = wire;
      const position = request.argument(In.offset);
      reply.lseek(
        request,
        handlers.lseek(request.nodeId, position, request.argument(In.whence)),
      );
    },
  },
  {
    name: "destroy",
    opcode: 38,
    isFarewell: true,
    handle: ({ handlers, request, reply }) => {
      handlers.destroy?.();
      reply.error(request, 0);
    },
  },
];

const IOC_WRITE = 1 << 30;
const IOC_READ = 1 << 31;

/** By its number, a command takes an argument and returns none. */
function onlySets(command: number): boolean {
  return (command & (IOC_WRITE | IOC_READ)) === IOC_WRITE;
}

/** A value or list goes out when there is room for it; no room at all asks for its size. */
function replySized(request: Request, reply: Replies, content: Uint8Array): void {
  const room = request.argument(wire.FuseGetxattrIn.size);
  if (room === 0) reply.xattrSize(request, content.length);
  else if (content.length > room) reply.error(request, Errno.ERANGE);
  else reply.bytes(request, content);
}
