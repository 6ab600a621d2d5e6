/**
 * Reads the fast commits behind the last full commit: a list of what happened to the file system,
 * in order. To make it happen again is the file system's affair, not the journal's.
 *
 * A fast commit counts when its tail is there and fits; from the first that does not, the area
 * holds what is left over from earlier transactions.
 */

import { crc32c } from "../disk/crc32c.ts";
import { Ext4Extent, EXT_INIT_MAX_LEN } from "../disk/extent.ts";
import {
  EXT4_FC_SUPPORTED_FEATURES,
  EXT4_FC_TAG_ADD_RANGE,
  EXT4_FC_TAG_CREAT,
  EXT4_FC_TAG_DEL_RANGE,
  EXT4_FC_TAG_HEAD,
  EXT4_FC_TAG_INODE,
  EXT4_FC_TAG_LINK,
  EXT4_FC_TAG_PAD,
  EXT4_FC_TAG_TAIL,
  EXT4_FC_TAG_UNLINK,
  Ext4FcAddRange,
  Ext4FcDelRange,
  Ext4FcDentryInfo,
  Ext4FcHead,
  Ext4FcInode,
  Ext4FcTail,
  Ext4FcTl,
} from "../disk/fast_commit.ts";
import { EXT4_GOOD_OLD_INODE_SIZE } from "../disk/inode.ts";
import { join32 } from "../disk/struct.ts";
import { badChecksum, corrupt, fail, type FsError } from "../sys/fs_error.ts";
import type { Journal } from "./journal.ts";

const EXT4_NAME_LEN = 255;
/**
 * Most bytes of fast commits to keep in memory, and most records; mke2fs gives them a 64th of the
 * journal, 16 MiB of 1 GiB.
 */
const MAX_BYTES = 64 * 2 ** 20;
const MAX_RECORDS = 2 ** 20;

/** One thing that happened. Numbers are as they are on the disk: not checked against anything. */
export type FastCommitOperation =
  | {
    /** `length` blocks of the file, from `fileBlock` on, are at block `start` of the disk. */
    readonly kind: "add_range";
    readonly ino: number;
    readonly fileBlock: number;
    readonly length: number;
    readonly start: number;
    /** Allocated, but reading as zeros. */
    readonly unwritten: boolean;
  }
  | {
    /** `length` blocks of the file, from `fileBlock` on, are a hole. */
    readonly kind: "del_range";
    readonly ino: number;
    readonly fileBlock: number;
    readonly length: number;
  }
  | {
    /** A name of the directory leads to the inode, or, for unlink, does not exist any more. */
    readonly kind: "creat" | "link" | "unlink";
    readonly parentIno: number;
    readonly ino: number;
    readonly name: Uint8Array<ArrayBuffer>;
  }
  | {
    /** The inode's record up to its last field: 128 bytes or more, perhaps more than fit. */
    readonly kind: "inode";
    readonly ino: number;
    readonly record: Uint8Array<ArrayBuffer>;
  };

export interface FastCommits {
  /** What all complete fast commits did, in order. */
  readonly operations: readonly FastCommitOperation[];
  /** Number of complete fast commits. */
  readonly commits: number;
  /**
   * Set where the area starts with a fast commit for the right transaction, and this first one is
   * damaged. The kernel refuses the mount then; later ones that are damaged it takes for old.
   */
  readonly problem: FsError | undefined;
}

/**
 * Reads the fast commits of a journal that needs recovery.
 *
 * @param expectedTid the transaction behind the last full commit: `nextTid` of the recovery
 */
export function scanFastCommits(journal: Journal, expectedTid: number): FastCommits {
  const scan = new FastCommitScan(expectedTid);
  const area = journal.fastCommits;
  if (area === undefined || !journal.needsRecovery) return scan;
  for (let number = area.first; number < area.end; number++) {
    if ((number - area.first) * journal.blockSize >= MAX_BYTES) {
      throw fail("ENOMEM", `Cannot replay more than ${MAX_BYTES} bytes of fast commits`);
    }
    // Operations keep pieces of the block: it needs memory of its own.
    const bytes = new Uint8Array(journal.blockSize);
    journal.blocks.read(number, bytes);
    if (!scan.take(bytes, number)) break;
  }
  return scan;
}

class FastCommitScan implements FastCommits {
  readonly operations: FastCommitOperation[] = [];
  commits = 0;
  problem: FsError | undefined;

  readonly #expectedTid: number;
  /** Operations since the last tail. */
  #pending: FastCommitOperation[] = [];
  #crc = 0;
  #isFirstRecord = true;

  constructor(expectedTid: number) {
    this.#expectedTid = expectedTid;
  }

