/**
 * Gives the kernel the content of files before it asks for it (FUSE_NOTIFY_STORE): a request less
 * for each of many small files that are read one after the other.
 *
 *     fuse_out_header | fuse_notify_store_out | content          -> /dev/fuse
 *                                               ^ read from the device
 *
 * The kernel puts the content into the file's pages, and waits for those that are being read. Such a
 * read is a request to this server: were this thread to wait with it, nobody would ever answer. So
 * threads of the kernel do it (io_uring), on a descriptor of their own for the same connection.
 *
 * Only for files that do not change: it would overwrite what was written to the pages and has not
 * reached the server yet.
 */

import type { DataSource } from "../block/device.ts";
import { FsError } from "../sys/fs_error.ts";
import { IoUring } from "../sys/io_uring.ts";
import { close, ioctl, O_RDWR, open } from "../sys/files.ts";
import { bufferAddress } from "../sys/libc.ts";
import { FUSE_NOTIFY_STORE, FuseNotifyStoreOut, FuseOutHeader } from "./wire.ts";

/** ioctl of /dev/fuse: another descriptor for the connection of the one whose number it gets. */
const FUSE_DEV_IOC_CLONE = 0x8004e500;

const HEADER_SIZE = FuseOutHeader.byteLength + FuseNotifyStoreOut.byteLength;
/** Memory for content on its way to the kernel, twice: one part is filled while the other empties. */
const ARENA_SIZE = 1 << 20;
const ARENAS = 2;
/** Reads and writes that are handed over at a time, at most. */
const MAX_TRANSFERS = 256;
const WORKERS = 2;
/** Pieces of the device that the content of one file may come from. */
const MAX_PIECES = 4;
/** No transfer that frees an arena. */
const NO_ARENA = 0;

/** A part of the memory. */
interface Arena {
  readonly view: DataView<ArrayBuffer>;
  readonly address: number;
  used: number;
  /** Messages that the kernel has not taken yet. */
  pending: number;
}

export class PageStore implements Disposable {
  /** A file of more bytes is not taken. */
  static readonly MAX_SIZE = 128 << 10;

  readonly #ring: IoUring;
  readonly #fuseFd: number;
  readonly #arenas: readonly Arena[];

  /**
   * @param sessionFd of /dev/fuse
   * @throws FsError where the system does not let us
   */
  constructor(sessionFd: number) {
    this.#fuseFd = open("/dev/fuse", O_RDWR);
    try {
      const number = new Uint8Array(new Int32Array([sessionFd]).buffer);
      ioctl(this.#fuseFd, FUSE_DEV_IOC_CLONE, number);
      this.#ring = IoUring.open(MAX_TRANSFERS, WORKERS);
    } catch (error) {
      close(this.#fuseFd);
      throw error;
    }
    this.#arenas = Array.from({ length: ARENAS }, makeArena);
  }

  /**
   * Stores the content of files, as many of them as there is room for: a hint, of which nobody hears
   * whether it was taken. Does not wait.
   */
  store(files: Iterable<StoredFile>): void {
    this.#ring.finished((tag) => {
      if (tag !== NO_ARENA) this.#arenas[tag - 1].pending--;
    });
    const index = this.#arenas.findIndex(({ pending }) => pending === 0);
    if (index < 0) return;
    const arena = this.#arenas[index];
    arena.used = 0;
    for (const file of files) {
      if (!this.#add(arena, index + 1, file)) break;
    }
    if (arena.pending > 0) this.#ring.submit();
  }

  [Symbol.dispose](): void {
    this.#ring[Symbol.dispose]();
    close(this.#fuseFd);
  }

  /** False when there is no room for more. */
  #add(arena: Arena, tag: number, { nodeId, sources }: StoredFile): boolean {
    let size = 0;
    for (const source of sources) {
      if (source.kind !== "descriptor") return true;
      size += source.length;
    }
    if (size === 0 || size > PageStore.MAX_SIZE || sources.length > MAX_PIECES) return true;
    const start = arena.used;
    if (start + HEADER_SIZE + size > ARENA_SIZE || this.#ring.room <= sources.length) return false;
    arena.used += Math.ceil((HEADER_SIZE + size) / 8) * 8;
    putHeader(arena.view, start, nodeId, size);
    let at = start + HEADER_SIZE;
    for (const source of sources) {
      if (source.kind !== "descriptor") continue;
      const { fd, position, length } = source;
      const address = arena.address + at;
      this.#ring.add({
        kind: "read",
        fd,
        address,
        length,
        position,
        tag: NO_ARENA,
        linksNext: true,
      });
      at += length;
    }
    this.#ring.add({
      kind: "write",
      fd: this.#fuseFd,
      address: arena.address + start,
      length: HEADER_SIZE + size,
      position: 0,
      tag,
      linksNext: false,
    });
    arena.pending++;
    return true;
  }
}

/** All of a file's content. */
export interface StoredFile {
  readonly nodeId: number;
  readonly sources: readonly DataSource[];
}

/** A store that is set up when it is first needed, and is none where it cannot be. */
export class LazyPageStore implements Disposable {
  readonly #sessionFd: () => number;
  #store: PageStore | undefined;
  #isRefused = false;

  constructor(sessionFd: () => number) {
    this.#sessionFd = sessionFd;
  }

  store(files: Iterable<StoredFile>): void {
    try {
      if (this.#isRefused) return;
      this.#store ??= new PageStore(this.#sessionFd());
      this.#store.store(files);
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      this.#isRefused = true;
    }
  }

  [Symbol.dispose](): void {
    this.#store?.[Symbol.dispose]();
    this.#isRefused = true;
  }
}

function makeArena(): Arena {
  const buffer = new ArrayBuffer(ARENA_SIZE);
  return {
    view: new DataView(buffer),
    address: bufferAddress(buffer),
    used: 0,
    pending: 0,
  };
}

function putHeader(view: DataView, at: number, nodeId: number, size: number): void {
  FuseOutHeader.len.set(view, at, HEADER_SIZE + size);
  FuseOutHeader.error.set(view, at, FUSE_NOTIFY_STORE);
  FuseOutHeader.unique.get(view, at).fill(0);
  const out = at + FuseOutHeader.byteLength;
  FuseNotifyStoreOut.nodeid.set(view, out, nodeId);
  FuseNotifyStoreOut.offset.set(view, out, 0);
  FuseNotifyStoreOut.size.set(view, out, size);
  FuseNotifyStoreOut.padding.set(view, out, 0);
}
