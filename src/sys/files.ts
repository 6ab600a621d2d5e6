/** Files, block devices and their descriptors, as far as Deno has no call for what is needed. */

import { Errno } from "./errno.ts";
import { FsError } from "./fs_error.ts";
import { check, cString, lastErrno, libc } from "./libc.ts";

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_EXCL = 0o200;
export const O_DIRECT = Deno.build.arch === "aarch64" ? 0o200000 : 0o40000;
export const O_CLOEXEC = 0o2000000;
export const O_NONBLOCK = 0o4000;

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

/** fdatasync(2). A signal does not end it, as it could for a file of a network or FUSE mount. */
export function fdatasync(fd: number): void {
  let result: number;
  do result = libc().fdatasync(fd); while (result < 0 && lastErrno() === Errno.EINTR);
  check(result, () => "flush");
}

/** fsync(2). */
export function fsync(fd: number): void {
  check(libc().fsync(fd), () => "flush");
}

/** syncfs(2) of the file system that a descriptor is on. */
export function syncfs(fd: number): void {
  check(libc().syncfs(fd), () => "flush the file system");
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
