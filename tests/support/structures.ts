/**
 * Where the structures of a sound file system lie, and how their checksums are filled in again after
 * somebody changed them: damage that a checksum gives away at once would test nothing else.
 */

import { Block } from "../../src/block/block_cache.ts";
import { crc32c } from "../../src/disk/crc32c.ts";
import { DX_NODE_COUNTLIMIT_OFFSET } from "../../src/disk/directory.ts";
import { Ext4GroupDesc as Desc } from "../../src/disk/group_desc.ts";
import { EXT4_INDEX_FL, EXT4_JOURNAL_INO, Ext4Inode } from "../../src/disk/inode.ts";
import { JournalSuperblock } from "../../src/disk/journal.ts";
import { MmpStruct } from "../../src/disk/mmp.ts";
import { Ext4OrphanBlockTail as OrphanTail } from "../../src/disk/orphan_file.ts";
import { Ext4SuperBlock as Sb, SUPERBLOCK_OFFSET } from "../../src/disk/superblock.ts";
import { storeBitmapChecksum } from "../../src/ext4/allocation/bitmap_checksum.ts";
import { groupChecksum } from "../../src/ext4/allocation/groups.ts";
import { inodeTableBlocks } from "../../src/ext4/allocation/metadata_zones.ts";
import { crc32cOfU64, inodeChecksumSeed } from "../../src/ext4/checksum.ts";
import { isIndexBlock } from "../../src/ext4/directory/directory_block.ts";
import { leafSeal } from "../../src/ext4/directory/entry_write.ts";
import { ROOT_INDEX_OFFSET } from "../../src/ext4/directory/htree.ts";
import { indexSeal } from "../../src/ext4/directory/htree_write.ts";
import type { FileSystem } from "../../src/ext4/filesystem.ts";
import { Inode } from "../../src/ext4/inode/inode.ts";
import { inodeChecksum } from "../../src/ext4/inode/inode_table.ts";
import {
  childBlock,
  childNode,
  entryCount,
  type ExtentNode,
  rootNode,
  sealNode,
} from "../../src/ext4/map/extent_node.ts";
import { mapBlocks } from "../../src/ext4/map/block_map.ts";
import { isFastSymlink } from "../../src/ext4/content/symlink.ts";
import { sealSuperblock } from "../../src/ext4/superblock/superblock_write.ts";
import { xattrBlockSeal } from "../../src/ext4/xattr/xattr_block.ts";
import { FsError } from "../../src/sys/fs_error.ts";

export type StructureKind =
  | "superblock"
  | "descriptor"
  | "block bitmap"
  | "inode bitmap"
  | "inode"
  | "extents"
  | "pointers"
  | "leaf"
  | "index"
  | "xattrs"
  | "journal"
  | "orphans"
  | "mmp"
  | "quota";

/** A structure, in bytes of the image. */
export interface Structure {
  readonly kind: StructureKind;
  readonly start: number;
  readonly length: number;
  /** The inode that it is or belongs to. */
  readonly ino?: number;
  readonly group?: number;
  /** Of an index: where in the block it begins. */
  readonly at?: number;
}

/** All structures of a sound file system. */
export function structuresOf(fs: FileSystem): Structure[] {
  return [...new Finder(fs).all()];
}

class Finder {
  readonly #fs: FileSystem;
  readonly #seen = new Set<number>();

  constructor(fs: FileSystem) {
    this.#fs = fs;
  }

  *all(): Generator<Structure> {
    const { superblock, groups, blockSize } = this.#fs;
    yield { kind: "superblock", start: SUPERBLOCK_OFFSET, length: Sb.byteLength };
    const perBlock = blockSize / superblock.groupDescSize;
    for (let group = 0; group < superblock.groupCount; group++) {
      const at = (group % perBlock) * superblock.groupDescSize;
      const start = groups.descriptorBlock(group) * blockSize + at;
      yield { kind: "descriptor", start, length: superblock.groupDescSize, group };
      const { blockBitmap, inodeBitmap } = groups.get(group);
      yield this.#block("block bitmap", blockBitmap, { group });
      yield this.#block("inode bitmap", inodeBitmap, { group });
    }
    if (superblock.features.has("mmp")) {
      yield this.#block("mmp", Sb.s_mmp_block.get(superblock.view, 0), {});
    }
    for (let ino = 1; ino <= superblock.inodesCount; ino++) yield* this.#inode(ino);
  }

