/**
 * Fast commits that nobody made: records that are sound by themselves, with the checksums that they
 * need to count, about files, blocks and names by chance.
 */

import { crc32c } from "../../src/disk/crc32c.ts";
import { Ext4Extent as Extent, EXT_INIT_MAX_LEN } from "../../src/disk/extent.ts";
import {
  EXT4_FC_TAG_ADD_RANGE,
  EXT4_FC_TAG_CREAT,
  EXT4_FC_TAG_DEL_RANGE,
  EXT4_FC_TAG_HEAD,
  EXT4_FC_TAG_INODE,
  EXT4_FC_TAG_LINK,
  EXT4_FC_TAG_PAD,
  EXT4_FC_TAG_TAIL,
  EXT4_FC_TAG_UNLINK,
  Ext4FcAddRange as AddRange,
  Ext4FcDelRange as DelRange,
  Ext4FcDentryInfo as DentryInfo,
  Ext4FcHead as Head,
  Ext4FcInode as FcInode,
  Ext4FcTail as Tail,
  Ext4FcTl as Tl,
} from "../../src/disk/fast_commit.ts";
import { INCOMPAT } from "../../src/disk/features.ts";
import { EXT4_JOURNAL_INO, Ext4Inode } from "../../src/disk/inode.ts";
import { JournalSuperblock as Jsb } from "../../src/disk/journal.ts";
import { Ext4SuperBlock as Sb, SUPERBLOCK_OFFSET } from "../../src/disk/superblock.ts";
import type { FileSystem } from "../../src/ext4/filesystem.ts";
import { mapBlocks } from "../../src/ext4/map/block_map.ts";
import type { Truth } from "./lies.ts";
import type { Random } from "./random.ts";

const NAMES = ["data", "tiny", "sparse", "names", "small", "linked", "fast", "lost+found", "new"];
const FAST_COMMIT = 0x20;
const EDGES = [0, 1, 2, 11, 12, 13, 100, 0x7fff, 0x8000, 0x8001, 0xffff];
const MODES = [0o100644, 0o040755, 0o120777, 0o020600, 0, 0o170000];

/** Puts fast commits into the journal of an image, which needs recovery from then on. */
export function addFastCommits(
  fs: FileSystem,
  truth: Truth,
  bytes: Uint8Array<ArrayBuffer>,
  random: Random,
): void {
  const view = new DataView(bytes.buffer);
  const journal = fs.ownInode(EXT4_JOURNAL_INO, "journal");
  const byteOf = (block: number) =>
    mapBlocks(fs, journal, block, 1).physicalBlock * truth.blockSize;
  const superblock = byteOf(0);
  Jsb.s_start.set(view, superblock, Jsb.s_first.get(view, superblock));
  const incompat = Jsb.s_feature_incompat.get(view, superblock);
  Jsb.s_feature_incompat.set(view, superblock, incompat | FAST_COMMIT);
  const features = Sb.s_feature_incompat.get(view, SUPERBLOCK_OFFSET);
  Sb.s_feature_incompat.set(view, SUPERBLOCK_OFFSET, features | INCOMPAT.needs_recovery);
  const length = Jsb.s_maxlen.get(view, superblock);
  const first = length - Jsb.s_num_fc_blks.get(view, superblock) + 1;
  const area = new Area(truth.blockSize, Jsb.s_sequence.get(view, superblock));
  const maker = new Maker(truth, bytes, random);
  for (let commits = 1 + random.below(3); commits > 0; commits--) {
    for (let records = 1 + random.below(6); records > 0; records--) maker.addTo(area);
    area.end();
  }
  for (let block = 0; block < area.blocks.length && first + block < length; block++) {
    bytes.set(area.blocks[block], byteOf(first + block));
  }
}

/** The area of fast commits: blocks of records. */
class Area {
  readonly blocks: Uint8Array<ArrayBuffer>[] = [];
  readonly #blockSize: number;
  readonly #tid: number;
  #at = 0;
  #crc = 0;

  constructor(blockSize: number, tid: number) {
    this.#blockSize = blockSize;
    this.#tid = tid;
    this.#open();
    const head = new DataView(new ArrayBuffer(Head.byteLength));
    Head.fc_tid.set(head, 0, tid);
    this.add(EXT4_FC_TAG_HEAD, new Uint8Array(head.buffer));
  }

