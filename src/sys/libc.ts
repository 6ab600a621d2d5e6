/**
 * The C library by foreign function interface: the table of its symbols, and what all calls have in
 * common. The calls themselves are in files.ts, messages.ts and system.ts. They throw FsError with
 * the errno that C left, in words that say what was being done.
 */

import { errnoWords } from "./errno.ts";
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
  fsync: { parameters: ["i32" /* int fd */], result: "i32" },
  syncfs: { parameters: ["i32" /* int fd */], result: "i32" },
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

/** The library, which is opened when it is first asked for. */
export function libc(): Deno.DynamicLibrary<typeof SYMBOLS>["symbols"] {
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
export function check(result: number, doing: () => string): number {
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
