/**
 * Answers that go to the kernel past libfuse, to requests that libfuse does not know:
 *
 *     fuse_out_header | body          in one write(2) to /dev/fuse
 */

import { Errno } from "../sys/errno.ts";
import { FsError } from "../sys/fs_error.ts";
import { write } from "../sys/libc.ts";
import { FuseOutHeader } from "./wire.ts";

/**
 * Sends an answer. It is not an error when nobody waits for it any more.
 * @param unique of the request
 * @param errno 0 for success; a body goes with success only
 */
export function answerDirectly(
  fuseFd: number,
  unique: Uint8Array,
  errno: number,
  body: Uint8Array = EMPTY,
): void {
  const answer = new Uint8Array(FuseOutHeader.byteLength + body.length);
  const view = new DataView(answer.buffer);
  FuseOutHeader.len.set(view, 0, answer.length);
  FuseOutHeader.error.set(view, 0, -errno);
  FuseOutHeader.unique.set(view, 0, unique);
  answer.set(body, FuseOutHeader.byteLength);
  try {
    write(fuseFd, answer);
  } catch (error) {
    if (!isUnwanted(error)) throw error;
  }
}

/** True for what /dev/fuse says to an answer whose request or mount is gone. */
export function isUnwanted(error: unknown): boolean {
  return error instanceof FsError && GONE.includes(error.errno);
}

const EMPTY = new Uint8Array(0);
const GONE: readonly number[] = [Errno.ENOENT, Errno.ENODEV, Errno.ENOTCONN, Errno.EPERM];
