/**
 * The superblock, checked once and held as plain numbers. Whatever else the file system does, it
 * trusts these values: no loop bound, divisor or shift is taken from the disk anywhere else.
 */

import type { Device } from "../../block/device.ts";
import { crc32c } from "../../disk/crc32c.ts";
import { Features } from "../../disk/features.ts";
import { EXT4_MIN_DESC_SIZE, EXT4_MIN_DESC_SIZE_64BIT } from "../../disk/group_desc.ts";
import { EXT4_GOOD_OLD_FIRST_INO, EXT4_GOOD_OLD_INODE_SIZE } from "../../disk/inode.ts";
import { join32 } from "../../disk/struct.ts";
import {
  EXT4_CRC32C_CHKSUM,
  EXT4_GOOD_OLD_REV,
  EXT4_SUPER_MAGIC,
  Ext4SuperBlock as Sb,
  SUPERBLOCK_OFFSET,
} from "../../disk/superblock.ts";
import { badChecksum, corrupt, fail } from "../../sys/fs_error.ts";

const MIN_LOG_BLOCK_SIZE = 10;
const MAX_LOG_BLOCK_SIZE = 16;
const MAX_LOG_CLUSTER_SIZE = 30;
/** Block numbers in extents have 48 bits. */
const MAX_BLOCKS_COUNT = 2 ** 48;
const MAX_GROUP_COUNT = 2 ** 32;

/** One superblock and the geometry that follows from it. Sizes are in bytes unless named otherwise. */
export class Superblock {
  /** The 1024 bytes as they are on the disk, for `Ext4SuperBlock`'s accessors at 0. */
  readonly view: DataView<ArrayBuffer>;
  readonly features: Features;

  readonly blockSize: number;
  readonly blocksCount: number;
  readonly reservedBlocksCount: number;
  readonly firstDataBlock: number;
  readonly blocksPerGroup: number;
  /** Blocks of a cluster, 1 without bigalloc. */
  readonly clusterRatio: number;
  readonly clustersPerGroup: number;
  readonly groupCount: number;

  readonly inodesCount: number;
  readonly inodesPerGroup: number;
  readonly inodeSize: number;
  /** Lowest number of an ordinary inode. */
  readonly firstInode: number;

  readonly groupDescSize: number;
  readonly uuid: Uint8Array<ArrayBuffer>;
  /** True when metadata blocks carry a crc32c. */
  readonly hasMetadataChecksums: boolean;
  /** Where every crc32c of metadata starts. */
  readonly checksumSeed: number;

  /** @param raw 1024 bytes, kept. Throws FsError: EINVAL for no ext4 at all, EUCLEAN for damage. */
  constructor(raw: Uint8Array<ArrayBuffer>) {
    const view = new DataView(raw.buffer, raw.byteOffset, Sb.byteLength);
    this.view = view;
    const magic = Sb.s_magic.get(view, 0);
    if (magic !== EXT4_SUPER_MAGIC) {
      throw fail(
        "EINVAL",
        `not an ext2, ext3 or ext4 file system: magic 0x${hex(magic, 4)} instead of 0xef53`,
      );
    }
    this.features = readFeatures(view);
    this.uuid = Sb.s_uuid.get(view, 0);
    this.hasMetadataChecksums = this.features.has("metadata_csum");
    this.checksumSeed = this.features.has("metadata_csum_seed")
      ? Sb.s_checksum_seed.get(view, 0)
      : crc32c(0xffffffff, this.uuid);
    this.#verifyChecksum(raw);

    this.blockSize = readBlockSize(view);
    this.clusterRatio = readClusterRatio(view, this.features, this.blockSize);
    this.firstDataBlock = Sb.s_first_data_block.get(view, 0);
    this.blocksPerGroup = Sb.s_blocks_per_group.get(view, 0);
    this.clustersPerGroup = this.features.has("bigalloc")
      ? Sb.s_clusters_per_group.get(view, 0)
      : this.blocksPerGroup;
    this.inodesPerGroup = Sb.s_inodes_per_group.get(view, 0);
    const wide = this.features.has("64bit");
    this.blocksCount = join32(
      Sb.s_blocks_count_lo.get(view, 0),
      wide ? Sb.s_blocks_count_hi.get(view, 0) : 0,
    );
    this.reservedBlocksCount = join32(
      Sb.s_r_blocks_count_lo.get(view, 0),
      wide ? Sb.s_r_blocks_count_hi.get(view, 0) : 0,
    );
    this.inodesCount = Sb.s_inodes_count.get(view, 0);
    this.groupCount = this.#checkGroups();

    const oldRevision = Sb.s_rev_level.get(view, 0) === EXT4_GOOD_OLD_REV;
    this.inodeSize = oldRevision ? EXT4_GOOD_OLD_INODE_SIZE : Sb.s_inode_size.get(view, 0);
    this.firstInode = oldRevision ? EXT4_GOOD_OLD_FIRST_INO : Sb.s_first_ino.get(view, 0);
    this.groupDescSize = this.features.has("64bit")
      ? Sb.s_desc_size.get(view, 0)
      : EXT4_MIN_DESC_SIZE;
    this.#checkSizes();
  }

  /** Reads and checks the superblock at a byte of the device. */
  static read(device: Device, position = SUPERBLOCK_OFFSET): Superblock {
    if (device.size < position + Sb.byteLength) {
      throw fail(
        "EINVAL",
        `not an ext2, ext3 or ext4 file system: ${device.size} bytes are too short for a superblock` +
          (position === SUPERBLOCK_OFFSET ? "" : ` at byte ${position}`),
      );
    }
    const raw = new Uint8Array(Sb.byteLength);
    device.read(raw, position);
    return new Superblock(raw);
  }

