/** Writes logs of the journal block by block, sound ones and, with a little help, others. */

import { crc32Be } from "../../src/disk/crc32_be.ts";
import { crc32c } from "../../src/disk/crc32c.ts";
import {
  CommitHeader,
  JBD2_COMMIT_BLOCK,
  JBD2_CRC32_CHKSUM,
  JBD2_CRC32C_CHKSUM,
  JBD2_DESCRIPTOR_BLOCK,
  JBD2_FLAG_ESCAPE,
  JBD2_FLAG_LAST_TAG,
  JBD2_FLAG_SAME_UUID,
  JBD2_MAGIC_NUMBER,
  JBD2_REVOKE_BLOCK,
  JBD2_SUPERBLOCK_V2,
  JournalBlockTag as Tag,
  JournalBlockTag3 as Tag3,
  JournalHeader as Header,
  JournalRevokeHeader,
  JournalSuperblock as Sb,
  TAG_UUID_SIZE,
} from "../../src/disk/journal.ts";

export const BLOCK_SIZE = 1024;

/** Feature bits. */
export const COMPAT_CHECKSUM = 0x1;
export const INCOMPAT_64BIT = 0x2;
export const INCOMPAT_ASYNC_COMMIT = 0x4;
export const INCOMPAT_CSUM_V2 = 0x8;
export const INCOMPAT_CSUM_V3 = 0x10;
export const INCOMPAT_FAST_COMMIT = 0x20;

export interface LogOptions {
  readonly compat?: number;
  readonly incompat?: number;
  /** Blocks of the journal, with the fast-commit area. */
  readonly length?: number;
  readonly first?: number;
  readonly start?: number;
  readonly sequence?: number;
  readonly fastCommitBlocks?: number;
}

/** A block that a transaction logs, filled with one byte, or, for `magic`, to be escaped. */
export interface Logged {
  readonly block: number;
  readonly fill: number;
  readonly magic?: boolean;
}

export class LogBuilder {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  /** Journal block to be written next. */
  position: number;
  tid: number;
  readonly #options: LogOptions;
  readonly #end: number;
  readonly #seed: number;
  #crc = 0xffffffff;

  constructor(options: LogOptions = {}) {
    const length = options.length ?? 1100;
    this.bytes = new Uint8Array(length * BLOCK_SIZE);
    this.view = new DataView(this.bytes.buffer);
    this.position = options.start ?? 1;
    this.tid = options.sequence ?? 1;
    this.#options = options;
    this.#end = length - (this.#incompat(INCOMPAT_FAST_COMMIT) ? options.fastCommitBlocks! : 0);
    const uuid = new Uint8Array(16).fill(0x5a);
    this.#seed = crc32c(0xffffffff, uuid);
    const fields: [{ set(view: DataView, at: number, value: number): void }, number][] = [
      [Sb.h_magic, JBD2_MAGIC_NUMBER],
      [Sb.h_blocktype, JBD2_SUPERBLOCK_V2],
      [Sb.s_blocksize, BLOCK_SIZE],
      [Sb.s_maxlen, length],
      [Sb.s_first, options.first ?? 1],
      [Sb.s_sequence, this.tid],
      [Sb.s_start, this.position],
      [Sb.s_feature_compat, options.compat ?? 0],
      [Sb.s_feature_incompat, options.incompat ?? 0],
      [Sb.s_num_fc_blks, options.fastCommitBlocks ?? 0],
      [Sb.s_checksum_type, JBD2_CRC32C_CHKSUM],
    ];
    for (const [field, value] of fields) field.set(this.view, 0, value);
    Sb.s_uuid.set(this.view, 0, uuid);
    this.sumSuperblock();
  }

  /** Makes the superblock fit its checksum again. */
  sumSuperblock(): void {
    Sb.s_checksum.set(this.view, 0, 0);
    Sb.s_checksum.set(this.view, 0, crc32c(0xffffffff, this.bytes, 0, Sb.byteLength));
  }

