/**
 * Answers to large reads: the data goes from the device's pages through a pipe to the kernel's
 * FUSE device, and never through this process.
 *
 *     fuse_out_header | data of the first source | data of the second ...   -> pipe -> /dev/fuse
 *
 * libfuse has a call for it (fuse_reply_data), but when the device fails in the middle it sends
 * what it has, and the kernel takes a short answer for the end of the file. Here nothing is sent
 * before all of it is in the pipe.
 */

import { type DataSource, lengthOf } from "../block/device.ts";
import { Errno } from "../sys/errno.ts";
import { fail, FsError } from "../sys/fs_error.ts";
import { write } from "../sys/files.ts";
import { drain, makePipe, spliceIn, spliceOut } from "../sys/messages.ts";
import { FuseOutHeader } from "./wire.ts";

const PAGE_SIZE = 4096;
/** Room for the largest read and the header, each piece of which begins a page of its own. */
const PIPE_SIZE = 2 << 20;

/** The request was interrupted, or the mount is gone: there is nobody to answer. */
const GONE: readonly number[] = [Errno.ENOENT, Errno.ENODEV, Errno.ENOTCONN];

export class SplicePipe {
  readonly #pipe = makePipe(PIPE_SIZE);
  readonly #header = new Uint8Array(FuseOutHeader.byteLength);
  readonly #headerView = new DataView(this.#header.buffer);

  /** True when an answer of these sources fits into the pipe. */
  fits(sources: readonly DataSource[]): boolean {
    // Neither beginning nor end of a piece need lie at the edge of a page.
    const pages = sources.reduce(
      (sum, source) => sum + Math.ceil(lengthOf(source) / PAGE_SIZE) + 1,
      1,
    );
    return pages * PAGE_SIZE <= this.#pipe.size;
  }

  /**
   * Sends an answer. Throws FsError, with nothing sent, when a source cannot be read; true when
   * the kernel took it, false when it no longer wanted it.
   * @param unique of the request
   */
  send(fuseFd: number, unique: Uint8Array, sources: readonly DataSource[]): boolean {
    const length = sources.reduce((sum, source) => sum + lengthOf(source), this.#header.length);
    FuseOutHeader.len.set(this.#headerView, 0, length);
    FuseOutHeader.unique.set(this.#headerView, 0, unique);
    try {
      write(this.#pipe.writer, this.#header);
      for (const source of sources) this.#fill(source);
    } catch (error) {
      drain(this.#pipe.reader);
      if (!(error instanceof FsError)) throw error;
      throw fail("EIO", error.message);
    }
    try {
      return spliceOut(this.#pipe.reader, fuseFd, length) === length;
    } catch (error) {
      drain(this.#pipe.reader);
      if (error instanceof FsError && GONE.includes(error.errno)) return false;
      throw error;
    }
  }

  #fill(source: DataSource): void {
    if (source.kind === "memory") {
      for (let done = 0; done < source.bytes.length;) {
        done += write(this.#pipe.writer, source.bytes.subarray(done));
      }
      return;
    }
    for (let done = 0; done < source.length;) {
      const at = source.position + done;
      const count = spliceIn(source.fd, at, this.#pipe.writer, source.length - done);
      if (count === 0) throw fail("EIO", `The device ended at byte ${at}, inside a read`);
      done += count;
    }
  }
}