  #block(kind: StructureKind, number: number, more: Partial<Structure>): Structure {
    const { blockSize } = this.#fs;
    return { kind, start: number * blockSize, length: blockSize, ...more };
  }

  *#inode(ino: number): Generator<Structure> {
    const { superblock, groups, blockSize } = this.#fs;
    const inode = this.#fs.rawInode(ino);
    const isOrphan = inode.mode !== 0;
    if (inode.linksCount === 0 && !isOrphan && ino !== EXT4_JOURNAL_INO) return;
    const group = Math.floor((ino - 1) / superblock.inodesPerGroup);
    const byte = ((ino - 1) % superblock.inodesPerGroup) * superblock.inodeSize;
    if (byte >= inodeTableBlocks(superblock) * blockSize) return;
    const start = groups.get(group).inodeTable * blockSize + byte;
    yield { kind: "inode", start, length: superblock.inodeSize, ino };
    if (inode.fileAcl !== 0) yield this.#block("xattrs", inode.fileAcl, { ino });
    try {
      yield* this.#content(inode);
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
    }
  }

  *#content(inode: Inode): Generator<Structure> {
    if (inode.hasInlineData) return;
    if (inode.isSymlink && isFastSymlink(this.#fs, inode)) return;
    if (!inode.isRegular && !inode.isDirectory && !inode.isSymlink) return;
    if (inode.usesExtents) yield* this.#nodes(inode, rootNode(inode));
    else yield* this.#pointers(inode);
    const { superblock, blockSize } = this.#fs;
    const quotas = [Sb.s_usr_quota_inum, Sb.s_grp_quota_inum, Sb.s_prj_quota_inum]
      .map((field) => field.get(superblock.view, 0));
    const kind = inode.isDirectory
      ? "leaf"
      : inode.ino === EXT4_JOURNAL_INO
      ? "journal"
      : inode.ino === Sb.s_orphan_file_inum.get(superblock.view, 0)
      ? "orphans"
      : quotas.includes(inode.ino)
      ? "quota"
      : undefined;
    if (kind === undefined) return;
    const blocks = Math.min(kind === "journal" ? 40 : 4096, inode.size / blockSize);
    for (let fileBlock = 0; fileBlock < blocks; fileBlock++) {
      const mapping = mapBlocks(this.#fs, inode, fileBlock, 1);
      if (mapping.kind !== "mapped") continue;
      const { physicalBlock: number } = mapping;
      const block = this.#fs.cache.read(number);
      if (kind === "leaf" && isIndexBlock(this.#fs, inode, block, fileBlock)) {
        const at = fileBlock === 0 ? ROOT_INDEX_OFFSET : DX_NODE_COUNTLIMIT_OFFSET;
        yield this.#block("index", number, { ino: inode.ino, at });
      } else {
        yield this.#block(kind, number, { ino: inode.ino, at: fileBlock });
      }
    }
  }

  *#nodes(inode: Inode, node: ExtentNode): Generator<Structure> {
    if (node.depth === 0) return;
    for (let entry = 0; entry < entryCount(node); entry++) {
      yield this.#block("extents", childBlock(node, entry), { ino: inode.ino });
      yield* this.#nodes(inode, childNode(this.#fs, inode, node, entry));
    }
  }

  *#pointers(inode: Inode): Generator<Structure> {
    for (let slot = 12; slot < 15; slot++) {
      const pointer = inode.view.getUint32(Ext4Inode.i_block.offset + slot * 4, true);
      yield* this.#tables(inode, pointer, slot - 12);
    }
  }

  *#tables(inode: Inode, number: number, below: number): Generator<Structure> {
    if (number === 0 || this.#seen.has(number)) return;
    this.#seen.add(number);
    yield this.#block("pointers", number, { ino: inode.ino });
    if (below === 0) return;
    const { view } = this.#fs.cache.read(number);
    for (let at = 0; at < this.#fs.blockSize; at += 4) {
      yield* this.#tables(inode, view.getUint32(at, true), below - 1);
    }
  }
}