  /** A descriptor and its data blocks. Returns the descriptor's journal block. */
  descriptor(...logged: Logged[]): number {
    const number = this.#begin(JBD2_DESCRIPTOR_BLOCK);
    const data = logged.map((each) => this.#dataBlock(each));
    let at = number * BLOCK_SIZE + Header.byteLength;
    for (const [index, each] of logged.entries()) {
      let flags = index === 0 ? 0 : JBD2_FLAG_SAME_UUID;
      if (index === logged.length - 1) flags |= JBD2_FLAG_LAST_TAG;
      if (each.magic) flags |= JBD2_FLAG_ESCAPE;
      at = this.#tag(at, each.block, flags, data[index]);
    }
    this.#sumTail(number);
    this.#crc = crc32Be(this.#crc, this.#block(number));
    for (const block of data) {
      this.#block(this.position).set(block);
      this.#advance();
      this.#crc = crc32Be(this.#crc, block);
    }
    return number;
  }

  /** A revoke block. */
  revoke(...blocks: number[]): number {
    const number = this.#begin(JBD2_REVOKE_BLOCK);
    const size = this.#incompat(INCOMPAT_64BIT) ? 8 : 4;
    let at = number * BLOCK_SIZE + JournalRevokeHeader.byteLength;
    for (const block of blocks) {
      if (size === 8) this.view.setUint32(at, Math.floor(block / 2 ** 32));
      this.view.setUint32(at + size - 4, block % 2 ** 32);
      at += size;
    }
    JournalRevokeHeader.r_count.set(this.view, number * BLOCK_SIZE, at - number * BLOCK_SIZE);
    this.#sumTail(number);
    return number;
  }

  /** A commit block; `seconds` is its time. */
  commit(seconds: number): number {
    const number = this.#begin(JBD2_COMMIT_BLOCK);
    const at = number * BLOCK_SIZE;
    CommitHeader.h_commit_sec.set(this.view, at, seconds);
    if ((this.#options.compat ?? 0) & COMPAT_CHECKSUM) {
      CommitHeader.h_chksum_type.set(this.view, at, JBD2_CRC32_CHKSUM);
      CommitHeader.h_chksum_size.set(this.view, at, 4);
      CommitHeader.h_chksum.set(this.view, at, this.#crc);
    }
    if (this.#hasChecksums) {
      CommitHeader.h_chksum.set(this.view, at, crc32c(this.#seed, this.#block(number)));
    }
    this.#crc = 0xffffffff;
    this.tid = (this.tid + 1) >>> 0;
    return number;
  }

  /** One transaction with these blocks. */
  transaction(seconds: number, ...logged: Logged[]): void {
    this.descriptor(...logged);
    this.commit(seconds);
  }

  /** Inverts a bit of a journal block. */
  flip(number: number, byte: number): void {
    this.bytes[number * BLOCK_SIZE + byte] ^= 1;
  }

  get #hasChecksums(): boolean {
    return this.#incompat(INCOMPAT_CSUM_V2 | INCOMPAT_CSUM_V3);
  }

  #incompat(bits: number): boolean {
    return ((this.#options.incompat ?? 0) & bits) !== 0;
  }

  #block(number: number): Uint8Array<ArrayBuffer> {
    return this.bytes.subarray(number * BLOCK_SIZE, (number + 1) * BLOCK_SIZE);
  }

  #advance(): void {
    this.position++;
    if (this.position === this.#end) this.position = this.#options.first ?? 1;
  }

  #begin(type: number): number {
    const number = this.position;
    this.#block(number).fill(0);
    Header.h_magic.set(this.view, number * BLOCK_SIZE, JBD2_MAGIC_NUMBER);
    Header.h_blocktype.set(this.view, number * BLOCK_SIZE, type);
    Header.h_sequence.set(this.view, number * BLOCK_SIZE, this.tid);
    this.#advance();
    return number;
  }

  /** A data block as it is in the log. */
  #dataBlock({ fill, magic }: Logged): Uint8Array<ArrayBuffer> {
    const data = new Uint8Array(BLOCK_SIZE).fill(fill);
    if (magic) data.fill(0, 0, 4);
    return data;
  }

  /** Writes a tag, and the UUID where it belongs; returns the byte behind. */
  #tag(at: number, block: number, flags: number, data: Uint8Array): number {
    const tid = new Uint8Array(4);
    new DataView(tid.buffer).setUint32(0, this.tid);
    const sum = crc32c(crc32c(this.#seed, tid), data);
    const wide = this.#incompat(INCOMPAT_64BIT);
    let size: number;
    if (this.#incompat(INCOMPAT_CSUM_V3)) {
      size = Tag3.byteLength;
      Tag3.t_flags.set(this.view, at, flags);
      Tag3.t_checksum.set(this.view, at, sum);
      if (wide) Tag3.t_blocknr_high.set(this.view, at, Math.floor(block / 2 ** 32));
    } else {
      size = wide ? 12 : 8;
      Tag.t_flags.set(this.view, at, flags);
      if (wide) Tag.t_blocknr_high.set(this.view, at, Math.floor(block / 2 ** 32));
      if (this.#incompat(INCOMPAT_CSUM_V2)) {
        size += 2;
        Tag.t_checksum.set(this.view, at, sum & 0xffff);
      }
    }
    Tag.t_blocknr.set(this.view, at, block % 2 ** 32);
    return at + size + (flags & JBD2_FLAG_SAME_UUID ? 0 : TAG_UUID_SIZE);
  }

  #sumTail(number: number): void {
    if (!this.#hasChecksums) return;
    const at = (number + 1) * BLOCK_SIZE - 4;
    this.view.setUint32(at, crc32c(this.#seed, this.#block(number)));
  }
}
