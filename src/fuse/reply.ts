/**
 * Answers: encoded into one buffer that all of them share, behind the header that each of them
 * has, and written to /dev/fuse with one call. Nothing is allocated on the way of the frequent
 * ones.
 */

import type { DataSource } from "../block/device.ts";
import { preadFully, sendMessage } from "../sys/libc.ts";
import { fail } from "../sys/fs_error.ts";
import type {
  Attributes,
  Created,
  DirectoryRow,
  Entry,
  OpenReply,
  StatFs,
  Timeouts,
} from "./handlers.ts";
import { type Connection, putInitAnswer } from "./negotiation.ts";
import type { Request } from "./request.ts";
import { lengthOf } from "./sources.ts";
import { SplicePipe } from "./splice.ts";
import {
  FOPEN_CACHE_DIR,
  FOPEN_DIRECT_IO,
  FOPEN_KEEP_CACHE,
  FUSE_NOTIFY_INVAL_INODE,
  FuseAttr as Attr,
  FuseAttrOut as AttrOut,
  FuseBmapOut,
  FuseCopyFileRangeOut,
  FuseDirent as Dirent,
  FuseEntryOut as EntryOut,
  FuseGetxattrOut,
  FuseInitOut,
  FuseIoctlOut,
  FuseLseekOut,
  FuseNotifyInvalInodeOut,
  FuseOpenOut,
  FuseOutHeader as OutHeader,
  FuseStatfsOut as StatfsOut,
  FuseStatx as Statx,
  FuseStatxOut as StatxOut,
  FuseWriteOut,
} from "./wire.ts";

/** Largest answer that is copied. Larger ones are read requests, whose data is spliced. */
const BUFFER_SIZE = 1 << 20;
/** Data up to this size is copied: two system calls cost less than a splice through a pipe. */
const MAX_COPIED = 128 << 10;

/** A negative offset: the pages of the file are good. */
const NO_CONTENT = -1;

const ENTRY_SIZE = EntryOut.byteLength + Attr.byteLength;

/** STATX_BASIC_STATS and STATX_BTIME */
const STATX_BASIC_STATS = 0x07ff;
const STATX_BTIME = 0x0800;

export class Replies {
  /** fuse_out_header, then the answer. */
  readonly #message = new Uint8Array(OutHeader.byteLength + BUFFER_SIZE);
  readonly #header = new DataView(this.#message.buffer, 0, OutHeader.byteLength);
  readonly #bytes = this.#message.subarray(OutHeader.byteLength);
  readonly #view = new DataView(this.#message.buffer, OutHeader.byteLength);
  readonly #timeouts: Timeouts;
  readonly #pipe = new SplicePipe();
  /** The descriptor of /dev/fuse. */
  fuseFd = -1;

  constructor(timeouts: Timeouts) {
    this.#timeouts = timeouts;
  }

  /** A negative answer; 0 is success without content. */
  error(request: Request, errno: number): void {
    this.#send(request, 0, errno);
  }

  bytes(request: Request, content: Uint8Array): void {
    this.#bytes.set(content);
    this.#send(request, content.length);
  }

  /**
   * Undefined stands for a name that does not exist, which the kernel may remember. False when the
   * answer was not taken: the kernel has no reference to the node then.
   */
  entry(request: Request, entry: Entry | undefined): boolean {
    if (entry === undefined) this.#bytes.fill(0, 0, ENTRY_SIZE);
    else this.#putEntry(0, entry);
    if (entry === undefined) this.#putEntryTimeout(0, this.#timeouts.negativeEntry);
    return this.#send(request, ENTRY_SIZE);
  }

  /** As entry, for a file that is open at once. */
  created(request: Request, { entry, open }: Created): boolean {
    this.#putEntry(0, entry);
    this.#putOpen(ENTRY_SIZE, open);
    return this.#send(request, ENTRY_SIZE + FuseOpenOut.byteLength);
  }