  /** Takes the feature sets from the bytes again, after these were put back. */
  readFeatures(): void {
    Object.assign(this.features, readFeatures(this.view));
  }

  /** Brings the feature sets into the bytes. */
  storeFeatures(): void {
    const { compat, incompat, roCompat } = this.features;
    Sb.s_feature_compat.set(this.view, 0, compat);
    Sb.s_feature_incompat.set(this.view, 0, incompat);
    Sb.s_feature_ro_compat.set(this.view, 0, roCompat);
  }

  /** First block of a group. */
  groupStart(group: number): number {
    return this.firstDataBlock + group * this.blocksPerGroup;
  }

  /** Blocks of a group, fewer in the last one. */
  groupBlocks(group: number): number {
    return Math.min(this.blocksPerGroup, this.blocksCount - this.groupStart(group));
  }

  /** True when the group holds a copy of the superblock (sparse_super and sparse_super2). */
  groupHasSuperblock(group: number): boolean {
    if (group === 0) return true;
    if (this.features.has("sparse_super2")) {
      const backups = Sb.s_backup_bgs.offset;
      return group === this.view.getUint32(backups, true) ||
        group === this.view.getUint32(backups + 4, true);
    }
    if (group === 1 || !this.features.has("sparse_super")) return true;
    return group % 2 === 1 && (isPower(group, 3) || isPower(group, 5) || isPower(group, 7));
  }

  #verifyChecksum(raw: Uint8Array<ArrayBuffer>): void {
    if (!this.hasMetadataChecksums) return;
    const type = Sb.s_checksum_type.get(this.view, 0);
    if (type !== EXT4_CRC32C_CHKSUM) throw fail("EINVAL", `unknown checksum type ${type}`);
    const computed = crc32c(0xffffffff, raw, 0, Sb.s_checksum.offset);
    if (computed !== Sb.s_checksum.get(this.view, 0)) throw badChecksum("the superblock");
  }

  #checkGroups(): number {
    const bitsOfBlock = 8 * this.blockSize;
    const clusters = this.clustersPerGroup;
    if (
      clusters === 0 || clusters > bitsOfBlock ||
      this.blocksPerGroup !== clusters * this.clusterRatio
    ) {
      throw corrupt(`superblock: ${this.blocksPerGroup} blocks in a group of ${clusters} clusters`);
    }
    if (this.inodesPerGroup === 0 || this.inodesPerGroup > bitsOfBlock) {
      throw corrupt(`superblock: ${this.inodesPerGroup} inodes in a group`);
    }
    if (this.blocksCount > MAX_BLOCKS_COUNT || this.blocksCount <= this.firstDataBlock) {
      throw corrupt(
        `superblock: ${this.blocksCount} blocks, the first of them ${this.firstDataBlock}`,
      );
    }
    // The first KiB is the boot block, which only blocks or clusters of more than 1 KiB can share.
    if (this.firstDataBlock === 0 && this.blockSize * this.clusterRatio === 1024) {
      throw corrupt("superblock: first data block 0 with blocks of 1 KiB");
    }
    const groups = Math.ceil((this.blocksCount - this.firstDataBlock) / this.blocksPerGroup);
    if (groups > MAX_GROUP_COUNT || groups * this.inodesPerGroup !== this.inodesCount) {
      throw corrupt(
        `superblock: ${this.inodesCount} inodes in ${groups} groups of ${this.inodesPerGroup}`,
      );
    }
    return groups;
  }

  #checkSizes(): void {
    const size = this.inodeSize;
    if (size < EXT4_GOOD_OLD_INODE_SIZE || size > this.blockSize || !isPowerOfTwo(size)) {
      throw corrupt(`superblock: inode size ${size}`);
    }
    if (this.firstInode < EXT4_GOOD_OLD_FIRST_INO || this.firstInode > this.inodesCount) {
      throw corrupt(`superblock: first inode ${this.firstInode}`);
    }
    const least = this.features.has("64bit") ? EXT4_MIN_DESC_SIZE_64BIT : EXT4_MIN_DESC_SIZE;
    const desc = this.groupDescSize;
    if (desc < least || desc > 1024 || !isPowerOfTwo(desc)) {
      throw corrupt(`superblock: group descriptor size ${desc}`);
    }
    if (this.inodesPerGroup < this.blockSize / this.inodeSize) {
      throw corrupt(`superblock: ${this.inodesPerGroup} inodes in a group do not fill a block`);
    }
  }
}

function readFeatures(view: DataView): Features {
  if (Sb.s_rev_level.get(view, 0) === EXT4_GOOD_OLD_REV) return new Features(0, 0, 0);
  return new Features(
    Sb.s_feature_compat.get(view, 0),
    Sb.s_feature_incompat.get(view, 0),
    Sb.s_feature_ro_compat.get(view, 0),
  );
}

function readBlockSize(view: DataView): number {
  const log = MIN_LOG_BLOCK_SIZE + Sb.s_log_block_size.get(view, 0);
  if (log > MAX_LOG_BLOCK_SIZE) throw corrupt(`superblock: block size 2^${log}`);
  return 2 ** log;
}

function readClusterRatio(view: DataView, features: Features, blockSize: number): number {
  if (!features.has("bigalloc")) return 1;
  const log = MIN_LOG_BLOCK_SIZE + Sb.s_log_cluster_size.get(view, 0);
  const size = 2 ** log;
  if (log > MAX_LOG_CLUSTER_SIZE || size < blockSize) {
    throw corrupt(`superblock: cluster size 2^${log}`);
  }
  return size / blockSize;
}

function isPowerOfTwo(value: number): boolean {
  return Number.isInteger(Math.log2(value));
}

function isPower(value: number, base: number): boolean {
  let power = base;
  while (power < value) power *= base;
  return power === value;
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}
