/**
 * A FUSE session: the connection to the kernel, from the mount to the unmount.
 *
 *     receive()  ->  libfuse reads a request into our buffer
 *     process()  ->  an operation of the table: its handler is called, and the answer written
 *
 * Requests that libfuse would only hand back through a callback are answered without it: that
 * saves a third of what a small request costs, and with it goes all that differs between versions
 * of libfuse. libfuse mounts and unmounts, and catches signals.
 *
 * A request that waits for a commit is answered when no other request is waiting to be received:
 * those that come meanwhile, from other processes, share the commit.
 *
 * A request that is not answered leaves its caller waiting for ever, so nothing is thrown past
 * process().
 */

import { viewOf } from "../sys/bytes.ts";
import { Errno } from "../sys/errno.ts";
import { fail, FsError, messageOf } from "../sys/fs_error.ts";
import { setBlocking } from "../sys/files.ts";
import { bufferAddress, cString } from "../sys/libc.ts";
import type { Log } from "../sys/log.ts";
import type { Handlers } from "./handlers.ts";
import { FUSE_BUF_ROOM, FuseArgs, FuseBuf, LibfuseVersion } from "./layout.ts";
import type { Libfuse } from "./library.ts";
import { type Connection, MAX_TRANSFER, negotiate } from "./negotiation.ts";
import { type Context, errnoOf, type Operation, OPERATIONS } from "./operations.ts";
import { Replies } from "./reply.ts";
import { Request } from "./request.ts";

/** The rows of the table by their opcodes. Without holes, so that looking one up stays fast. */
const BY_OPCODE: readonly (Operation | undefined)[] = OPERATIONS.reduce(
  (table, operation) => {
    table[operation.opcode] = operation;
    return table;
  },
  new Array<Operation | undefined>(4096).fill(undefined),
);

const FUSE_INIT = 26;
const FUSE_IOMAP_CONFIG = 4092;

/** The largest write, and room for what stands before its data. */
const RECEIVE_BUFFER_SIZE = 2 * MAX_TRANSFER;

/** Requests that are answered while another one waits for a commit: it must not wait for ever. */
const MOST_WHILE_WAITING = 64;

export interface SessionOptions {
  /** Options for libfuse and the kernel, joined by commas, as after -o. */
  readonly mountOptions: string;
  /** Log every request, and have libfuse print what it does itself (-d). */
  readonly debug: boolean;
  /** Let the kernel check POSIX ACLs. */
  readonly posixAcl: boolean;
}

export class Session implements Disposable {
  readonly #libfuse: Libfuse;
  readonly #log: Log;
  readonly #options: SessionOptions;
  readonly #request: Request;
  /** With -o allow_root, the one user besides root who may use the mount. */
  readonly #onlyUser: number | undefined;
  readonly #context: { -readonly [Key in keyof Context]: Context[Key] };
  readonly #fuseBuf = new Uint8Array(FUSE_BUF_ROOM);
  /** Everything that C holds pointers to: must live as long as the session. */
  readonly #kept: unknown[] = [];
  /** What the requests that wait for a commit are named by. */
  readonly #waiting: Uint8Array[] = [];
  #answeredWhileWaiting = 0;
  readonly #handle: Deno.PointerValue;
  #connection: Connection | undefined;
  #isMounted = false;
  /** Iomap, where it was agreed upon. */
  #isConfigured = false;

