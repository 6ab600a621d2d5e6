/**
 * An open journal: its superblock, checked once and held as plain numbers. The log is addressed by
 * journal block number, whatever it lies on: the blocks of an inode, or a device of its own.
 *
 *     0 .. first      superblock (and what is in front of it on a device of its own)
 *     first .. end    the log, a ring
 *     end             never used
 *     end + 1 ..      fast commits, up to the end of the journal
 *
 * Without the fast_commit feature the ring goes up to the end of the journal.
 */

import { crc32c } from "../disk/crc32c.ts";
import {
  JBD2_CRC32C_CHKSUM,
  JBD2_DEFAULT_FAST_COMMIT_BLOCKS,
  JBD2_MAGIC_NUMBER,
  JBD2_MAX_INTERNAL_BLOCKS,
  JBD2_MIN_JOURNAL_BLOCKS,
  JBD2_SUPERBLOCK_V1,
  JBD2_SUPERBLOCK_V2,
  JournalSuperblock as Sb,
} from "../disk/journal.ts";
import type { Device } from "../block/device.ts";
import { viewOf } from "../sys/bytes.ts";
import { badChecksum, corrupt, fail } from "../sys/fs_error.ts";
import { JournalFeatures } from "./features.ts";

/** The log's medium, by journal block number. */
export interface JournalBlocks {
  /** Bytes of a block: the same as of a block of the file system. */
  readonly blockSize: number;
  /** Number of blocks. */
  readonly length: number;
  /** Fills `into`, one block long. Throws FsError. */
  read(block: number, into: Uint8Array<ArrayBuffer>): void;
}

/** The medium of a log that can be written to. */
export interface WritableJournalBlocks extends JournalBlocks {
  /** What the blocks are on, for flushes. */
  readonly device: Device;
  /** Writes whole blocks, from `block` on. Throws FsError. */
  write(block: number, bytes: Uint8Array<ArrayBuffer>): void;
}

export interface OpenJournalOptions {
  /** Journal block with the superblock: 0 unless the journal has a device of its own. */
  readonly superblockBlock?: number;
  /**
   * Most blocks that the journal may claim. The default is what mke2fs makes at most inside a file
   * system, where extents that overlap can make a log of any length out of a few blocks.
   */
  readonly maxBlocks?: number;
}

/** Where the fast commits are: `first` up to, not including, `end`. */
export interface FastCommitArea {
  readonly first: number;
  readonly end: number;
}

export class Journal<Blocks extends JournalBlocks = JournalBlocks> {
  readonly blocks: Blocks;
  /** Bytes of a block. */
  readonly blockSize: number;
  /** Journal block with the superblock. */
  readonly superblockBlock: number;
  /** That block as it is on the disk. */
  readonly superblockBytes: Uint8Array<ArrayBuffer>;
  /** The superblock's 1024 bytes as they are on the disk, for `JournalSuperblock`'s accessors. */
  readonly view: DataView<ArrayBuffer>;
  /** 1 or 2. */
  readonly version: number;
  readonly features: JournalFeatures;
  readonly uuid: Uint8Array<ArrayBuffer>;
  /** File systems that share the journal; zero is usual inside a file system. */
  readonly userCount: number;

  /** Number of blocks in use by the journal as a whole. */
  readonly length: number;
  /** First block of the ring. */
  readonly first: number;
  /** Block behind the ring. */
  readonly end: number;
  /** Undefined without the fast_commit feature. */
  readonly fastCommits: FastCommitArea | undefined;

  /** Oldest transaction of the log: the first to replay. */
  readonly sequence: number;
  /** Block at which it starts; zero: there is nothing to replay. */
  readonly start: number;
  /** Zero, or the negative errno for which the journal was aborted. */
  readonly errno: number;

  /** True when metadata of the log carries crc32c checksums (version 2 or 3). */
  readonly hasChecksums: boolean;
  /** Where every crc32c starts. */
  readonly checksumSeed: number;

  /** @param block the block with the superblock, kept */
  private constructor(
    blocks: Blocks,
    block: Uint8Array<ArrayBuffer>,
    options: OpenJournalOptions,
  ) {
    const raw = block.subarray(0, Sb.byteLength);
    const view = viewOf(raw);
    this.blocks = blocks;
    this.blockSize = blocks.blockSize;
    this.superblockBlock = options.superblockBlock ?? 0;
    this.superblockBytes = block;
    this.view = view;
    this.version = readVersion(view);
    this.features = this.version === 1 ? new JournalFeatures(0, 0, 0) : readFeatures(view);
    this.hasChecksums = this.features.has("journal_checksum_v2") ||
      this.features.has("journal_checksum_v3");
    checkChecksum(raw, view, this.features, this.hasChecksums);
    this.uuid = Sb.s_uuid.get(view, 0);
    this.checksumSeed = crc32c(0xffffffff, this.uuid);
    this.userCount = this.version === 1 ? 0 : Sb.s_nr_users.get(view, 0);

    this.length = Sb.s_maxlen.get(view, 0);
    this.first = Sb.s_first.get(view, 0);
    const fastCommitCount = this.features.has("fast_commit")
      ? Sb.s_num_fc_blks.get(view, 0) || JBD2_DEFAULT_FAST_COMMIT_BLOCKS
      : 0;
    this.end = this.length - fastCommitCount;
    this.fastCommits = fastCommitCount === 0
      ? undefined
      : { first: this.end + 1, end: this.length };
    this.#checkGeometry(options);

    this.sequence = Sb.s_sequence.get(view, 0);
    this.start = Sb.s_start.get(view, 0);
    if (this.start !== 0 && (this.start < this.first || this.start >= this.end)) {
      throw corrupt(
        `journal superblock: the log starts at block ${this.start}, outside ${this.first} to ${this.end}`,
      );
    }
    this.errno = Sb.s_errno.get(view, 0) | 0;
  }

