/**
 * A kernel with FUSE iomap, as far as its messages go: the other end of a socket that the session
 * takes for /dev/fuse. Requests are written byte by byte as linux/fuse.h of the RFC lays them out,
 * with no code of src/fuse, and answers are given back as bytes.
 */

import { FileSystem } from "../../src/ext4/filesystem.ts";
import { openLibfuse } from "../../src/fuse/library.ts";
import { Session } from "../../src/fuse/session.ts";
import { Ext4Server, type ServerOptions } from "../../src/mount/ext4_server.ts";
import { openMountImage } from "../../src/mount/image.ts";
import { Upkeep } from "../../src/mount/upkeep.ts";
import { close } from "../../src/sys/files.ts";

const libc = Deno.dlopen("libc.so.6", {
  socketpair: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  send: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize" },
  recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize" },
});

const AF_UNIX = 1;
/** Messages keep their boundaries, as on /dev/fuse. */
const SOCK_SEQPACKET = 5;
const MSG_DONTWAIT = 0x40;

export const DEVICE_COOKIE = 5;

/** An answer: the errno, and what stands behind the header. */
export interface Answer {
  /** 0 or an errno. */
  readonly error: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
}

export interface FakeKernelOptions extends Partial<ServerOptions> {
  readonly readOnly?: boolean;
  /** Byte at which the file system begins. */
  readonly offset?: number;
}

/** A file system on a device, served to this kernel in the same process. */
export class FakeKernel implements Disposable {
  readonly fs: FileSystem;
  readonly server: Ext4Server;
  readonly session: Session;
  readonly upkeep: Upkeep | undefined;
  /** What was registered: the session's descriptor and the device's. */
  readonly registered: { fuseFd: number; fd: number }[] = [];
  readonly warnings: string[] = [];
  readonly #fd: number;
  #unique = 2n;
  #isClosed = false;

  constructor(path: string, options: FakeKernelOptions = {}) {
    const log = {
      debug() {},
      info() {},
      warn: (text: string) => void this.warnings.push(text),
      error: (text: string) => void this.warnings.push(text),
    };
    const { readOnly = false } = options;
    const access = { wantsWriting: !readOnly, claimedByKernel: false };
    const device = openMountImage(path, { offset: options.offset }, access, log);
    let seconds = 1_000_000;
    this.fs = FileSystem.open(device, {
      log,
      write: readOnly ? undefined : {
        now: () => ({ sec: seconds++, nsec: 0 }),
        monotonic: () => 0,
        commitInterval: 5000,
        random: () => 4711,
      },
    });
    this.upkeep = readOnly ? undefined : new Upkeep(this.fs, undefined, log);
    this.server = new Ext4Server(this.fs, {
      timeouts: { entry: 60, negativeEntry: 60, attributes: 60 },
      ...{ minixdf: false, acl: true, userXattr: true, fakeroot: false },
      ...{ accessTimes: "never", directoryAccessTimes: false },
      ...{ groupOfDirectory: false, dirsync: false, sync: false, iomap: true },
      registerDevice: (fuseFd, fd) => {
        this.registered.push({ fuseFd, fd });
        return DEVICE_COOKIE;
      },
      ...options,
    }, this.upkeep);
    const ends = new Int32Array(2);
    libc.symbols.socketpair(AF_UNIX, SOCK_SEQPACKET, 0, new Uint8Array(ends.buffer));
    this.#fd = ends[0];
    this.session = new Session(openLibfuse(), this.server, {
      mountOptions: "fsname=fake",
      debug: false,
      posixAcl: false,
    }, log);
    this.session.mount(`/dev/fd/${ends[1]}`);
    if (this.server.iomap !== undefined) this.server.iomap.fuseFd = this.session.fd;
  }

  /** Sends a request and gives back the answer; undefined when there is none. */
  ask(opcode: number, nodeId: number, args: Uint8Array, uid = 0): Answer | undefined {
    const message = new Uint8Array(40 + args.length);
    const view = new DataView(message.buffer);
    const unique = this.#unique;
    this.#unique += 2n;
    view.setUint32(0, message.length, true);
    view.setUint32(4, opcode, true);
    view.setBigUint64(8, unique, true);
    view.setBigUint64(16, BigInt(nodeId), true);
    view.setUint32(24, uid, true);
    view.setUint32(28, uid, true);
    view.setUint32(32, 4711, true);
    message.set(args, 40);
    libc.symbols.send(this.#fd, message, BigInt(message.length), 0);
    if (!this.session.receive()) throw new Error("The session received nothing");
    this.session.process();
    this.session.settle();
    return this.#answer(unique);
  }

  /** As ask, for a request that must succeed. */
  must(opcode: number, nodeId: number, args: Uint8Array, uid = 0): Answer {
    const answer = this.ask(opcode, nodeId, args, uid);
    if (answer === undefined || answer.error !== 0) {
      throw new Error(`Request ${opcode} was answered with ${answer?.error}`);
    }
    return answer;
  }

  #answer(unique: bigint): Answer | undefined {
    const buffer = new Uint8Array(2 ** 20);
    const size = Number(
      libc.symbols.recv(this.#fd, buffer, BigInt(buffer.length), MSG_DONTWAIT),
    );
    if (size < 0) return undefined;
    const view = new DataView(buffer.buffer);
    if (view.getUint32(0, true) !== size) throw new Error("The answer tells another length");
    if (view.getBigUint64(8, true) !== unique) throw new Error("The answer is to another request");
    const bytes = buffer.slice(16, size);
    return { error: Math.abs(view.getInt32(4, true)), bytes, view: new DataView(bytes.buffer) };
  }

  /** The end of the mount: everything is written. */
  unmount(): void {
    this.upkeep?.finish();
    this[Symbol.dispose]();
  }

  /** As a crash of the server. */
  [Symbol.dispose](): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.session[Symbol.dispose]();
    close(this.#fd);
    this.fs.close();
  }
}

/** Little-endian bytes of fields: `[4, value]` is one of 32 bits. */
export function packed(...fields: (readonly [bytes: 1 | 2 | 4 | 8, value: number | bigint])[]) {
  const bytes = new Uint8Array(fields.reduce((size, [width]) => size + width, 0));
  let at = 0;
  for (const [width, value] of fields) {
    let rest = BigInt.asUintN(64, BigInt(value));
    for (let index = 0; index < width; index++, rest >>= 8n) bytes[at++] = Number(rest & 0xffn);
  }
  return bytes;
}