/**
 * Fills in all checksums of an image whose structures lie where those of `fs` do.
 * @param fs the sound file system
 */
export function reseal(
  fs: FileSystem,
  structures: readonly Structure[],
  bytes: Uint8Array<ArrayBuffer>,
): void {
  if (!fs.superblock.hasMetadataChecksums && !fs.superblock.features.has("uninit_bg")) return;
  const descriptors = new Map<number, number>();
  for (const { kind, group, start } of structures) {
    if (kind === "descriptor") descriptors.set(group!, start);
  }
  // Descriptors have the checksums of bitmaps in them.
  const late = (kind: StructureKind) => kind === "descriptor" || kind === "superblock" ? 1 : 0;
  const inodes = new Map<number, Inode>();
  const sorted = [...structures].sort((a, b) =>
    late(a.kind) - late(b.kind) || Number(b.kind === "inode") - Number(a.kind === "inode")
  );
  for (const structure of sorted) {
    try {
      resealOne(fs, structure, bytes, descriptors, inodes);
    } catch (error) {
      // The checksum of a node with a limit that makes no sense lies nowhere.
      if (!(error instanceof RangeError)) throw error;
    }
  }
}

function resealOne(
  fs: FileSystem,
  { kind, start, length, ino, group, at }: Structure,
  bytes: Uint8Array<ArrayBuffer>,
  descriptors: ReadonlyMap<number, number>,
  inodes: Map<number, Inode>,
): void {
  const { superblock, blockSize } = fs;
  const view = new DataView(bytes.buffer);
  const hasChecksums = superblock.hasMetadataChecksums;
  if (kind === "descriptor") {
    const checksum = groupChecksum(superblock, bytes, start, group!);
    if (checksum !== undefined) Desc.bg_checksum.set(view, start, checksum);
    return;
  }
  if (!hasChecksums) return;
  const own = bytes.subarray(start, start + length);
  const block = new Block(start / blockSize, own);
  const inode = ino === undefined ? undefined : inodes.get(ino);
  switch (kind) {
    case "superblock":
      return sealSuperblock({
        view: new DataView(bytes.buffer, start, length),
        hasMetadataChecksums: true,
      });
    case "block bitmap":
    case "inode bitmap":
      return storeBitmapChecksum(
        superblock,
        kind === "block bitmap" ? "block" : "inode",
        own,
        view,
        descriptors.get(group!)!,
      );
    case "inode": {
      const generation = Ext4Inode.i_generation.get(view, start);
      const seed = inodeChecksumSeed(superblock.checksumSeed, ino!, generation);
      const made = new Inode(ino!, own, seed, superblock.features);
      inodes.set(ino!, made);
      const checksum = inodeChecksum(made);
      Ext4Inode.l_i_checksum_lo.set(view, start, checksum & 0xffff);
      if (made.extraSize >= 4) Ext4Inode.i_checksum_hi.set(view, start, checksum >>> 16);
      return;
    }
    case "extents":
      return sealNode(inode!, block);
    case "leaf":
      return leafSeal(fs, inode!)?.(block);
    case "index":
      if (!inode!.hasFlag(EXT4_INDEX_FL)) return leafSeal(fs, inode!)?.(block);
      return indexSeal(fs, inode!, at!)?.(block);
    case "xattrs":
      return xattrBlockSeal(fs)?.(block);
    case "journal": {
      if (at !== 0) return;
      JournalSuperblock.s_checksum.set(view, start, 0);
      const sum = crc32c(0xffffffff, own, 0, JournalSuperblock.byteLength);
      JournalSuperblock.s_checksum.set(view, start, sum);
      return;
    }
    case "orphans": {
      const tailAt = start + blockSize - OrphanTail.byteLength;
      const seed = crc32cOfU64(inode!.checksumSeed, block.number);
      OrphanTail.ob_checksum.set(view, tailAt, crc32c(seed, own, 0, tailAt - start));
      return;
    }
    case "mmp": {
      const sum = crc32c(superblock.checksumSeed, own, 0, MmpStruct.mmp_checksum.offset);
      MmpStruct.mmp_checksum.set(view, start, sum);
    }
  }
}