  /**
   * Opens a journal. Throws FsError: EUCLEAN or EBADMSG for a damaged superblock, EINVAL for
   * features that are unknown here.
   */
  static open<Blocks extends JournalBlocks>(
    blocks: Blocks,
    options: OpenJournalOptions = {},
  ): Journal<Blocks> {
    const block = options.superblockBlock ?? 0;
    if (blocks.length <= block) throw corrupt(`journal: ${blocks.length} blocks`);
    const bytes = new Uint8Array(blocks.blockSize);
    blocks.read(block, bytes);
    return new Journal(blocks, bytes, options);
  }

  /** True when the log holds what the file system may not have yet. */
  get needsRecovery(): boolean {
    return this.start !== 0;
  }

  /** The block of the ring that is `count` blocks behind another; `count` is less than the ring. */
  advance(block: number, count: number): number {
    const next = block + count;
    return next < this.end ? next : next - (this.end - this.first);
  }

  #checkGeometry(options: OpenJournalOptions): void {
    const blockSize = Sb.s_blocksize.get(this.view, 0);
    if (blockSize !== this.blockSize) {
      throw corrupt(`journal superblock: block size ${blockSize} instead of ${this.blockSize}`);
    }
    if (this.length > this.blocks.length) {
      throw corrupt(
        `journal superblock: ${this.length} blocks in a journal of ${this.blocks.length}`,
      );
    }
    if (this.length > (options.maxBlocks ?? JBD2_MAX_INTERNAL_BLOCKS)) {
      throw corrupt(`journal superblock: ${this.length} blocks, more than any journal has`);
    }
    if (this.first <= (options.superblockBlock ?? 0)) {
      throw corrupt(`journal superblock: first block ${this.first}`);
    }
    // A fast-commit area larger than the journal makes `end` negative, which ends here as well.
    const ring = this.end - (this.first - 1);
    if (ring < JBD2_MIN_JOURNAL_BLOCKS) {
      throw corrupt(
        `journal superblock: a log of blocks ${this.first} to ${this.end}, shorter than any`,
      );
    }
  }
}

/** Opens a journal: see {@linkcode Journal.open}. */
export function openJournal<Blocks extends JournalBlocks>(
  blocks: Blocks,
  options?: OpenJournalOptions,
): Journal<Blocks> {
  return Journal.open(blocks, options);
}

function readVersion(view: DataView): number {
  const magic = Sb.h_magic.get(view, 0);
  if (magic !== JBD2_MAGIC_NUMBER) {
    throw corrupt(`journal superblock: magic 0x${magic.toString(16)} instead of 0xc03b3998`);
  }
  const type = Sb.h_blocktype.get(view, 0);
  if (type === JBD2_SUPERBLOCK_V1) return 1;
  if (type === JBD2_SUPERBLOCK_V2) return 2;
  throw corrupt(`journal superblock: block type ${type}`);
}

function readFeatures(view: DataView): JournalFeatures {
  const features = new JournalFeatures(
    Sb.s_feature_compat.get(view, 0),
    Sb.s_feature_incompat.get(view, 0),
    Sb.s_feature_ro_compat.get(view, 0),
  );
  if (features.unknown.length > 0) {
    throw fail("EINVAL", `unsupported journal features: ${features.unknown.join(" ")}`);
  }
  const kinds = (["journal_checksum", "journal_checksum_v2", "journal_checksum_v3"] as const)
    .filter((name) => features.has(name));
  if (kinds.length > 1) {
    throw corrupt(`journal superblock: features that exclude each other: ${kinds.join(" ")}`);
  }
  return features;
}

function checkChecksum(
  raw: Uint8Array<ArrayBuffer>,
  view: DataView,
  features: JournalFeatures,
  hasChecksums: boolean,
): void {
  if (!hasChecksums) return;
  const type = Sb.s_checksum_type.get(view, 0);
  if (type !== JBD2_CRC32C_CHKSUM) {
    throw corrupt(`journal superblock: checksum type ${type} with ${features.names().join(" ")}`);
  }
  if (checksumWithZero(0xffffffff, raw, Sb.s_checksum.offset) !== Sb.s_checksum.get(view, 0)) {
    throw badChecksum("the journal superblock");
  }
}

const ZEROS = new Uint8Array(4);

/** crc32c of a block whose checksum field, at byte `field`, counts as zero. */
export function checksumWithZero(seed: number, bytes: Uint8Array, field: number): number {
  const before = crc32c(seed, bytes, 0, field);
  return crc32c(crc32c(before, ZEROS), bytes, field + ZEROS.length);
}
