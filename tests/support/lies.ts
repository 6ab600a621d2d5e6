/**
 * Changes to the structures of an image that make sense by themselves, and lie: blocks in use that
 * are free by the bitmap, pointers to what is something else already, links that nobody has, limits
 * that nothing keeps.
 */

import { Ext4DirEntry2 as Entry } from "../../src/disk/directory.ts";
import {
  Ext4Extent as Extent,
  Ext4ExtentHeader as Header,
  EXTENT_ENTRY_SIZE,
} from "../../src/disk/extent.ts";
import { COMPAT, INCOMPAT, RO_COMPAT } from "../../src/disk/features.ts";
import { Ext4GroupDesc as Desc } from "../../src/disk/group_desc.ts";
import { Ext4Inode } from "../../src/disk/inode.ts";
import { JournalSuperblock as Jsb } from "../../src/disk/journal.ts";
import { Ext4SuperBlock as Sb } from "../../src/disk/superblock.ts";
import { Ext4XattrEntry, Ext4XattrHeader } from "../../src/disk/xattr.ts";
import type { Random } from "./random.ts";
import type { Structure, StructureKind } from "./structures.ts";

/** What lies need to know of a sound image. */
export interface Truth {
  readonly blockSize: number;
  readonly blocks: number;
  readonly inodes: number;
  readonly structures: readonly Structure[];
  readonly byKind: ReadonlyMap<StructureKind, readonly Structure[]>;
}

/** A number field of a structure. */
interface NumberField {
  readonly size: number;
  readonly offset: number;
  get(view: DataView, at: number): number;
  set(view: DataView, at: number, value: number): void;
}

const EDGES = [0, 1, 2, 3, 7, 8, 11, 12, 13, 255, 1023, 1024, 0x7fff, 0x8000, 0x8001, 0xffff];
const LARGE = [0x10000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];
const FLAG_BITS = [4, 5, 11, 12, 18, 19, 20, 21, 28, 29, 30];
const MODES = [0o010644, 0o020644, 0o040755, 0o060644, 0o100644, 0o120777, 0o140644, 0, 0o170000];

/** Tells a lie in a structure by chance. */
export function lie(
  truth: Truth,
  { kind, start, length, group }: Structure,
  bytes: Uint8Array<ArrayBuffer>,
  random: Random,
): void {
  const view = new DataView(bytes.buffer);
  const set = (fields: readonly NumberField[], values: readonly number[]) =>
    random.pick(fields).set(view, start, random.pick(values));
  switch (kind) {
    case "superblock":
      return lieInSuperblock(truth, view, start, random);
    case "descriptor":
      if (random.oneIn(3)) {
        const fields = [
          Desc.bg_block_bitmap_lo,
          Desc.bg_inode_bitmap_lo,
          Desc.bg_inode_table_lo,
        ];
        return set(fields, [blockOf(truth, random), random.below(truth.blocks)]);
      }
      return set([
        Desc.bg_flags,
        Desc.bg_itable_unused_lo,
        Desc.bg_free_blocks_count_lo,
        Desc.bg_free_inodes_count_lo,
        Desc.bg_used_dirs_count_lo,
      ], EDGES);
    case "block bitmap":
    case "inode bitmap":
      return lieInBitmap(truth, kind, group!, start, bytes, random);
    case "inode":
      return lieInInode(truth, view, start, random);
    case "extents":
      return lieInExtents(truth, view, start, random);
    case "pointers":
      return pointSomewhere(truth, view, start, length, random);
    case "leaf":
      return lieInLeaf(truth, view, start, length, random);
    case "index": {
      const at = start + 32 + 8 * random.below(6);
      const what = random.below(4);
      if (what < 2) view.setUint32(at + 4, random.below(8), true);
      else if (what === 2) view.setUint32(at, random.uint32(), true);
      else view.setUint16(start + 34, random.pick(EDGES), true);
      return;
    }
    case "xattrs":
      if (random.oneIn(2)) return set([Ext4XattrHeader.h_refcount], [...EDGES, ...LARGE]);
      {
        const at = start + Ext4XattrHeader.byteLength;
        const fields = [
          Ext4XattrEntry.e_value_inum,
          Ext4XattrEntry.e_value_size,
          Ext4XattrEntry.e_value_offs,
        ];
        random.pick(fields).set(view, at, random.pick([...EDGES, random.below(truth.inodes)]));
      }
      return;
    case "journal":
      return set([
        Jsb.s_maxlen,
        Jsb.s_first,
        Jsb.s_start,
        Jsb.s_sequence,
        Jsb.s_errno,
        Jsb.s_feature_compat,
        Jsb.s_feature_incompat,
        Jsb.s_nr_users,
        Jsb.s_num_fc_blks,
        Jsb.h_blocktype,
      ], [...EDGES, ...LARGE, 256, 512, 1025]);
    case "orphans":
      view.setUint32(start + 4 * random.below(20), random.below(truth.inodes + 2), true);
      return;
    default:
      view.setUint32(start + 4 * random.below(length / 4), random.pick([...EDGES, ...LARGE]), true);
  }
}

