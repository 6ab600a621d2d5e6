/**
 * An inode in memory: a copy of its record of the inode table, with the old and the newer fields
 * joined. Setters change the copy only: InodeTable.modify brings it to the disk. The record keeps
 * everything that lies in an inode: the root of the extent tree, a short symbolic link, inline data
 * and the attributes behind the fields.
 */

import {
  EXT4_ENCRYPT_FL,
  EXT4_EXTENTS_FL,
  EXT4_GOOD_OLD_INODE_SIZE,
  EXT4_HUGE_FILE_FL,
  EXT4_INLINE_DATA_FL,
  Ext4Inode,
} from "../../disk/inode.ts";
import { type Field, join32 } from "../../disk/struct.ts";
import { sameBytes } from "../../sys/bytes.ts";
import { fail } from "../../sys/fs_error.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../../sys/stat.ts";
import type { Features } from "../../disk/features.ts";
import {
  EXT4_XATTR_INDEX_SYSTEM,
  EXT4_XATTR_MAGIC,
  EXT4_XATTR_ROUND,
  Ext4XattrIbodyHeader,
} from "../../disk/xattr.ts";
import { parseXattrTable, type XattrEntry } from "../xattr/xattr_table.ts";

/** The name, behind its prefix `system.`, of the attribute that continues inline data. */
export const INLINE_DATA = new TextEncoder().encode("data");

/** Seconds since 1970, from -2^31 to 2^34, and nanoseconds. */
export interface InodeTime {
  readonly sec: number;
  readonly nsec: number;
}

/** The two low bits of an *_extra field extend the seconds, the rest counts nanoseconds. */
const EPOCH_BITS = 2;
/** Times that an inode can have, in seconds since 1970; without *_extra fields, up to the second. */
export const MIN_SECONDS = -(2 ** 31);
export const MAX_OLD_SECONDS = 2 ** 31 - 1;
export const MAX_SECONDS = 2 ** 34 - 2 ** 31 - 1;

export class Inode {
  readonly view: DataView<ArrayBuffer>;
  /** Seed of the checksums of this inode's blocks. */
  readonly checksumSeed: number;
  /** Asked for since the last time that the table made room. */
  recent = true;
  readonly #features: Features;
  #hasInlineRoom: boolean | undefined;

  /** @param bytes the inode's own s_inode_size bytes, already checked */
  constructor(
    readonly ino: number,
    readonly bytes: Uint8Array<ArrayBuffer>,
    checksumSeed: number,
    features: Features,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.checksumSeed = checksumSeed;
    this.#features = features;
  }

  get mode(): number {
    return Ext4Inode.i_mode.get(this.view, 0);
  }

  set mode(mode: number) {
    Ext4Inode.i_mode.set(this.view, 0, mode);
  }

  /** The S_IFMT bits of the mode. */
  get fileType(): number {
    return this.mode & S_IFMT;
  }

  get isDirectory(): boolean {
    return this.fileType === S_IFDIR;
  }

  get isRegular(): boolean {
    return this.fileType === S_IFREG;
  }

  get isSymlink(): boolean {
    return this.fileType === S_IFLNK;
  }

  get isDeviceNode(): boolean {
    return this.fileType === S_IFBLK || this.fileType === S_IFCHR;
  }

  get uid(): number {
    return Ext4Inode.i_uid.get(this.view, 0) + Ext4Inode.l_i_uid_high.get(this.view, 0) * 65536;
  }

  set uid(uid: number) {
    Ext4Inode.i_uid.set(this.view, 0, uid & 0xffff);
    Ext4Inode.l_i_uid_high.set(this.view, 0, uid >>> 16);
  }

  get gid(): number {
    return Ext4Inode.i_gid.get(this.view, 0) + Ext4Inode.l_i_gid_high.get(this.view, 0) * 65536;
  }

  set gid(gid: number) {
    Ext4Inode.i_gid.set(this.view, 0, gid & 0xffff);
    Ext4Inode.l_i_gid_high.set(this.view, 0, gid >>> 16);
  }

