/** The requests of FUSE iomap, one row each: see operations.ts. A kernel without it sends none. */

import { fail } from "../sys/fs_error.ts";
import type { IomapConfiguration, IomapHandlers, IomapMapping } from "./iomap_handlers.ts";
import * as wire from "./iomap_wire.ts";
import type { Context, Operation } from "./operations.ts";

export const IOMAP_OPERATIONS: readonly Operation[] = [
  {
    name: "freeze_fs",
    opcode: 4089,
    handle: (context) => {
      iomap(context).freeze();
      context.reply.error(context.request, 0);
    },
  },
  {
    name: "unfreeze_fs",
    opcode: 4090,
    isFarewell: true,
    handle: (context) => {
      iomap(context).thaw();
      context.reply.error(context.request, 0);
    },
  },
  {
    name: "shutdown_fs",
    opcode: 4091,
    handle: (context) => {
      iomap(context).shutDown();
      context.reply.error(context.request, 0);
    },
  },
  {
    name: "iomap_config",
    opcode: 4092,
    isOnOpenFile: true,
    takes: wire.FuseIomapConfigIn,
    handle: (context) => {
      const { request, reply } = context;
      const accepted = request.argument(wire.FuseIomapConfigIn.flags);
      const configuration = iomap(context).configure();
      reply.filled(
        request,
        wire.FuseIomapConfigOut.byteLength,
        (view) => putConfiguration(view, configuration, accepted),
      );
    },
  },
  {
    name: "iomap_ioend",
    opcode: 4093,
    takes: wire.FuseIomapIoendIn,
    isOnOpenFile: true,
    handle: (context) => {
      const { request, reply } = context;
      const { FuseIomapIoendIn: In, FuseIomapIoendOut: Out } = wire;
      const size = iomap(context).ioend(request.nodeId, {
        flags: request.argument(In.flags),
        error: Math.abs(request.argument(In.error)),
        position: request.argument(In.pos),
        written: request.argument(In.written),
      });
      reply.filled(request, Out.byteLength, (view) => Out.newsize.set(view, 0, size));
    },
  },
  {
    name: "iomap_begin",
    opcode: 4094,
    takes: wire.FuseIomapBeginIn,
    isOnOpenFile: true,
    handle: (context) => {
      const { request, reply } = context;
      const { FuseIomapBeginIn: In } = wire;
      const position = request.argument(In.pos);
      const count = request.argument(In.count);
      const operation = request.argument(In.opflags);
      const mapping = iomap(context).begin(request.nodeId, position, count, operation, request);
      reply.filled(request, wire.FUSE_IOMAP_BEGIN_OUT_SIZE, (view) => putAnswer(view, mapping));
    },
  },
  {
    name: "iomap_end",
    opcode: 4095,
    takes: wire.FuseIomapEndIn,
    isOnOpenFile: true,
    handle: (context) => {
      const { request, reply } = context;
      const { FuseIomapEndIn: In } = wire;
      iomap(context).end(
        request.nodeId,
        request.argument(In.pos),
        request.argument(In.count),
        request.signedArgument(In.written),
        request.argument(In.opflags),
      );
      reply.error(request, 0);
    },
  },
];

function iomap({ handlers }: Context): IomapHandlers {
  if (handlers.iomap === undefined) throw fail("ENOSYS", "iomap was not agreed upon");
  return handlers.iomap;
}

/** Tells of what the kernel takes, and of nothing else: it refuses flags that it does not know. */
function putConfiguration(
  view: DataView<ArrayBuffer>,
  configuration: IomapConfiguration,
  accepted: number,
): void {
  const { FuseIomapConfigOut: Out, IomapConfig: Flag } = wire;
  const known = Flag.ID | Flag.UUID | Flag.BLOCKSIZE | Flag.MAX_LINKS | Flag.TIME | Flag.MAXBYTES;
  Out.flags.set(view, 0, (accepted % 2 ** 32) & known);
  const id = new TextEncoder().encode(configuration.id);
  Out.id.get(view, 0).set(id.subarray(0, Out.id.size - 1));
  Out.uuid.get(view, 0).set(configuration.uuid);
  Out.uuid_len.set(view, 0, Out.uuid.size);
  Out.blocksize.set(view, 0, configuration.blockSize);
  Out.max_links.set(view, 0, configuration.maxLinks);
  Out.time_gran.set(view, 0, configuration.timeGranularity);
  view.setBigInt64(Out.time_min.offset, BigInt(configuration.timeMin), true);
  view.setBigInt64(Out.time_max.offset, BigInt(configuration.timeMax), true);
  Out.maxbytes.set(view, 0, configuration.maxBytes);
}

/** What is read and what is written lie at one place: nothing here is written elsewhere. */
function putAnswer(view: DataView<ArrayBuffer>, mapping: IomapMapping): void {
  const { FuseIomapIo: Io, IomapType } = wire;
  Io.offset.set(view, 0, mapping.offset);
  Io.length.set(view, 0, mapping.length);
  if (mapping.address === undefined) putNoAddress(view, 0);
  else Io.addr.set(view, 0, mapping.address);
  Io.type.set(view, 0, mapping.type);
  Io.dev.set(view, 0, mapping.device);
  const write = Io.byteLength;
  Io.offset.set(view, write, mapping.offset);
  Io.length.set(view, write, mapping.length);
  putNoAddress(view, write);
  Io.type.set(view, write, IomapType.PURE_OVERWRITE);
}

/** All ones: more than a number holds. */
function putNoAddress(view: DataView<ArrayBuffer>, at: number): void {
  const { addr } = wire.FuseIomapIo;
  view.setUint32(at + addr.offset, 0xffff_ffff, true);
  view.setUint32(at + addr.offset + 4, 0xffff_ffff, true);
}