/** A block that is something already. */
function blockOf({ structures, blockSize }: Truth, random: Random): number {
  return Math.floor(random.pick(structures).start / blockSize);
}

function pointer(truth: Truth, random: Random): number {
  return random.oneIn(2) ? blockOf(truth, random) : random.below(truth.blocks + 2);
}

function lieInSuperblock(truth: Truth, view: DataView, start: number, random: Random): void {
  const number = () => random.pick([...EDGES, ...LARGE, random.below(truth.inodes + 2)]);
  if (random.oneIn(3)) {
    const field = random.pick([
      Sb.s_feature_compat,
      Sb.s_feature_incompat,
      Sb.s_feature_ro_compat,
    ]);
    const known = Object.values(
      field === Sb.s_feature_compat
        ? COMPAT
        : field === Sb.s_feature_incompat
        ? INCOMPAT
        : RO_COMPAT,
    );
    field.set(view, start, (field.get(view, start) ^ random.pick(known)) >>> 0);
    return;
  }
  random.pick<NumberField>([
    ...[Sb.s_last_orphan, Sb.s_last_orphan, Sb.s_journal_inum, Sb.s_usr_quota_inum],
    ...[Sb.s_grp_quota_inum, Sb.s_prj_quota_inum, Sb.s_orphan_file_inum, Sb.s_first_ino],
    ...[Sb.s_first_meta_bg, Sb.s_reserved_gdt_blocks, Sb.s_desc_size, Sb.s_inode_size],
    ...[Sb.s_log_groups_per_flex, Sb.s_def_hash_version, Sb.s_mmp_block, Sb.s_mmp_interval],
    ...[Sb.s_want_extra_isize, Sb.s_min_extra_isize, Sb.s_errors, Sb.s_state, Sb.s_rev_level],
    ...[Sb.s_first_data_block, Sb.s_blocks_per_group, Sb.s_inodes_per_group],
    ...[Sb.s_r_blocks_count_lo, Sb.s_free_blocks_count_lo, Sb.s_overhead_clusters],
    ...[Sb.s_log_cluster_size, Sb.s_clusters_per_group, Sb.s_blocks_count_lo],
    ...[Sb.s_default_mount_opts, Sb.s_flags, Sb.s_encoding_flags, Sb.s_error_count],
  ]).set(view, start, number());
}

/** Frees what is in use, or the other way round; most of the time the counts agree. */
function lieInBitmap(
  truth: Truth,
  kind: StructureKind,
  group: number,
  start: number,
  bytes: Uint8Array<ArrayBuffer>,
  random: Random,
): void {
  const from = start + random.below(random.oneIn(2) ? 64 : truth.blockSize);
  const end = Math.min(from + random.pick([1, 1, 4, 32, 1024]), start + truth.blockSize);
  const before = ones(bytes, start, truth.blockSize);
  if (random.oneIn(4)) bytes.fill(0xff, from, end);
  else if (random.oneIn(2)) bytes.fill(0, from, end);
  else bytes[from] &= ~(1 << random.below(8));
  if (random.oneIn(8)) return;
  const freed = before - ones(bytes, start, truth.blockSize);
  const descriptor = truth.byKind.get("descriptor")!.find((other) => other.group === group)!;
  const field = kind === "block bitmap"
    ? Desc.bg_free_blocks_count_lo
    : Desc.bg_free_inodes_count_lo;
  const view = new DataView(bytes.buffer);
  field.set(view, descriptor.start, (field.get(view, descriptor.start) + freed) & 0xffff);
}