  /** Reads the records of a block. False: the fast commits end here. */
  take(bytes: Uint8Array<ArrayBuffer>, number: number): boolean {
    const view = new DataView(bytes.buffer);
    let at = 0;
    while (at + Ext4FcTl.byteLength <= bytes.length) {
      const tag = Ext4FcTl.fc_tag.get(view, at);
      const value = at + Ext4FcTl.byteLength;
      const end = value + Ext4FcTl.fc_len.get(view, at);
      if (this.#isFirstRecord && tag !== EXT4_FC_TAG_HEAD) return false;
      this.#isFirstRecord = false;
      if (end > bytes.length || !isPossible(tag, end - value)) {
        return this.#stop(corrupt(`journal block ${number}: fast-commit record at byte ${at}`));
      }
      if (tag === EXT4_FC_TAG_TAIL) {
        if (!this.#takeTail(bytes, view, at, number)) return false;
      } else {
        if (tag === EXT4_FC_TAG_HEAD && !this.#takeHead(view, value)) return false;
        this.#crc = crc32c(this.#crc, bytes, at, end);
        const operation = decode(tag, view, value, end);
        if (operation !== undefined) this.#add(operation);
      }
      at = end;
    }
    return true;
  }

  #add(operation: FastCommitOperation): void {
    if (this.operations.length + this.#pending.length >= MAX_RECORDS) {
      throw fail("ENOMEM", `Cannot replay more than ${MAX_RECORDS} records of fast commits`);
    }
    this.#pending.push(operation);
  }

  #takeHead(view: DataView, value: number): boolean {
    const unknown = Ext4FcHead.fc_features.get(view, value) & ~EXT4_FC_SUPPORTED_FEATURES;
    if (unknown !== 0) {
      this.problem = fail(
        "EOPNOTSUPP",
        `unsupported fast-commit features: 0x${(unknown >>> 0).toString(16)}`,
      );
      return false;
    }
    return Ext4FcHead.fc_tid.get(view, value) === this.#expectedTid;
  }

  #takeTail(
    bytes: Uint8Array<ArrayBuffer>,
    view: DataView,
    at: number,
    number: number,
  ): boolean {
    const value = at + Ext4FcTl.byteLength;
    const crc = crc32c(this.#crc, bytes, at, value + Ext4FcTail.fc_crc.offset);
    if (
      Ext4FcTail.fc_tid.get(view, value) !== this.#expectedTid ||
      Ext4FcTail.fc_crc.get(view, value) !== crc
    ) {
      return this.#stop(badChecksum(`the fast commit that ends in journal block ${number}`));
    }
    for (const operation of this.#pending) this.operations.push(operation);
    this.#pending = [];
    this.#crc = 0;
    this.commits++;
    return true;
  }

  #stop(problem: FsError): false {
    if (this.commits === 0) this.problem = problem;
    return false;
  }
}

/** True where a value of this length is possible; false for unknown tags. */
function isPossible(tag: number, length: number): boolean {
  switch (tag) {
    case EXT4_FC_TAG_HEAD:
      return length === Ext4FcHead.byteLength;
    case EXT4_FC_TAG_ADD_RANGE:
      return length === Ext4FcAddRange.byteLength;
    case EXT4_FC_TAG_DEL_RANGE:
      return length === Ext4FcDelRange.byteLength;
    case EXT4_FC_TAG_CREAT:
    case EXT4_FC_TAG_LINK:
    case EXT4_FC_TAG_UNLINK: {
      const name = length - Ext4FcDentryInfo.byteLength;
      return name >= 1 && name <= EXT4_NAME_LEN;
    }
    case EXT4_FC_TAG_INODE:
      return length >= Ext4FcInode.byteLength + EXT4_GOOD_OLD_INODE_SIZE;
    case EXT4_FC_TAG_TAIL:
      return length >= Ext4FcTail.byteLength;
    default:
      return tag === EXT4_FC_TAG_PAD;
  }
}

/** Undefined for records that do nothing. */
function decode(
  tag: number,
  view: DataView<ArrayBuffer>,
  value: number,
  end: number,
): FastCommitOperation | undefined {
  switch (tag) {
    case EXT4_FC_TAG_ADD_RANGE:
      return decodeAddRange(view, value);
    case EXT4_FC_TAG_DEL_RANGE:
      return {
        kind: "del_range",
        ino: Ext4FcDelRange.fc_ino.get(view, value),
        fileBlock: Ext4FcDelRange.fc_lblk.get(view, value),
        length: Ext4FcDelRange.fc_len.get(view, value),
      };
    case EXT4_FC_TAG_CREAT:
      return decodeName("creat", view, value, end);
    case EXT4_FC_TAG_LINK:
      return decodeName("link", view, value, end);
    case EXT4_FC_TAG_UNLINK:
      return decodeName("unlink", view, value, end);
    case EXT4_FC_TAG_INODE:
      return {
        kind: "inode",
        ino: Ext4FcInode.fc_ino.get(view, value),
        record: piece(view, value + Ext4FcInode.byteLength, end),
      };
    default:
      return undefined;
  }
}

function decodeAddRange(view: DataView, value: number): FastCommitOperation {
  const extent = value + Ext4FcAddRange.fc_ex.offset;
  const length = Ext4Extent.ee_len.get(view, extent);
  const unwritten = length > EXT_INIT_MAX_LEN;
  return {
    kind: "add_range",
    ino: Ext4FcAddRange.fc_ino.get(view, value),
    fileBlock: Ext4Extent.ee_block.get(view, extent),
    length: unwritten ? length - EXT_INIT_MAX_LEN : length,
    start: join32(
      Ext4Extent.ee_start_lo.get(view, extent),
      Ext4Extent.ee_start_hi.get(view, extent),
    ),
    unwritten,
  };
}

function decodeName(
  kind: "creat" | "link" | "unlink",
  view: DataView<ArrayBuffer>,
  value: number,
  end: number,
): FastCommitOperation {
  return {
    kind,
    parentIno: Ext4FcDentryInfo.fc_parent_ino.get(view, value),
    ino: Ext4FcDentryInfo.fc_ino.get(view, value),
    name: piece(view, value + Ext4FcDentryInfo.byteLength, end),
  };
}

function piece(view: DataView<ArrayBuffer>, start: number, end: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(view.buffer, start, end - start);
}
