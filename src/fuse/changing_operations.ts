/** The requests that change something, one row each: see operations.ts. */

import type { Field } from "../disk/struct.ts";
import { Errno } from "../sys/errno.ts";
import type { AttributeChange, Created, Entry, NewNode, Timespec } from "./handlers.ts";
import type { Context, Operation } from "./operations.ts";
import type { Request } from "./request.ts";
import * as wire from "./wire.ts";

export const CHANGING_OPERATIONS: readonly Operation[] = [
  {
    name: "setattr",
    opcode: 4,
    takes: wire.FuseSetattrIn,
    handle: ({ changes, request, reply }) =>
      reply.attributes(request, changes.setattr(request.nodeId, attributeChange(request), request)),
  },
  {
    name: "symlink",
    opcode: 6,
    handle: (context) => {
      const { changes, request } = context;
      const [name, target] = request.names();
      sendEntry(context, changes.symlink(request.nodeId, name, target, request));
    },
  },
  {
    name: "mknod",
    opcode: 8,
    takes: wire.FuseMknodIn,
    handle: (context) => {
      const { changes, request } = context;
      const { FuseMknodIn: In } = wire;
      const rdev = request.argument(In.rdev);
      const name = request.name(In.byteLength);
      const node = newNode(request, In);
      sendEntry(context, changes.mknod(request.nodeId, name, node, rdev, request));
    },
  },
  {
    name: "mkdir",
    opcode: 9,
    takes: wire.FuseMkdirIn,
    handle: (context) => {
      const { changes, request } = context;
      const { FuseMkdirIn: In } = wire;
      const name = request.name(In.byteLength);
      sendEntry(context, changes.mkdir(request.nodeId, name, newNode(request, In), request));
    },
  },
  {
    name: "unlink",
    opcode: 10,
    handle: ({ changes, request, reply }) => {
      changes.unlink(request.nodeId, request.name());
      reply.error(request, 0);
    },
  },
  {
    name: "rmdir",
    opcode: 11,
    handle: ({ changes, request, reply }) => {
      changes.rmdir(request.nodeId, request.name());
      reply.error(request, 0);
    },
  },
  {
    name: "rename",
    opcode: 12,
    takes: wire.FuseRenameIn,
    handle: (context) => {
      const { FuseRenameIn: In } = wire;
      rename(context, context.request.argument(In.newdir), 0, In.byteLength);
    },
  },
  {
    name: "rename2",
    opcode: 45,
    takes: wire.FuseRename2In,
    handle: (context) => {
      const { FuseRename2In: In } = wire;
      const flags = context.request.argument(In.flags);
      rename(context, context.request.argument(In.newdir), flags, In.byteLength);
    },
  },
  {
    name: "link",
    opcode: 13,
    takes: wire.FuseLinkIn,
    handle: (context) => {
      const { changes, request } = context;
      const { FuseLinkIn: In } = wire;
      const name = request.name(In.byteLength);
      sendEntry(
        context,
        changes.link(request.argument(In.oldnodeid), request.nodeId, name, request),
      );
    },
  },
  {
    name: "create",
    opcode: 35,
    takes: wire.FuseCreateIn,
    handle: (context) => {
      const { changes, request, reply, handlers, canSkipOpen } = context;
      // A file that is made so has to be released in the end, one that is made by MKNOD has not.
      if (canSkipOpen && handlers.createsFreely) return reply.error(request, Errno.ENOSYS);
      const { FuseCreateIn: In } = wire;
      const name = request.name(In.byteLength);
      sendCreated(context, changes.create(request.nodeId, name, newNode(request, In), request));
    },
  },
  {
    name: "tmpfile",
    opcode: 51,
    takes: wire.FuseCreateIn,
    handle: (context) => {
      const { changes, request } = context;
      const node = newNode(request, wire.FuseCreateIn);
      sendCreated(context, changes.tmpfile(request.nodeId, node, request));
    },
  },
  {
    name: "write",
    opcode: 16,
    takes: wire.FuseWriteIn,
    isOnOpenFile: true,
    handle: ({ changes, request, reply }) => {
      const { FuseWriteIn: In } = wire;
      const bytes = request.data(In.byteLength, request.argument(In.size));
      const flags = request.argument(In.write_flags);
      const manner = {
        killSetIds: (flags & wire.FUSE_WRITE_KILL_SUIDGID) !== 0,
        isFromCache: (flags & wire.FUSE_WRITE_CACHE) !== 0,
      };
      const { nodeId } = request;
      const position = request.argument(In.offset);
      // The answer to a write carries no attributes. A write from the cache that fails makes the
      // writer ask for them: so it hears of the failure, see Handlers.getattr.
      let isOutOfDate = manner.isFromCache;
      try {
        isOutOfDate = changes.write(nodeId, position, bytes, manner, request);
      } finally {
        if (isOutOfDate) reply.invalidateAttributes(nodeId);
      }
      reply.written(request, bytes.length);
    },
  },
  {
    // ENOSYS makes the kernel send no more of them. What it had to write at a close it has written
    // by then, and what went wrong with that it tells without us.
    name: "flush",
    opcode: 25,
    isOnOpenFile: true,
    handle: ({ request, reply }) => reply.error(request, Errno.ENOSYS),
  },
  {
    name: "fsync",
    opcode: 20,
    isOnOpenFile: true,
    // A commit makes everything durable: there is nothing to gain from knowing which file it is
    // about, or that only its data are meant.
    handle: ({ awaitCommit }) => awaitCommit(),
  },
  {
    name: "fsyncdir",
    opcode: 30,
    isOnOpenFile: true,
    handle: ({ awaitCommit }) => awaitCommit(),
  },
  {
    name: "syncfs",
    opcode: 50,
    isOnOpenFile: true,
    handle: ({ awaitCommit }) => awaitCommit(),
  },
  {
    name: "fallocate",
    opcode: 43,
    takes: wire.FuseFallocateIn,
    isOnOpenFile: true,
    handle: ({ changes, request, reply }) => {
      const { FuseFallocateIn: In } = wire;
      const position = request.argument(In.offset);
      const length = request.argument(In.length);
      changes.fallocate(request.nodeId, request.argument(In.mode), position, length, request);
      reply.error(request, 0);
    },
  },
  {
    name: "copy_file_range",
    opcode: 47,
    takes: wire.FuseCopyFileRangeIn,
    isOnOpenFile: true,
    // The answer has 32 bits for the count.
    handle: (context) =>
      context.reply.written(context.request, copyFileRange(context, 2 ** 32 - 1)),
  },
  {
    name: "copy_file_range_64",
    opcode: 53,
    takes: wire.FuseCopyFileRangeIn,
    isOnOpenFile: true,
    handle: (context) => context.reply.copied(context.request, copyFileRange(context, Infinity)),
  },
  {
    name: "setxattr",
    opcode: 21,
    handle: ({ changes, request, reply, hasLongSetxattr }) => {
      const { FuseSetxattrIn: In } = wire;
      const start = hasLongSetxattr ? In.byteLength : In.setxattr_flags.offset;
      const more = hasLongSetxattr ? request.argument(In.setxattr_flags) : 0;
      const name = request.name(start);
      const value = request.data(start + name.length + 1, request.argument(In.size));
      const flags = {
        flags: request.argument(In.flags),
        killSetGid: (more & wire.FUSE_SETXATTR_ACL_KILL_SGID) !== 0,
      };
      changes.setxattr(request.nodeId, name, value, flags, request);
      reply.error(request, 0);
    },
  },
  {
    name: "removexattr",
    opcode: 24,
    handle: ({ changes, request, reply }) => {
      changes.removexattr(request.nodeId, request.name(), request);
      reply.error(request, 0);
    },
  },
];