  /** Throws FsError EINVAL when libfuse does not take the options. */
  constructor(libfuse: Libfuse, handlers: Handlers, options: SessionOptions, log: Log) {
    this.#libfuse = libfuse;
    this.#log = log;
    this.#options = options;
    // The kernel knows allow_other only; libfuse asks it for that, and leaves the rest to us.
    this.#onlyUser = hasOption(options.mountOptions, "allow_root") ? Deno.uid() ?? 0 : undefined;
    this.#request = new Request(new Uint8Array(RECEIVE_BUFFER_SIZE));
    this.#kept.push(this.#request.bytes, this.#fuseBuf);
    this.#context = {
      handlers,
      get changes() {
        if (handlers.changes === undefined) throw fail("EROFS", "Read-only file system");
        return handlers.changes;
      },
      request: this.#request,
      reply: new Replies(handlers.timeouts),
      canSkipOpen: false,
      canSkipOpendir: false,
      hasLongSetxattr: false,
      awaitCommit: () => this.#waiting.push(this.#request.unique.slice()),
    };
    this.#handle = this.#create();
    if (this.#handle === null) {
      throw fail("EINVAL", `libfuse does not accept the options ${options.mountOptions}`);
    }
  }

  /** Mounts, and catches SIGINT, SIGTERM and SIGHUP from here on. */
  mount(mountpoint: string): void {
    const { symbols } = this.#libfuse;
    if (symbols.fuse_set_signal_handlers(this.#handle) !== 0) {
      throw fail("EINVAL", "Cannot set signal handlers");
    }
    if (symbols.fuse_session_mount(this.#handle, cString(mountpoint)) !== 0) {
      symbols.fuse_remove_signal_handlers(this.#handle);
      throw fail("EIO", `Cannot mount at ${mountpoint}: libfuse's message is above`);
    }
    this.#isMounted = true;
    this.#context.reply.fuseFd = this.fd;
    setBlocking(this.fd, false);
  }

  /** The descriptor of /dev/fuse. */
  get fd(): number {
    return this.#libfuse.symbols.fuse_session_fd(this.#handle);
  }

  /** True after an unmount or a signal. */
  get exited(): boolean {
    return this.#libfuse.symbols.fuse_session_exited(this.#handle) !== 0;
  }

  /** Undefined until the kernel has sent its first request. */
  get connection(): Connection | undefined {
    return this.#connection;
  }

  /** The kernel and the server have told each other all that they have to. */
  get isReady(): boolean {
    return this.#connection !== undefined && (!this.#connection.hasIomap || this.#isConfigured);
  }

  /** The request that was received last. */
  get request(): Request {
    return this.#request;
  }

  /**
   * From now on, receive waits for a request, or for the end of the session. A signal that comes in
   * the very moment before it waits is noticed with the next request only.
   */
  receiveWaits(): void {
    setBlocking(this.fd, true);
  }

  /**
   * Reads one request into {@linkcode request}, without waiting. False when there is none, or when
   * the session is over.
   */
  receive(): boolean {
    if (this.#read()) return true;
    if (this.#waiting.length === 0) return false;
    this.settle();
    return this.#read();
  }

  /** Answers the received request. */
  process(): void {
    const { opcode } = this.#request;
    const operation = BY_OPCODE[opcode];
    const name = operation?.name ?? (opcode === FUSE_INIT ? "init" : `request ${opcode}`);
    if (this.#options.debug) this.#log.info(describe(name, this.#request));
    try {
      if (opcode === FUSE_INIT) this.#connect();
      else if (operation === undefined) throw fail("ENOSYS", `Unknown ${name}`);
      else this.#handleRequest(operation);
      if (opcode === FUSE_IOMAP_CONFIG) this.#isConfigured = true;
    } catch (error) {
      if (operation?.hasNoAnswer) this.#errnoOf(error, name);
      else this.#answerError(error, name);
    }
    if (this.#waiting.length > 0 && ++this.#answeredWhileWaiting >= MOST_WHILE_WAITING) {
      this.settle();
    }
  }

  /** Commits, and answers the requests that wait for it. */
  settle(): void {
    const waiting = this.#waiting.splice(0);
    this.#answeredWhileWaiting = 0;
    if (waiting.length === 0) return;
    let errno = 0;
    try {
      this.#context.handlers.changes?.commit();
    } catch (error) {
      errno = this.#errnoOf(error, "fsync");
    }
    for (const unique of waiting) {
      try {
        this.#context.reply.late(unique, errno);
      } catch (failure) {
        this.#log.error(`fsync: ${messageOf(failure)}`);
      }
    }
  }

  /** After a signal: there is more to be answered. */
  resume(): void {
    this.#libfuse.symbols.fuse_session_reset(this.#handle);
  }

  #read(): boolean {
    const result = this.#libfuse.symbols.fuse_session_receive_buf(this.#handle, this.#fuseBuf);
    if (result > 0) return true;
    if (result === 0 || result === -Errno.EAGAIN || result === -Errno.EINTR) return false;
    throw new FsError(-result, "Cannot receive a request");
  }

  #handleRequest(operation: Operation): void {
    const { request, handlers } = this.#context;
    if (handlers.refusal !== undefined && !operation.isFarewell) throw handlers.refusal;
    if (!this.#admits(operation)) throw fail("EACCES", "The mount is for its owner and root");
    if (request.argumentsLength < (operation.takes?.byteLength ?? 0)) {
      throw fail("EINVAL", `A request of only ${request.length} bytes`);
    }
    operation.handle(this.#context);
  }

  #connect(): void {
    const { reply, request, handlers } = this.#context;
    const connection = negotiate(request, {
      posixAcl: this.#options.posixAcl,
      writing: handlers.changes !== undefined,
      iomap: handlers.iomap !== undefined,
    });
    this.#connection = connection;
    this.#context.canSkipOpen = connection.canSkipOpen;
    this.#context.canSkipOpendir = connection.canSkipOpendir;
    this.#context.hasLongSetxattr = connection.hasLongSetxattr;
    reply.init(request, connection, handlers.timeGranularity ?? 1);
  }

  /** A file that was open when it was handed over stays good: that is not the mount's concern. */
  #admits(operation: Operation): boolean {
    if (this.#onlyUser === undefined || operation.isOnOpenFile) return true;
    const { uid } = this.#request;
    return uid === 0 || uid === this.#onlyUser;
  }

  [Symbol.dispose](): void {
    const { symbols } = this.#libfuse;
    if (this.#isMounted) {
      symbols.fuse_session_unmount(this.#handle);
      symbols.fuse_remove_signal_handlers(this.#handle);
    }
    symbols.fuse_session_destroy(this.#handle);
  }

  #create(): Deno.PointerValue {
    const { symbols } = this.#libfuse;
    FuseBuf.mem.set(viewOf(this.#fuseBuf), 0, bufferAddress(this.#request.bytes));
    const args = this.#arguments();
    // No callbacks: libfuse is not asked to answer anything.
    const table = new Uint8Array(8);
    const size = 0n;
    if (symbols.fuse_session_new_versioned !== null) {
      const [major, minor] = this.#libfuse.version.split(".").map(Number);
      const version = new Uint8Array(LibfuseVersion.byteLength);
      LibfuseVersion.major.set(viewOf(version), 0, major);
      LibfuseVersion.minor.set(viewOf(version), 0, minor);
      this.#kept.push(version);
      return symbols.fuse_session_new_versioned(args, table, size, version, null);
    }
    if (symbols.fuse_session_new === null) throw fail("ENOSYS", "libfuse has no fuse_session_new");
    return symbols.fuse_session_new(args, table, size, null);
  }

  /** struct fuse_args. */
  #arguments(): Uint8Array<ArrayBuffer> {
    const words = ["fuse4fs", "-o", this.#options.mountOptions];
    if (this.#options.debug) words.push("-d");
    const strings = words.map(cString);
    const vector = new BigUint64Array([...strings.map(bufferAddress), 0].map(BigInt));
    const args = new Uint8Array(FuseArgs.byteLength);
    FuseArgs.argc.set(viewOf(args), 0, words.length);
    FuseArgs.argv.set(viewOf(args), 0, bufferAddress(new Uint8Array(vector.buffer)));
    this.#kept.push(strings, vector, args);
    return args;
  }

  #answerError(error: unknown, name: string): void {
    try {
      this.#context.reply.error(this.#request, this.#errnoOf(error, name));
    } catch (failure) {
      // Not even the error could be sent: the mount is going.
      this.#log.error(`${name}: ${messageOf(failure)}`);
    }
  }

  #errnoOf(error: unknown, name: string): number {
    const errno = errnoOf(error, name, this.#log);
    if (error instanceof FsError) this.#context.handlers.failed?.(error);
    return errno;
  }
}

/** True when a list as after -o, in which a backslash escapes commas, has this very option. */
function hasOption(list: string, name: string): boolean {
  return list.match(/(?:[^\\,]|\\.)+/gs)?.includes(name) ?? false;
}

/** A request in one line. */
function describe(name: string, request: Request): string {
  const { nodeId, length, uid, gid, pid } = request;
  return `${name}: node ${nodeId}, ${length} bytes, uid ${uid}, gid ${gid}, pid ${pid}`;
}
