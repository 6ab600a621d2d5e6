/**
 * Answers: encoded into one buffer that all of them share, behind the header that each of them
 * has, and written to /dev/fuse with one call. Nothing is allocated on the way of the frequent
 * ones.
 */

import { type DataSource, lengthOf } from "../block/device.ts";
import { preadFully } from "../sys/files.ts";
import { sendMessage } from "../sys/messages.ts";
import { fail } from "../sys/fs_error.ts";
import { ENTRY_SIZE, putAttributes, putStatx } from "./attribute_forms.ts";
import type { Attributes, Created, Entry, OpenReply, StatFs, Timeouts } from "./handlers.ts";
import { type Connection, putInitAnswer } from "./negotiation.ts";
import type { Request } from "./request.ts";
import { RowWriter } from "./row_writer.ts";
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

/** Names no request: the message is a notification. */
const NO_REQUEST = new Uint8Array(8);

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
    this.#write(request.unique, 0, -errno);
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
    putAttributes(this.#view, AttrOut.byteLength, attributes);
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
    this.#write(NO_REQUEST, FuseNotifyInvalInodeOut.byteLength, FUSE_NOTIFY_INVAL_INODE);
  }

  /** Success or failure of a request that was received earlier, named by a copy of its `unique`. */
  late(unique: Uint8Array, errno: number): void {
    this.#write(unique, 0, -errno);
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
    const size = StatxOut.byteLength + Statx.byteLength;
    this.#bytes.fill(0, 0, size);
    const valid = this.#timeouts.attributes;
    this.#putTimeout(StatxOut.attr_valid.offset, StatxOut.attr_valid_nsec.offset, valid);
    putStatx(this.#view, StatxOut.byteLength, attributes);
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

  /** Answers with the first `length` bytes of the buffer. False as for #write. */
  #send(request: Request, length: number): boolean {
    return this.#write(request.unique, length, 0);
  }

  /**
   * Sends the header and `length` bytes behind it. False when nobody waits for the answer any more.
   * @param error a negative errno, with which no bytes go, or FUSE_NOTIFY_*
   */
  #write(unique: Uint8Array, length: number, error: number): boolean {
    const size = OutHeader.byteLength + length;
    OutHeader.len.set(this.#header, 0, size);
    OutHeader.error.set(this.#header, 0, error);
    OutHeader.unique.set(this.#header, 0, unique);
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
    putAttributes(this.#view, at + EntryOut.byteLength, entry.attributes);
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
