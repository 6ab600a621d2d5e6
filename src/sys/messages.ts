/** Descriptors that take and give whole messages, pipes between them, and waiting for one. */

import { Errno, errnoWords } from "./errno.ts";
import { O_CLOEXEC, O_NONBLOCK } from "./files.ts";
import { FsError } from "./fs_error.ts";
import { check, lastErrno, libc } from "./libc.ts";

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