  add(tag: number, value: Uint8Array): void {
    const size = Tl.byteLength + value.length;
    // There has to be room for padding, or for a tail.
    if (this.#at + size + Tl.byteLength + Tail.byteLength > this.#blockSize) this.#pad();
    this.#put(tag, value, value.length);
  }

  /** The end of a fast commit. */
  end(): void {
    const { block } = this;
    const view = new DataView(block.buffer);
    const value = this.#at + Tl.byteLength;
    Tl.fc_tag.set(view, this.#at, EXT4_FC_TAG_TAIL);
    Tl.fc_len.set(view, this.#at, this.#blockSize - value);
    Tail.fc_tid.set(view, value, this.#tid);
    const crc = crc32c(this.#crc, block, this.#at, value + Tail.fc_crc.offset);
    Tail.fc_crc.set(view, value, crc);
    this.#crc = 0;
    this.#open();
  }

  get block(): Uint8Array<ArrayBuffer> {
    return this.blocks[this.blocks.length - 1];
  }

  #open(): void {
    this.blocks.push(new Uint8Array(this.#blockSize));
    this.#at = 0;
  }

  #pad(): void {
    const length = this.#blockSize - this.#at - Tl.byteLength;
    this.#put(EXT4_FC_TAG_PAD, new Uint8Array(length), length);
    this.#open();
  }

  #put(tag: number, value: Uint8Array, length: number): void {
    const view = new DataView(this.block.buffer);
    Tl.fc_tag.set(view, this.#at, tag);
    Tl.fc_len.set(view, this.#at, length);
    this.block.set(value, this.#at + Tl.byteLength);
    const end = this.#at + Tl.byteLength + length;
    this.#crc = crc32c(this.#crc, this.block, this.#at, end);
    this.#at = end;
  }
}

class Maker {
  readonly #truth: Truth;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #random: Random;

  constructor(truth: Truth, bytes: Uint8Array<ArrayBuffer>, random: Random) {
    this.#truth = truth;
    this.#bytes = bytes;
    this.#random = random;
  }

  addTo(area: Area): void {
    const random = this.#random;
    const ino = this.#ino();
    switch (random.below(7)) {
      case 0:
      case 1:
        area.add(EXT4_FC_TAG_INODE, this.#inode(ino));
        if (random.oneIn(2)) area.add(EXT4_FC_TAG_CREAT, this.#name(ino));
        return;
      case 2:
        return area.add(EXT4_FC_TAG_ADD_RANGE, this.#range(ino));
      case 3: {
        const view = new DataView(new ArrayBuffer(DelRange.byteLength));
        DelRange.fc_ino.set(view, 0, ino);
        DelRange.fc_lblk.set(view, 0, random.oneIn(4) ? random.uint32() : random.below(200));
        DelRange.fc_len.set(view, 0, random.pick([1, 5, 1000, 0xffffffff]));
        return area.add(EXT4_FC_TAG_DEL_RANGE, new Uint8Array(view.buffer));
      }
      default: {
        const tags = [EXT4_FC_TAG_CREAT, EXT4_FC_TAG_LINK, EXT4_FC_TAG_UNLINK];
        return area.add(random.pick(tags), this.#name(ino));
      }
    }
  }

  #ino(): number {
    const random = this.#random;
    if (random.oneIn(40)) return random.below(this.#truth.inodes + 2);
    // Some are new.
    if (random.oneIn(3)) return 40 + random.below(8);
    const { ino } = random.pick(this.#truth.byKind.get("inode")!);
    return ino === undefined || (ino < 11 && ino !== 2) ? 2 : ino;
  }

  #name(ino: number): Uint8Array {
    const random = this.#random;
    const name = new TextEncoder().encode(random.pick(NAMES).padEnd(random.pick([1, 1, 60]), "x"));
    const value = new Uint8Array(DentryInfo.byteLength + name.length);
    const view = new DataView(value.buffer);
    DentryInfo.fc_parent_ino.set(view, 0, random.oneIn(2) ? 2 : this.#ino());
    DentryInfo.fc_ino.set(view, 0, ino);
    value.set(name, DentryInfo.byteLength);
    return value;
  }

  #range(ino: number): Uint8Array {
    const random = this.#random;
    const { structures, blocks, blockSize } = this.#truth;
    const view = new DataView(new ArrayBuffer(AddRange.byteLength));
    const extent = AddRange.fc_ex.offset;
    AddRange.fc_ino.set(view, 0, ino);
    Extent.ee_block.set(view, extent, random.oneIn(5) ? random.uint32() : random.below(100));
    const length = random.oneIn(12) ? random.pick(EDGES) : 1 + random.below(30);
    Extent.ee_len.set(view, extent, random.oneIn(4) ? (length + EXT_INIT_MAX_LEN) % 65536 : length);
    const start = random.oneIn(20)
      ? Math.floor(random.pick(structures).start / blockSize)
      : blocks - 1 - random.below(random.oneIn(3) ? blocks : 500);
    Extent.ee_start_lo.set(view, extent, start);
    return new Uint8Array(view.buffer);
  }

  /** The record of some inode, with a field or two that are not its own. */
  #inode(ino: number): Uint8Array {
    const random = this.#random;
    const inodes = this.#truth.byKind.get("inode")!;
    const own = inodes.find((inode) => inode.ino === ino);
    const { start, length } = own === undefined || random.oneIn(6) ? random.pick(inodes) : own;
    const record = this.#bytes.slice(start, start + Math.min(length, random.pick([128, 160, 256])));
    const view = new DataView(record.buffer);
    if (random.oneIn(20)) Ext4Inode.i_mode.set(view, 0, random.pick(MODES));
    if (random.oneIn(3)) Ext4Inode.i_links_count.set(view, 0, random.below(3));
    if (random.oneIn(6)) Ext4Inode.i_generation.set(view, 0, random.below(3));
    if (random.oneIn(8)) {
      const flags = Ext4Inode.i_flags.get(view, 0) ^ 2 ** random.pick([11, 12, 19, 21, 28]);
      Ext4Inode.i_flags.set(view, 0, flags >>> 0);
    }
    if (random.oneIn(4)) Ext4Inode.i_size_lo.set(view, 0, random.uint32());
    const value = new Uint8Array(FcInode.byteLength + record.length);
    FcInode.fc_ino.set(new DataView(value.buffer), 0, ino);
    value.set(record, FcInode.byteLength);
    return value;
  }
}