  attributes(request: Request, attributes: Attributes): void {
    const valid = this.#timeouts.attributes;
    this.#putTimeout(AttrOut.attr_valid.offset, AttrOut.attr_valid_nsec.offset, valid);
    AttrOut.dummy.set(this.#view, 0, 0);
    this.#putAttributes(AttrOut.byteLength, attributes);
    this.#send(request, AttrOut.byteLength + Attr.byteLength);
  }

  open(request: Request, reply: OpenReply): void {
    this.#putOpen(0, reply);
    this.#send(request, FuseOpenOut.byteLength);
  }

  init(request: Request, connection: Connection, timeGranularity: number): void {
    putInitAnswer(this.#view, request, connection, timeGranularity);
    this.#send(request, FuseInitOut.byteLength);
  }

  /** How much was written or, in answer to COPY_FILE_RANGE, copied. */
  written(request: Request, size: number): void {
    FuseWriteOut.size.set(this.#view, 0, size);
    FuseWriteOut.padding.set(this.#view, 0, 0);
    this.#send(request, FuseWriteOut.byteLength);
  }

  /** How much was copied, in answer to COPY_FILE_RANGE_64. */
  copied(request: Request, size: number): void {
    FuseCopyFileRangeOut.bytes_copied.set(this.#view, 0, size);
    this.#send(request, FuseCopyFileRangeOut.byteLength);
  }

  /** No answer, but a notification: the kernel is to ask for a node's attributes anew. */
  invalidateAttributes(nodeId: number): void {
    FuseNotifyInvalInodeOut.ino.set(this.#view, 0, nodeId);
    FuseNotifyInvalInodeOut.off.set(this.#view, 0, NO_CONTENT);
    FuseNotifyInvalInodeOut.len.set(this.#view, 0, 0);
    const size = OutHeader.byteLength + FuseNotifyInvalInodeOut.byteLength;
    OutHeader.len.set(this.#header, 0, size);
    OutHeader.error.set(this.#header, 0, FUSE_NOTIFY_INVAL_INODE);
    OutHeader.unique.get(this.#header, 0).fill(0);
    sendMessage(this.fuseFd, this.#message, size);
  }

  /** Success or failure of a request that was received earlier, named by a copy of its `unique`. */
  late(unique: Uint8Array, errno: number): void {
    OutHeader.len.set(this.#header, 0, OutHeader.byteLength);
    OutHeader.error.set(this.#header, 0, -errno);
    OutHeader.unique.set(this.#header, 0, unique);
    sendMessage(this.fuseFd, this.#message, OutHeader.byteLength);
  }

  statfs(request: Request, counts: StatFs): void {
    const view = this.#view;
    this.#bytes.fill(0, 0, StatfsOut.byteLength);
    StatfsOut.blocks.set(view, 0, counts.blocks);
    StatfsOut.bfree.set(view, 0, counts.bfree);
    StatfsOut.bavail.set(view, 0, counts.bavail);
    StatfsOut.files.set(view, 0, counts.files);
    StatfsOut.ffree.set(view, 0, counts.ffree);
    StatfsOut.bsize.set(view, 0, counts.bsize);
    StatfsOut.namelen.set(view, 0, counts.namemax);
    StatfsOut.frsize.set(view, 0, counts.frsize);
    this.#send(request, StatfsOut.byteLength);
  }

  /** The size of a value or list that the caller has not made room for yet. */
  xattrSize(request: Request, size: number): void {
    FuseGetxattrOut.size.set(this.#view, 0, size);
    FuseGetxattrOut.padding.set(this.#view, 0, 0);
    this.#send(request, FuseGetxattrOut.byteLength);
  }

  lseek(request: Request, position: number): void {
    FuseLseekOut.offset.set(this.#view, 0, position);
    this.#send(request, FuseLseekOut.byteLength);
  }

  bmap(request: Request, block: number): void {
    FuseBmapOut.block.set(this.#view, 0, block);
    this.#send(request, FuseBmapOut.byteLength);
  }

  ioctl(request: Request, output: Uint8Array): void {
    this.#bytes.fill(0, 0, FuseIoctlOut.byteLength);
    this.#bytes.set(output, FuseIoctlOut.byteLength);
    this.#send(request, FuseIoctlOut.byteLength + output.length);
  }

  statx(request: Request, attributes: Attributes): void {
    const view = this.#view;
    const size = StatxOut.byteLength + Statx.byteLength;
    this.#bytes.fill(0, 0, size);
    const valid = this.#timeouts.attributes;
    this.#putTimeout(StatxOut.attr_valid.offset, StatxOut.attr_valid_nsec.offset, valid);
    const at = StatxOut.byteLength;
    Statx.mask.set(view, at, STATX_BASIC_STATS);
    Statx.blksize.set(view, at, attributes.blksize);
    Statx.nlink.set(view, at, attributes.nlink);
    Statx.uid.set(view, at, attributes.uid);
    Statx.gid.set(view, at, attributes.gid);
    Statx.mode.set(view, at, attributes.mode);
    Statx.ino.set(view, at, attributes.ino);
    Statx.size.set(view, at, attributes.size);
    Statx.blocks.set(view, at, attributes.blocks);
    Statx.atime_sec.set(view, at, attributes.atime.sec);
    Statx.atime_nsec.set(view, at, attributes.atime.nsec);
    Statx.mtime_sec.set(view, at, attributes.mtime.sec);
    Statx.mtime_nsec.set(view, at, attributes.mtime.nsec);
    Statx.ctime_sec.set(view, at, attributes.ctime.sec);
    Statx.ctime_nsec.set(view, at, attributes.ctime.nsec);
    const { rdev, btime } = attributes;
    Statx.rdev_major.set(view, at, (rdev >>> 8) & 0xfff);
    Statx.rdev_minor.set(view, at, (rdev & 0xff) | ((rdev >>> 12) & 0xfff00));
    if (btime !== undefined) {
      Statx.mask.set(view, at, STATX_BASIC_STATS | STATX_BTIME);
      Statx.btime_sec.set(view, at, btime.sec);
      Statx.btime_nsec.set(view, at, btime.nsec);
    }
    this.#send(request, size);
  }

  /** Data of a file: copied when it is small or in many pieces, spliced otherwise. */
  data(request: Request, sources: readonly DataSource[]): void {
    const length = sources.reduce((sum, source) => sum + lengthOf(source), 0);
    if (length > MAX_COPIED && this.#pipe.fits(sources)) {
      this.#pipe.send(this.fuseFd, request.unique, sources);
    } else {
      this.#copyData(request, sources, length);
    }
  }

  /** An answer of `size` bytes, zeros but for what `put` writes. */
  filled(request: Request, size: number, put: (view: DataView<ArrayBuffer>) => void): void {
    this.#bytes.fill(0, 0, size);
    put(this.#view);
    this.#send(request, size);
  }

  /** Starts a listing of at most `size` bytes. */
  rows(size: number): RowWriter {
    return new RowWriter(
      this.#bytes.subarray(0, Math.min(size, BUFFER_SIZE)),
      this.#view,
      (at, entry) => this.#putEntry(at, entry),
    );
  }

  /** Sends what a RowWriter has written; false when it was not taken. */
  listing(request: Request, rows: RowWriter): boolean {
    return this.#send(request, rows.length);
  }

  /**
   * Sends the first `length` bytes of the buffer. An errno goes without any. False when nobody waits
   * for the answer any more.
   */
  #send(request: Request, length: number, errno = 0): boolean {
    const size = OutHeader.byteLength + length;
    OutHeader.len.set(this.#header, 0, size);
    OutHeader.error.set(this.#header, 0, -errno);
    OutHeader.unique.set(this.#header, 0, request.unique);
    return sendMessage(this.fuseFd, this.#message, size);
  }

  #copyData(request: Request, sources: readonly DataSource[], length: number): void {
    let at = 0;
    for (const source of sources) {
      if (source.kind === "memory") {
        this.#bytes.set(source.bytes, at);
      } else {
        const target = this.#bytes.subarray(at, at + source.length);
        const count = preadFully(source.fd, target, source.position);
        if (count < source.length) {
          throw fail("EIO", `The device ended at byte ${source.position + count}, inside a read`);
        }
      }
      at += lengthOf(source);
    }
    this.#send(request, length);
  }

  #putOpen(at: number, reply: OpenReply): void {
    let flags = 0;
    if (reply.directIo) flags |= FOPEN_DIRECT_IO;
    if (reply.keepCache) flags |= FOPEN_KEEP_CACHE;
    if (reply.cacheReaddir) flags |= FOPEN_CACHE_DIR;
    FuseOpenOut.fh.set(this.#view, at, reply.handle);
    FuseOpenOut.open_flags.set(this.#view, at, flags);
    FuseOpenOut.backing_id.set(this.#view, at, 0);
  }

  #putEntry(at: number, entry: Entry): void {
    const view = this.#view;
    EntryOut.nodeid.set(view, at, entry.nodeId);
    EntryOut.generation.set(view, at, entry.generation);
    this.#putEntryTimeout(at, entry.nameIsVolatile ? 0 : this.#timeouts.entry);
    const { attr_valid, attr_valid_nsec } = EntryOut;
    this.#putTimeout(
      at + attr_valid.offset,
      at + attr_valid_nsec.offset,
      this.#timeouts.attributes,
    );
    this.#putAttributes(at + EntryOut.byteLength, entry.attributes);
  }

  #putAttributes(at: number, attributes: Attributes): void {
    const view = this.#view;
    Attr.ino.set(view, at, attributes.ino);
    Attr.size.set(view, at, attributes.size);
    Attr.blocks.set(view, at, attributes.blocks);
    Attr.atime.set(view, at, attributes.atime.sec);
    Attr.mtime.set(view, at, attributes.mtime.sec);
    Attr.ctime.set(view, at, attributes.ctime.sec);
    Attr.atimensec.set(view, at, attributes.atime.nsec);
    Attr.mtimensec.set(view, at, attributes.mtime.nsec);
    Attr.ctimensec.set(view, at, attributes.ctime.nsec);
    Attr.mode.set(view, at, attributes.mode);
    Attr.nlink.set(view, at, attributes.nlink);
    Attr.uid.set(view, at, attributes.uid);
    Attr.gid.set(view, at, attributes.gid);
    Attr.rdev.set(view, at, attributes.rdev);
    Attr.blksize.set(view, at, attributes.blksize);
    Attr.flags.set(view, at, attributes.iomapFlags ?? 0);
  }

  #putEntryTimeout(at: number, timeout: number): void {
    const { entry_valid, entry_valid_nsec } = EntryOut;
    this.#putTimeout(at + entry_valid.offset, at + entry_valid_nsec.offset, timeout);
  }

  #putTimeout(secondsAt: number, nanosecondsAt: number, timeout: number): void {
    const seconds = Math.floor(timeout);
    this.#view.setUint32(secondsAt, seconds, true);
    this.#view.setUint32(secondsAt + 4, 0, true);
    this.#view.setUint32(nanosecondsAt, Math.floor((timeout - seconds) * 1e9), true);
  }
}

/** Rows of a listing, in the form of the kernel's fuse_dirent and fuse_direntplus. */
export class RowWriter {
  /** Bytes written. */
  length = 0;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView<ArrayBuffer>;
  readonly #putEntry: (at: number, entry: Entry) => void;

  constructor(
    bytes: Uint8Array<ArrayBuffer>,
    view: DataView<ArrayBuffer>,
    putEntry: (at: number, entry: Entry) => void,
  ) {
    this.#bytes = bytes;
    this.#view = view;
    this.#putEntry = putEntry;
  }

  /** Adds a row of readdir; false when it does not fit. */
  add(row: DirectoryRow): boolean {
    const size = direntSize(row);
    if (this.length + size > this.#bytes.length) return false;
    this.#putRow(this.length, row);
    this.length += size;
    return true;
  }

  /** Adds a row of readdirplus. One without an entry has node id 0: the kernel looks it up. */
  addPlus(row: DirectoryRow, entry: Entry | undefined): boolean {
    const size = ENTRY_SIZE + direntSize(row);
    if (this.length + size > this.#bytes.length) return false;
    if (entry === undefined) this.#bytes.fill(0, this.length, this.length + ENTRY_SIZE);
    else this.#putEntry(this.length, entry);
    this.#putRow(this.length + ENTRY_SIZE, row);
    this.length += size;
    return true;
  }

  #putRow(at: number, row: DirectoryRow): void {
    const view = this.#view;
    const nameLength = row.name.length;
    Dirent.ino.set(view, at, row.ino);
    Dirent.off.set(view, at, row.next);
    Dirent.namelen.set(view, at, nameLength);
    Dirent.type.set(view, at, row.type >>> 12);
    this.#bytes.set(row.name, at + Dirent.byteLength);
    this.#bytes.fill(0, at + Dirent.byteLength + nameLength, at + direntSize(row));
  }
}

function direntSize(row: DirectoryRow): number {
  return Math.ceil((Dirent.byteLength + row.name.length) / 8) * 8;
}