function sendEntry({ handlers, request, reply }: Context, entry: Entry): void {
  if (reply.entry(request, entry)) handlers.remember?.(entry.nodeId);
}

function sendCreated({ handlers, request, reply }: Context, created: Created): void {
  if (reply.created(request, created)) handlers.remember?.(created.entry.nodeId);
}

/** The structures of the requests that make a file agree in the names of what is common. */
type NewNodeIn = Pick<typeof wire.FuseMkdirIn, "mode" | "umask">;

function newNode(request: Request, In: NewNodeIn): NewNode {
  return { mode: request.argument(In.mode), umask: request.argument(In.umask) };
}

function rename(context: Context, newParent: number, flags: number, namesAt: number): void {
  const { changes, request, reply } = context;
  const [name, newName] = request.names(namesAt);
  changes.rename(request.nodeId, name, newParent, newName, flags, request);
  reply.error(request, 0);
}

function copyFileRange({ changes, request }: Context, most: number): number {
  const { FuseCopyFileRangeIn: In } = wire;
  return changes.copyFileRange(
    request.nodeId,
    request.argument(In.off_in),
    request.argument(In.nodeid_out),
    request.argument(In.off_out),
    Math.min(request.argument(In.len), most),
    request,
  );
}

function attributeChange(request: Request): AttributeChange {
  const { FuseSetattrIn: In } = wire;
  const valid = request.argument(In.valid);
  const ifSet = <Value>(flag: number, value: () => Value) =>
    (valid & flag) === 0 ? undefined : value();
  return {
    mode: ifSet(wire.FATTR_MODE, () => request.argument(In.mode)),
    uid: ifSet(wire.FATTR_UID, () => request.argument(In.uid)),
    gid: ifSet(wire.FATTR_GID, () => request.argument(In.gid)),
    size: ifSet(wire.FATTR_SIZE, () => request.argument(In.size)),
    atime: ifSet(wire.FATTR_ATIME_NOW, () => "now" as const) ??
      ifSet(wire.FATTR_ATIME, () => timeOf(request, In.atime, In.atimensec)),
    mtime: ifSet(wire.FATTR_MTIME_NOW, () => "now" as const) ??
      ifSet(wire.FATTR_MTIME, () => timeOf(request, In.mtime, In.mtimensec)),
    ctime: ifSet(wire.FATTR_CTIME, () => timeOf(request, In.ctime, In.ctimensec)),
    // Nothing, or a time of change that comes alone, is what is left of the kernel's wish to take
    // them away: for a chown(2) to the same owner, for fallocate(2) and copy_file_range(2).
    killSetIds: (valid & wire.FATTR_KILL_SUIDGID) !== 0 || (valid & ~wire.FATTR_CTIME) === 0,
  };
}

function timeOf(request: Request, seconds: Field<number>, nanoseconds: Field<number>): Timespec {
  return { sec: request.signedArgument(seconds), nsec: request.argument(nanoseconds) };
}
