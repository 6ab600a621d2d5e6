/**
 * System calls that the tests make and that Deno has no call for, or none that takes names of any
 * bytes: device nodes, extended attributes, times with nanoseconds, holes, inode flags.
 */

import { errnoName } from "../../src/sys/errno.ts";

/** Text stands for its UTF-8 bytes. */
export type Path = string | Uint8Array;

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
  pwrite: {
    parameters: [
      "i32", // int fd
      "buffer", // const void *buf
      "usize", // size_t count
      "i64", // off_t offset
    ],
    result: "isize",
  },
  ftruncate: {
    parameters: [
      "i32", // int fd
      "i64", // off_t length
    ],
    result: "i32",
  },
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
  ioctl: {
    parameters: [
      "i32", // int fd
      "u64", // unsigned long request
      "buffer", // void *argp
    ],
    result: "i32",
  },
  mkdir: {
    parameters: [
      "buffer", // const char *pathname
      "u32", // mode_t mode
    ],
    result: "i32",
  },
  mknod: {
    parameters: [
      "buffer", // const char *pathname
      "u32", // mode_t mode
      "u64", // dev_t dev
    ],
    result: "i32",
  },
  link: {
    parameters: [
      "buffer", // const char *oldpath
      "buffer", // const char *newpath
    ],
    result: "i32",
  },
  symlink: {
    parameters: [
      "buffer", // const char *target
      "buffer", // const char *linkpath
    ],
    result: "i32",
  },
  unlink: { parameters: ["buffer" /* const char *pathname */], result: "i32" },
  chmod: {
    parameters: [
      "buffer", // const char *pathname
      "u32", // mode_t mode
    ],
    result: "i32",
  },
  lchown: {
    parameters: [
      "buffer", // const char *pathname
      "u32", // uid_t owner
      "u32", // gid_t group
    ],
    result: "i32",
  },
  lsetxattr: {
    parameters: [
      "buffer", // const char *path
      "buffer", // const char *name
      "buffer", // const void *value
      "usize", // size_t size
      "i32", // int flags
    ],
    result: "i32",
  },
  lremovexattr: {
    parameters: [
      "buffer", // const char *path
      "buffer", // const char *name
    ],
    result: "i32",
  },
  lgetxattr: {
    parameters: [
      "buffer", // const char *path
      "buffer", // const char *name
      "buffer", // void *value
      "usize", // size_t size
    ],
    result: "isize",
  },
  llistxattr: {
    parameters: [
      "buffer", // const char *path
      "buffer", // char *list
      "usize", // size_t size
    ],
    result: "isize",
  },
  utimensat: {
    parameters: [
      "i32", // int dirfd
      "buffer", // const char *pathname
      "buffer", // const struct timespec times[2]
      "i32", // int flags
    ],
    result: "i32",
  },
  __errno_location: { parameters: [], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

let opened: Deno.DynamicLibrary<typeof SYMBOLS> | undefined;

function libc(): Deno.DynamicLibrary<typeof SYMBOLS>["symbols"] {
  opened ??= Deno.dlopen("libc.so.6", SYMBOLS);
  return opened.symbols;
}

/** A system call that failed. */
export class SystemError extends Error {
  override readonly name = "SystemError";
  /** Such as `ENOSPC`. */
  readonly code: string;

  constructor(call: string, errno: number) {
    super(`${call}: ${errnoName(errno)}`);
    this.code = errnoName(errno);
  }
}

function check(result: number, call: string, path: Path = ""): number {
  if (result >= 0) return result;
  const pointer = libc().__errno_location();
  if (pointer === null) throw new Error("no errno");
  const name = typeof path === "string" ? path : new TextDecoder().decode(path);
  throw new SystemError(`${call}(${name})`, new Deno.UnsafePointerView(pointer).getInt32());
}

/** The bytes with the NUL that C wants. */
function c(path: Path): Uint8Array<ArrayBuffer> {
  const bytes = pathBytes(path);
  const terminated = new Uint8Array(bytes.length + 1);
  terminated.set(bytes);
  return terminated;
}

function pathBytes(path: Path): Uint8Array {
  return typeof path === "string" ? new TextEncoder().encode(path) : path;
}

/** `directory/name` */
export function join(directory: Path, name: Path): Uint8Array<ArrayBuffer> {
  const front = pathBytes(directory);
  const behind = pathBytes(name);
  const path = new Uint8Array(front.length + 1 + behind.length);
  path.set(front);
  path[front.length] = 0x2f;
  path.set(behind, front.length + 1);
  return path;
}

const O_RDONLY = 0;
const O_WRONLY = 1;
const O_CREAT = 0o100;
const O_NOFOLLOW = 0o400000;

/** Opens for writing, creating the file where it is missing; `body` gets the descriptor. */
export function withFile(path: Path, body: (fd: number) => void): void {
  const fd = check(libc().open(c(path), O_WRONLY | O_CREAT | O_NOFOLLOW, 0o644), "open", path);
  try {
    body(fd);
  } finally {
    libc().close(fd);
  }
}

export function pwrite(fd: number, bytes: Uint8Array<ArrayBuffer>, position: number): void {
  const count = Number(libc().pwrite(fd, bytes, BigInt(bytes.length), BigInt(position)));
  if (check(count, "pwrite") !== bytes.length) throw new Error(`short write: ${count} bytes`);
}

export function ftruncate(fd: number, size: number): void {
  check(libc().ftruncate(fd, BigInt(size)), "ftruncate");
}

const FALLOC_FL_KEEP_SIZE = 1;

/** Reserves space that reads as zeros; `keepSize` allows it to lie behind the end of the file. */
export function fallocate(fd: number, position: number, length: number, keepSize = false): void {
  const mode = keepSize ? FALLOC_FL_KEEP_SIZE : 0;
  check(libc().fallocate(fd, mode, BigInt(position), BigInt(length)), "fallocate");
}

export function fsync(fd: number): void {
  check(libc().fsync(fd), "fsync");
}

export function mkdir(path: Path, mode = 0o755): void {
  check(libc().mkdir(c(path), mode), "mkdir", path);
}

/** @param mode type and permissions; the umask is left out of account */
export function mknod(path: Path, mode: number, device = 0n): void {
  check(libc().mknod(c(path), mode, device), "mknod", path);
}

export function link(existing: Path, added: Path): void {
  check(libc().link(c(existing), c(added)), "link", added);
}

export function symlink(target: Path, path: Path): void {
  check(libc().symlink(c(target), c(path)), "symlink", path);
}

export function unlink(path: Path): void {
  check(libc().unlink(c(path)), "unlink", path);
}

export function chmod(path: Path, mode: number): void {
  check(libc().chmod(c(path), mode), "chmod", path);
}

export function lchown(path: Path, uid: number, gid: number): void {
  check(libc().lchown(c(path), uid, gid), "lchown", path);
}

export function setXattr(
  path: Path,
  name: Path,
  value: Uint8Array<ArrayBuffer>,
  flags = 0,
): void {
  const size = BigInt(value.length);
  check(libc().lsetxattr(c(path), c(name), value, size, flags), "lsetxattr", path);
}

export function removeXattr(path: Path, name: Path): void {
  check(libc().lremovexattr(c(path), c(name)), "lremovexattr", path);
}

const XATTR_SIZE_MAX = 65536;

export function getXattr(path: Path, name: Path): Uint8Array<ArrayBuffer> {
  const value = new Uint8Array(XATTR_SIZE_MAX);
  const size = Number(libc().lgetxattr(c(path), c(name), value, BigInt(value.length)));
  return value.slice(0, check(size, "lgetxattr", path));
}

/** Names, one byte a character. */
export function listXattrs(path: Path): string[] {
  const list = new Uint8Array(XATTR_SIZE_MAX);
  const size = Number(libc().llistxattr(c(path), list, BigInt(list.length)));
  const names = Array.from(list.subarray(0, check(size, "llistxattr", path)));
  return String.fromCharCode(...names).split("\0").slice(0, -1);
}

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;

/** A point in time: seconds since 1970 and nanoseconds. */
export type Time = readonly [seconds: number, nanoseconds: number];

export function setTimes(path: Path, atime: Time, mtime: Time): void {
  const times = new BigInt64Array([...atime, ...mtime].map(BigInt));
  const bytes = new Uint8Array(times.buffer);
  check(libc().utimensat(AT_FDCWD, c(path), bytes, AT_SYMLINK_NOFOLLOW), "utimensat", path);
}

/** ioctl(2) on a file that is opened for it. */
export function ioctlOn(path: Path, request: number, argument: Uint8Array<ArrayBuffer>): void {
  const fd = check(libc().open(c(path), O_RDONLY | O_NOFOLLOW, 0), "open", path);
  try {
    check(libc().ioctl(fd, BigInt(request), argument), `ioctl 0x${request.toString(16)}`, path);
  } finally {
    libc().close(fd);
  }
}

const FS_IOC_SETFLAGS = 0x40086602;

/** Sets the FS_*_FL of chattr(1), and clears the others that it can. */
export function setInodeFlags(path: Path, flags: number): void {
  const argument = new Uint8Array(8);
  new DataView(argument.buffer).setUint32(0, flags, true);
  ioctlOn(path, FS_IOC_SETFLAGS, argument);
}
