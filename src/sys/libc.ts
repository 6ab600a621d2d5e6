/**
 * The C library by foreign function interface: what Deno itself has no call for. Functions throw
 * FsError with the errno that C left, in words that say what was being done.
 */

import { Errno, errnoWords } from "./errno.ts";
import { FsError } from "./fs_error.ts";

const SYMBOLS = {
  open: {
    parameters: [
      "buffer", // const char *pathname
      "i32", // int flags
      "u32", // mode_t mode
    ],
    result: "i32",
  },
  close: { parameters: ["i32" /* int fd */], result: "i32" },
  pread: {
    parameters: [
      "i32", // int fd
      "buffer", // void *buf
      "usize", // size_t count
      "i64", // off_t offset
    ],
    result: "isize",
  },
  pwrite: {
    parameters: [
      "i32", // int fd
      "buffer", // const void *buf
      "usize", // size_t count
      "i64", // off_t offset
    ],
    result: "isize",
  },
  write: {
    parameters: [
      "i32", // int fd
      "buffer", // const void *buf
      "usize", // size_t count
    ],
    result: "isize",
  },
  read: {
    parameters: [
      "i32", // int fd
      "buffer", // void *buf
      "usize", // size_t count
    ],
    result: "isize",
  },
  pipe2: {
    parameters: [
      "buffer", // int pipefd[2]
      "i32", // int flags
    ],
    result: "i32",
  },
  splice: {
    parameters: [
      "i32", // int fd_in
      "buffer", // off64_t *off_in
      "i32", // int fd_out
      "pointer", // off64_t *off_out
      "usize", // size_t len
      "u32", // unsigned int flags
    ],
    result: "isize",
  },
  spliceOut: {
    name: "splice",
    parameters: [
      "i32", // int fd_in, a pipe
      "pointer", // off64_t *off_in
      "i32", // int fd_out
      "pointer", // off64_t *off_out
      "usize", // size_t len
      "u32", // unsigned int flags
    ],
    result: "isize",
  },
  lseek: {
    parameters: [
      "i32", // int fd
      "i64", // off_t offset
      "i32", // int whence
    ],
    result: "i64",
  },
  fdatasync: { parameters: ["i32" /* int fd */], result: "i32" },
  fallocate: {
    parameters: [
      "i32", // int fd
      "i32", // int mode
      "i64", // off_t offset
      "i64", // off_t len
    ],
    result: "i32",
  },
  openElsewhere: {
    name: "open",
    parameters: [
      "buffer", // const char *pathname
      "i32", // int flags
      "u32", // mode_t mode
    ],
    result: "i32",
    nonblocking: true,
  },
  syncfsElsewhere: {
    name: "syncfs",
    parameters: ["i32" /* int fd */],
    result: "i32",
    nonblocking: true,
  },
  clock_gettime: {
    parameters: [
      "i32", // clockid_t clockid
      "buffer", // struct timespec *tp
    ],
    result: "i32",
  },
  posix_fadvise: {
    parameters: [
      "i32", // int fd
      "i64", // off_t offset
      "i64", // off_t len
      "i32", // int advice
    ],
    result: "i32",
  },
  sync_file_range: {
    parameters: [
      "i32", // int fd
      "i64", // off_t offset
      "i64", // off_t nbytes
      "u32", // unsigned int flags
    ],
    result: "i32",
  },
  readahead: {
    parameters: [
      "i32", // int fd
      "i64", // off_t offset
      "usize", // size_t count
    ],
    result: "isize",
  },
  poll: {
    parameters: [
      "buffer", // struct pollfd *fds
      "u64", // nfds_t nfds
      "i32", // int timeout
    ],
    result: "i32",
  },
  memfd_create: {
    parameters: [
      "buffer", // const char *name
      "u32", // unsigned int flags
    ],
    result: "i32",
  },
  fcntl: {
    parameters: [
      "i32", // int fd
      "i32", // int op
      "i64", // long arg
    ],
    result: "i32",
  },
  ioctl: {
    parameters: [
      "i32", // int fd
      "u64", // unsigned long request
      "buffer", // void *argp
    ],
    result: "i32",
  },
  flock: {
    parameters: [
      "i32", // int fd
      "i32", // int operation
    ],
    result: "i32",
  },
  dup2: {
    parameters: [
      "i32", // int oldfd
      "i32", // int newfd
    ],
    result: "i32",
  },
  setsid: { parameters: [], result: "i32" },
  prctl: {
    parameters: [
      "i32", // int option
      "u64", // unsigned long arg2
      "u64", // unsigned long arg3
      "u64", // unsigned long arg4
      "u64", // unsigned long arg5
    ],
    result: "i32",
  },
  mount: {
    parameters: [
      "pointer", // const char *source
      "buffer", // const char *target
      "pointer", // const char *filesystemtype
      "u64", // unsigned long mountflags
      "pointer", // const void *data
    ],
    result: "i32",
  },
  umount2: {
    parameters: [
      "buffer", // const char *target
      "i32", // int flags
    ],
    result: "i32",
  },
  sched_getaffinity: {
    parameters: [
      "i32", // pid_t pid
      "usize", // size_t cpusetsize
      "buffer", // cpu_set_t *mask
    ],
    result: "i32",
  },
  syslog: {
    parameters: [
      "i32", // int priority
      "buffer", // const char *format
      "buffer", // const char *, for the one %s of the format
    ],
    result: "void",
  },
  openlog: {
    parameters: [
      "pointer", // const char *ident, which must stay where it is
      "i32", // int option
      "i32", // int facility
    ],
    result: "void",
  },
  __errno_location: { parameters: [], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

let opened: Deno.DynamicLibrary<typeof SYMBOLS> | undefined;
let errnoView: Deno.UnsafePointerView | undefined;

function libc(): Deno.DynamicLibrary<typeof SYMBOLS>["symbols"] {
  opened ??= Deno.dlopen("libc.so.6", SYMBOLS);
  return opened.symbols;
}

/** errno of this thread. The place of it does not change, so it is asked for once. */
export function lastErrno(): number {
  if (errnoView === undefined) {
    const pointer = libc().__errno_location();
    if (pointer === null) throw new Error("__errno_location returned NULL");
    errnoView = new Deno.UnsafePointerView(pointer);
  }
  return errnoView.getInt32();
}

/** The result of a call that returns a negative number when it fails. */
function check(result: number, doing: () => string): number {
  if (result >= 0) return result;
  const errno = lastErrno();
  throw new FsError(errno, `Cannot ${doing()}: ${errnoWords(errno)}`);
}

/** A string as C takes it, with its NUL at the end. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text + "\0");
}

/**
 * Where C finds memory of JavaScript's, as long as somebody here keeps it. Addresses of user space
 * have fewer than 53 bits: a number loses none.
 */
export function bufferAddress(memory: BufferSource): number {
  return Number(Deno.UnsafePointer.value(Deno.UnsafePointer.of(memory)));
}

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_EXCL = 0o200;
export const O_DIRECT = Deno.build.arch === "aarch64" ? 0o200000 : 0o40000;
export const O_CLOEXEC = 0o2000000;
const O_NONBLOCK = 0o4000;

/** open(2). */
export function open(path: string, flags: number): number {
  return check(libc().open(cString(path), flags | O_CLOEXEC, 0), () => `open ${path}`);
}

/** close(2). Errors do not matter to anyone who calls this. */
export function close(fd: number): void {
  libc().close(fd);
}

/**
 * Reads into the whole of `buffer` unless the file ends before; returns how much was read.
 */
export function preadFully(fd: number, buffer: Uint8Array<ArrayBuffer>, position: number): number {
  let done = 0;
  while (done < buffer.length) {
    const rest = done === 0 ? buffer : buffer.subarray(done);
    const count = Number(
      libc().pread(fd, rest, BigInt(rest.length), BigInt(position + done)),
    );
    if (count < 0 && lastErrno() === Errno.EINTR) continue;
    check(count, () => `read ${rest.length} bytes at ${position + done}`);
    if (count === 0) break;
    done += count;
  }
  return done;
}

/** Writes the whole of `buffer`. */
export function pwriteFully(fd: number, buffer: Uint8Array<ArrayBuffer>, position: number): void {
  let done = 0;
  while (done < buffer.length) {
    const rest = done === 0 ? buffer : buffer.subarray(done);
    const count = Number(
      libc().pwrite(fd, rest, BigInt(rest.length), BigInt(position + done)),
    );
    if (count < 0 && lastErrno() === Errno.EINTR) continue;
    done += check(count, () => `write ${rest.length} bytes at ${position + done}`);
  }
}

/** write(2), once; returns how much was written. */
export function write(fd: number, buffer: Uint8Array<ArrayBuffer>): number {
  return check(
    Number(libc().write(fd, buffer, BigInt(buffer.length))),
    () => `write ${buffer.length} bytes`,
  );
}

/**
 * write(2) of the first `size` bytes of a buffer to a descriptor that takes them as one message.
 * False when nobody waits for it any more: the request was interrupted, or the mount is gone.
 */
export function sendMessage(fd: number, buffer: Uint8Array<ArrayBuffer>, size: number): boolean {
  if (libc().write(fd, buffer, BigInt(size)) >= 0n) return true;
  const errno = lastErrno();
  if (errno === Errno.ENOENT || errno === Errno.ENODEV) return false;
  throw new FsError(errno, `Cannot send ${size} bytes: ${errnoWords(errno)}`);
}

const PIPE_BUF = 4096;
const F_SETPIPE_SZ = 1031;
const F_GETPIPE_SZ = 1032;

/** A pipe, both ends non-blocking, as large as the system lets it be up to `size` bytes. */
export function makePipe(size: number): {
  readonly reader: number;
  readonly writer: number;
  readonly size: number;
} {
  const ends = new Int32Array(2);
  const flags = O_CLOEXEC | O_NONBLOCK;
  check(libc().pipe2(new Uint8Array(ends.buffer), flags), () => "make a pipe");
  const [reader, writer] = ends;
  // Without privilege there is a limit, usually 1 MiB.
  for (let wanted = size; wanted > PIPE_BUF; wanted /= 2) {
    if (libc().fcntl(writer, F_SETPIPE_SZ, BigInt(wanted)) >= 0) break;
  }
  return {
    reader,
    writer,
    size: check(libc().fcntl(writer, F_GETPIPE_SZ, 0n), () => "size a pipe"),
  };
}

const spliceOffset = new BigInt64Array(1);
const spliceOffsetBytes = new Uint8Array(spliceOffset.buffer);
const SPLICE_F_MOVE = 1;

/** splice(2) from a place of a file into a pipe; returns how much went, 0 at the end of the file. */
export function spliceIn(fd: number, position: number, pipe: number, length: number): number {
  spliceOffset[0] = BigInt(position);
  return check(
    Number(
      libc().splice(fd, spliceOffsetBytes, pipe, null, BigInt(length), SPLICE_F_MOVE),
    ),
    () => `read ${length} bytes at ${position}`,
  );
}

/** splice(2) of `length` bytes of a pipe to a descriptor that takes them as one message. */
export function spliceOut(pipe: number, fd: number, length: number): number {
  return check(
    Number(libc().spliceOut(pipe, null, fd, null, BigInt(length), SPLICE_F_MOVE)),
    () => `send ${length} bytes`,
  );
}

/** Throws away what is in a non-blocking pipe. */
export function drain(pipe: number): void {
  const scrap = new Uint8Array(65536);
  while (libc().read(pipe, scrap, BigInt(scrap.length)) > 0n);
}

const SEEK_END = 2;

/** Size of a file or block device, by seeking to its end. */
export function sizeOf(fd: number): number {
  return check(Number(libc().lseek(fd, 0n, SEEK_END)), () => "find the size");
}

const SYNC_FILE_RANGE_WRITE = 2;

/** Begins to write out a part of a file, without waiting for it: sync_file_range(2). Never fails. */
export function startWriting(fd: number, offset: number, length: number): void {
  libc().sync_file_range(fd, BigInt(offset), BigInt(length), SYNC_FILE_RANGE_WRITE);
}

/** fdatasync(2). */
export function fdatasync(fd: number): void {
  check(libc().fdatasync(fd), () => "flush");
}

/**
 * syncfs(2) on the file system of a folder, on another thread: whoever has to answer it may be this
 * one. That it fails is not told.
 */
export async function syncFileSystem(path: string): Promise<void> {
  const fd = await libc().openElsewhere(cString(path), O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return;
  await libc().syncfsElsewhere(fd);
  close(fd);
}

const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;

/** fallocate(2): a range of a file takes no space any more and reads as zeros. */
export function punchHole(fd: number, position: number, length: number): void {
  const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  check(
    libc().fallocate(fd, mode, BigInt(position), BigInt(length)),
    () => `punch a hole of ${length} bytes at ${position}`,
  );
}

const BLKDISCARD = 0x1277;
const BLKROGET = 0x125e;

/** True for a block device that is set to read-only (blockdev --setro); false for a file. */
export function isReadOnlyDevice(fd: number): boolean {
  const answer = new Int32Array(1);
  try {
    ioctl(fd, BLKROGET, new Uint8Array(answer.buffer));
  } catch (error) {
    if (!(error instanceof FsError) || error.errno !== Errno.ENOTTY) throw error;
    return false;
  }
  return answer[0] !== 0;
}

/** The ioctl BLKDISCARD: a block device may forget what it has in a range. */
export function discardBlocks(fd: number, position: number, length: number): void {
  const range = new BigUint64Array([BigInt(position), BigInt(length)]);
  ioctl(fd, BLKDISCARD, new Uint8Array(range.buffer));
}

const POSIX_FADV_DONTNEED = 4;

/** Drops a range of a file from the page cache; what was changed there should be flushed before. */
export function forgetCached(fd: number, position: number, length: number): void {
  libc().posix_fadvise(fd, BigInt(position), BigInt(length), POSIX_FADV_DONTNEED);
}

/** readahead(2): a hint, so that failure does not matter. */
export function readahead(fd: number, position: number, length: number): void {
  libc().readahead(fd, BigInt(position), BigInt(length));
}

const POLLIN = 1;
const pollFd = new DataView(new ArrayBuffer(8));
const pollBytes = new Uint8Array(pollFd.buffer);

/**
 * Waits until `fd` can be read or has ended. False when the time, in milliseconds, is over or a
 * signal came.
 */
export function waitReadable(fd: number, timeout: number): boolean {
  pollFd.setInt32(0, fd, true);
  pollFd.setInt16(4, POLLIN, true);
  pollFd.setInt16(6, 0, true);
  const count = libc().poll(pollBytes, 1n, timeout);
  if (count < 0 && lastErrno() === Errno.EINTR) return false;
  return check(count, () => "wait for a request") > 0;
}

const CLOCK_REALTIME_COARSE = 5;
const timeFields = new DataView(new ArrayBuffer(16));
const timeBytes = new Uint8Array(timeFields.buffer);

/** The time by the clock that the kernel's file systems go by: it moves with the timer's ticks. */
export function fileTime(): { readonly sec: number; readonly nsec: number } {
  check(libc().clock_gettime(CLOCK_REALTIME_COARSE, timeBytes), () => "read the clock");
  const sec = timeFields.getInt32(4, true) * 2 ** 32 + timeFields.getUint32(0, true);
  return { sec, nsec: timeFields.getUint32(8, true) };
}

const MFD_CLOEXEC = 1;

/** A file in memory that holds `bytes`; the path under which this process can open it. */
export function memoryFile(name: string, bytes: Uint8Array<ArrayBuffer>): {
  readonly fd: number;
  readonly path: string;
} {
  const fd = check(
    libc().memfd_create(cString(name), MFD_CLOEXEC),
    () => `make a memory file for ${name}`,
  );
  pwriteFully(fd, bytes, 0);
  return { fd, path: `/proc/self/fd/${fd}` };
}

const F_GETFD = 1;
const FD_CLOEXEC = 1;

/** True when a descriptor does not outlive execve(2); also true when it is not open. */
export function isCloseOnExec(fd: number): boolean {
  const flags = libc().fcntl(fd, F_GETFD, 0n);
  return flags < 0 || (flags & FD_CLOEXEC) !== 0;
}

const F_GETFL = 3;
const F_SETFL = 4;

/** Whether reads of `fd` wait, or return EAGAIN instead. */
export function setBlocking(fd: number, isBlocking: boolean): void {
  const flags = check(libc().fcntl(fd, F_GETFL, 0n), () => "read descriptor flags");
  const wanted = isBlocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK;
  check(libc().fcntl(fd, F_SETFL, BigInt(wanted)), () => "set descriptor flags");
}

/** Lets reads and writes of `fd` pass the page cache by, as if it had been opened with O_DIRECT. */
export function setDirect(fd: number): void {
  const flags = check(libc().fcntl(fd, F_GETFL, 0n), () => "read descriptor flags");
  check(libc().fcntl(fd, F_SETFL, BigInt(flags | O_DIRECT)), () => "pass the page cache by");
}

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;

/** flock(2) without waiting. False when somebody else holds the lock. */
export function tryLock(fd: number, kind: "shared" | "exclusive"): boolean {
  const operation = (kind === "shared" ? LOCK_SH : LOCK_EX) | LOCK_NB;
  const result = libc().flock(fd, operation);
  if (result < 0 && lastErrno() === Errno.EAGAIN) return false;
  check(result, () => "lock");
  return true;
}

/** ioctl(2) with a structure as argument. */
export function ioctl(fd: number, request: number, argument: Uint8Array<ArrayBuffer>): number {
  return check(
    libc().ioctl(fd, BigInt(request), argument),
    () => `do ioctl 0x${request.toString(16)}`,
  );
}

const F_DUPFD_CLOEXEC = 1030;

/** Another descriptor of the same open file, with a number from `lowest` on. */
export function duplicate(fd: number, lowest = 0): number {
  return check(
    libc().fcntl(fd, F_DUPFD_CLOEXEC, BigInt(lowest)),
    () => `duplicate descriptor ${fd}`,
  );
}

/** dup2(2). */
export function dup2(from: number, to: number): void {
  check(libc().dup2(from, to), () => `duplicate descriptor ${from} as ${to}`);
}

/** Takes back prctl(2)'s PR_SET_PDEATHSIG: the end of the parent is no signal any more. */
export function outliveParent(): void {
  const PR_SET_PDEATHSIG = 1;
  libc().prctl(PR_SET_PDEATHSIG, 0n, 0n, 0n, 0n);
}

/** setsid(2). Failure means that the process leads a session already. */
export function setsid(): void {
  libc().setsid();
}

/** umount2(2). */
export function umount(target: string, flags = 0): void {
  check(libc().umount2(cString(target), flags), () => `unmount ${target}`);
}

const MS_REMOUNT = 32;

/** mount(2) with MS_REMOUNT: gives a mount other flags. */
export function remount(target: string, flags: number): void {
  check(
    libc().mount(null, cString(target), null, BigInt(MS_REMOUNT | flags), null),
    () => `remount ${target}`,
  );
}

/** How many processors this process may run on. */
export function usableProcessors(): number {
  const mask = new Uint8Array(128);
  check(libc().sched_getaffinity(0, BigInt(mask.length), mask), () => "read the processor mask");
  let count = 0;
  for (const byte of mask) {
    for (let bits = byte; bits !== 0; bits &= bits - 1) count++;
  }
  return count;
}

const LOG_PID = 1;
const LOG_DAEMON = 3 << 3;
/** openlog(3) keeps the pointer, so the bytes must never be collected. */
const IDENT = cString("fuse4fs");
const FORMAT = cString("%s");
let logIsOpen = false;

/** syslog(3) with one of the levels LOG_ERR 3, LOG_WARNING 4, LOG_INFO 6, LOG_DEBUG 7. */
export function syslog(level: number, message: string): void {
  if (!logIsOpen) {
    libc().openlog(Deno.UnsafePointer.of(IDENT), LOG_PID, LOG_DAEMON);
    logIsOpen = true;
  }
  libc().syslog(level, FORMAT, cString(message));
}