function ones(bytes: Uint8Array, start: number, length: number): number {
  let count = 0;
  for (let at = start; at < start + length; at++) {
    for (let byte = bytes[at]; byte !== 0; byte &= byte - 1) count++;
  }
  return count;
}

function lieInInode(truth: Truth, view: DataView, start: number, random: Random): void {
  const block = start + Ext4Inode.i_block.offset;
  switch (random.below(9)) {
    case 0:
      return Ext4Inode.i_links_count.set(view, start, random.pick([0, 0, 1, 2, 3, 65000, 65535]));
    case 1: {
      const flags = Ext4Inode.i_flags.get(view, start);
      return Ext4Inode.i_flags.set(view, start, (flags ^ 2 ** random.pick(FLAG_BITS)) >>> 0);
    }
    case 2:
      return Ext4Inode.i_mode.set(view, start, random.pick(MODES));
    case 3:
      Ext4Inode.i_size_lo.set(view, start, random.pick([...EDGES, ...LARGE, random.uint32()]));
      if (random.oneIn(3)) Ext4Inode.i_size_high.set(view, start, random.pick(EDGES));
      return;
    case 4:
      return Ext4Inode.i_blocks_lo.set(view, start, random.pick([...EDGES, ...LARGE]));
    case 5:
      return Ext4Inode.i_file_acl_lo.set(view, start, pointer(truth, random));
    case 6:
      return random.pick<NumberField>([
        ...[Ext4Inode.i_dtime, Ext4Inode.i_extra_isize, Ext4Inode.l_i_file_acl_high],
        ...[Ext4Inode.i_generation, Ext4Inode.l_i_version, Ext4Inode.i_mtime],
      ]).set(view, start, random.pick([...EDGES, random.below(truth.inodes)]));
    default:
      if (Header.eh_magic.get(view, block) === 0xf30a) lieInExtents(truth, view, block, random);
      else pointSomewhere(truth, view, block, Ext4Inode.i_block.size, random);
  }
}

function lieInExtents(truth: Truth, view: DataView, at: number, random: Random): void {
  const count = Math.max(1, Math.min(4, Header.eh_entries.get(view, at)));
  const entry = at + EXTENT_ENTRY_SIZE * (1 + random.below(count));
  const length = Extent.ee_len.get(view, entry);
  switch (random.below(6)) {
    case 0:
      return random.pick([Header.eh_entries, Header.eh_max, Header.eh_depth])
        .set(view, at, random.below(6));
    case 1:
      return Extent.ee_block.set(view, entry, random.pick([...EDGES, ...LARGE]));
    case 2:
      return Extent.ee_len.set(view, entry, (length + 0x8000) & 0xffff);
    case 3:
      return Extent.ee_len.set(view, entry, random.pick(EDGES));
    default:
      // Where an index has it, too, but for two bytes.
      if (Header.eh_depth.get(view, at) === 0) {
        Extent.ee_start_lo.set(view, entry, pointer(truth, random));
      } else view.setUint32(entry + 4, pointer(truth, random), true);
  }
}

function pointSomewhere(
  truth: Truth,
  view: DataView,
  start: number,
  length: number,
  random: Random,
): void {
  view.setUint32(start + 4 * random.below(length / 4), pointer(truth, random), true);
}

function lieInLeaf(
  truth: Truth,
  view: DataView,
  start: number,
  length: number,
  random: Random,
): void {
  let at = start;
  for (let left = random.below(20); left > 0; left--) {
    const next = at + Entry.rec_len.get(view, at);
    if (next <= at || next + Entry.byteLength > start + length) break;
    at = next;
  }
  switch (random.below(4)) {
    case 0:
      return Entry.rec_len.set(view, at, random.pick([0, 4, 8, 12, 16, 1024, 0xffff]));
    case 1:
      return Entry.name_len.set(view, at, random.pick([0, 1, 2, 4, 255]));
    default:
      return Entry.inode.set(view, at, random.below(truth.inodes + 2));
  }
}