  /** Bytes. Only regular files, and directories with large_dir, have a high half. */
  get size(): number {
    const low = Ext4Inode.i_size_lo.get(this.view, 0);
    if (!this.isRegular && !this.#features.has("large_dir")) return low;
    return join32(low, Ext4Inode.i_size_high.get(this.view, 0));
  }

  set size(size: number) {
    Ext4Inode.i_size_lo.set(this.view, 0, size % 2 ** 32);
    if (this.isRegular || this.#features.has("large_dir")) {
      Ext4Inode.i_size_high.set(this.view, 0, Math.floor(size / 2 ** 32));
    }
  }

  get linksCount(): number {
    return Ext4Inode.i_links_count.get(this.view, 0);
  }

  set linksCount(count: number) {
    Ext4Inode.i_links_count.set(this.view, 0, count);
  }

  /** EXT4_*_FL */
  get flags(): number {
    return Ext4Inode.i_flags.get(this.view, 0);
  }

  set flags(flags: number) {
    Ext4Inode.i_flags.set(this.view, 0, flags);
  }

  hasFlag(flag: number): boolean {
    return (this.flags & flag) !== 0;
  }

  setFlag(flag: number, on: boolean): void {
    this.flags = on ? this.flags | flag : this.flags & ~flag;
  }

  get usesExtents(): boolean {
    return this.hasFlag(EXT4_EXTENTS_FL);
  }

  get isEncrypted(): boolean {
    return this.hasFlag(EXT4_ENCRYPT_FL);
  }

  /** True when the data lie in the inode. The flag alone, without room for them, means nothing. */
  get hasInlineData(): boolean {
    if (!this.hasFlag(EXT4_INLINE_DATA_FL) || !this.#features.has("inline_data")) return false;
    this.#hasInlineRoom ??= this.inlineXattr(EXT4_XATTR_INDEX_SYSTEM, INLINE_DATA) !== undefined;
    return this.#hasInlineRoom;
  }

  /** The attributes behind the fields. Throws EUCLEAN. */
  xattrEntries(): XattrEntry[] {
    const start = EXT4_GOOD_OLD_INODE_SIZE + this.extraSize;
    const first = start + Ext4XattrIbodyHeader.byteLength;
    if (this.extraSize === 0 || first + EXT4_XATTR_ROUND > this.bytes.length) return [];
    if (Ext4XattrIbodyHeader.h_magic.get(this.view, start) !== EXT4_XATTR_MAGIC) return [];
    return parseXattrTable(this, first, first, { ino: this.ino }, this.#features);
  }

  /** The value of an attribute that lies in the inode itself, in place, or undefined. */
  inlineXattr(index: number, name: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
    return this.xattrEntries()
      .find((entry) => entry.nameIndex === index && sameBytes(entry.name, name))?.value;
  }

  get generation(): number {
    return Ext4Inode.i_generation.get(this.view, 0);
  }

  /**
   * The bytes of the record were changed, or are about to be, by something else than the setters:
   * what was derived from them is worked out anew.
   */
  recordChanged(): void {
    this.#hasInlineRoom = undefined;
  }

  /** Counts a change that i_version tells of. */
  bumpVersion(): void {
    const low = (Ext4Inode.l_i_version.get(this.view, 0) + 1) >>> 0;
    Ext4Inode.l_i_version.set(this.view, 0, low);
    if (low !== 0 || !this.#hasExtra(Ext4Inode.i_version_hi)) return;
    const high = Ext4Inode.i_version_hi.get(this.view, 0);
    Ext4Inode.i_version_hi.set(this.view, 0, (high + 1) >>> 0);
  }

  /** Time of deletion, or the next inode of the orphan list. */
  get dtime(): number {
    return Ext4Inode.i_dtime.get(this.view, 0);
  }

  set dtime(dtime: number) {
    Ext4Inode.i_dtime.set(this.view, 0, dtime);
  }

  /** Block with the attributes that do not fit into the inode, 0 for none. */
  get fileAcl(): number {
    const low = Ext4Inode.i_file_acl_lo.get(this.view, 0);
    if (!this.#features.has("64bit")) return low;
    return join32(low, Ext4Inode.l_i_file_acl_high.get(this.view, 0));
  }

  set fileAcl(block: number) {
    Ext4Inode.i_file_acl_lo.set(this.view, 0, block % 2 ** 32);
    if (this.#features.has("64bit")) {
      Ext4Inode.l_i_file_acl_high.set(this.view, 0, Math.floor(block / 2 ** 32));
    }
  }

  /** Space in use, in units of 512 bytes. */
  blocks512(blockSize: number): number {
    const low = Ext4Inode.i_blocks_lo.get(this.view, 0);
    if (!this.#features.has("huge_file")) return low;
    const count = join32(low, Ext4Inode.l_i_blocks_high.get(this.view, 0));
    return this.hasFlag(EXT4_HUGE_FILE_FL) ? count * (blockSize / 512) : count;
  }

  /**
   * Sets the space in use, which counts in blocks where it would not fit otherwise. Throws EFBIG
   * where the file system has no room for so large a number.
   */
  setBlocks512(sectors: number, blockSize: number): void {
    const wide = this.#features.has("huge_file");
    const inSectors = sectors < (wide ? 2 ** 48 : 2 ** 32);
    if (!inSectors && !wide) throw fail("EFBIG", "Too many blocks for one file", { ino: this.ino });
    const count = inSectors ? sectors : sectors / (blockSize / 512);
    Ext4Inode.i_blocks_lo.set(this.view, 0, count % 2 ** 32);
    if (!wide) return;
    Ext4Inode.l_i_blocks_high.set(this.view, 0, Math.floor(count / 2 ** 32));
    this.setFlag(EXT4_HUGE_FILE_FL, !inSectors);
  }

  /** How far the fields behind the first 128 bytes go. */
  get extraSize(): number {
    if (this.bytes.length <= EXT4_GOOD_OLD_INODE_SIZE) return 0;
    return Ext4Inode.i_extra_isize.get(this.view, 0);
  }

  get atime(): InodeTime {
    return this.#time(Ext4Inode.i_atime, Ext4Inode.i_atime_extra);
  }

  set atime(time: InodeTime) {
    this.#setTime(Ext4Inode.i_atime, Ext4Inode.i_atime_extra, time);
  }

  get mtime(): InodeTime {
    return this.#time(Ext4Inode.i_mtime, Ext4Inode.i_mtime_extra);
  }

  set mtime(time: InodeTime) {
    this.#setTime(Ext4Inode.i_mtime, Ext4Inode.i_mtime_extra, time);
  }

  get ctime(): InodeTime {
    return this.#time(Ext4Inode.i_ctime, Ext4Inode.i_ctime_extra);
  }

  set ctime(time: InodeTime) {
    this.#setTime(Ext4Inode.i_ctime, Ext4Inode.i_ctime_extra, time);
  }

  /** Time of creation, where the inode has room for it. */
  get crtime(): InodeTime | undefined {
    if (!this.#hasExtra(Ext4Inode.i_crtime)) return undefined;
    return this.#time(Ext4Inode.i_crtime, Ext4Inode.i_crtime_extra);
  }

  /** Does nothing where the inode has no room for it. */
  set crtime(time: InodeTime) {
    if (!this.#hasExtra(Ext4Inode.i_crtime)) return;
    this.#setTime(Ext4Inode.i_crtime, Ext4Inode.i_crtime_extra, time);
  }

  get projectId(): number {
    if (!this.#features.has("project") || !this.#hasExtra(Ext4Inode.i_projid)) return 0;
    return Ext4Inode.i_projid.get(this.view, 0);
  }

  /** Does nothing where the file system has no projects, or the inode no room for one. */
  set projectId(id: number) {
    if (!this.#features.has("project") || !this.#hasExtra(Ext4Inode.i_projid)) return;
    Ext4Inode.i_projid.set(this.view, 0, id);
  }

  /**
   * Number of a device node. An old, 16-bit number stands in the first word of i_block; when that
   * is zero, a newer one with 12 bits of major and 20 of minor stands in the second.
   */
  get rdev(): { readonly major: number; readonly minor: number } {
    if (!this.isDeviceNode) return { major: 0, minor: 0 };
    const old = this.view.getUint32(Ext4Inode.i_block.offset, true);
    if (old !== 0) return { major: (old >>> 8) & 0xff, minor: old & 0xff };
    const dev = this.view.getUint32(Ext4Inode.i_block.offset + 4, true);
    return { major: (dev >>> 8) & 0xfff, minor: (dev & 0xff) | ((dev >>> 12) & 0xfff00) };
  }

  /** The 60 bytes of i_block, not a copy. */
  get iBlock(): Uint8Array<ArrayBuffer> {
    return Ext4Inode.i_block.get(this.view, 0);
  }

  #hasExtra(field: Field<number>): boolean {
    return field.offset + field.size <= EXT4_GOOD_OLD_INODE_SIZE + this.extraSize;
  }

  #time(seconds: Field<number>, extra: Field<number>): InodeTime {
    const low = seconds.get(this.view, 0) | 0;
    if (!this.#hasExtra(extra)) return { sec: low, nsec: 0 };
    const bits = extra.get(this.view, 0);
    const epoch = bits & ((1 << EPOCH_BITS) - 1);
    return { sec: low + epoch * 2 ** 32, nsec: bits >>> EPOCH_BITS };
  }

  /** A time that the inode cannot hold becomes the nearest one that it can, as for the kernel. */
  #setTime(seconds: Field<number>, extra: Field<number>, time: InodeTime): void {
    const wide = this.#hasExtra(extra);
    const sec = Math.max(MIN_SECONDS, Math.min(time.sec, wide ? MAX_SECONDS : MAX_OLD_SECONDS));
    const nsec = sec === time.sec ? time.nsec : 0;
    seconds.set(this.view, 0, sec | 0);
    if (!wide) return;
    const epoch = Math.floor((sec - (sec | 0)) / 2 ** 32);
    extra.set(this.view, 0, (nsec << EPOCH_BITS | epoch) >>> 0);
  }
}
