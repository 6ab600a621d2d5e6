/**
 * Between FUSE's nodes and the inodes of the file system. Node ids are inode numbers, but for the
 * root, which is 1 to FUSE and 2 to ext4. So a node id, and with it a file handle of NFS or
 * open_by_handle_at(2), stays good as long as its inode exists.
 */

import { EXT4_CASEFOLD_FL, EXT4_GOOD_OLD_INODE_SIZE, EXT4_ROOT_INO } from "../disk/inode.ts";
import type { FileSystem } from "../ext4/filesystem.ts";
import type { Inode } from "../ext4/inode/inode.ts";
import { readSymlink } from "../ext4/content/symlink.ts";
import type { Attributes, Entry } from "../fuse/handlers.ts";
import { makeDevice } from "../sys/stat.ts";

const FUSE_ROOT_ID = 1;

export class Nodes {
  readonly #fs: FileSystem;
  /** FUSE_ATTR_* of an inode, where the kernel does file I/O by itself. */
  iomapFlags: ((inode: Inode) => number) | undefined;

  constructor(fs: FileSystem) {
    this.#fs = fs;
  }

  /** Nanoseconds between two times that can be told apart: short records of inodes have seconds. */
  get timeGranularity(): number {
    return this.#fs.superblock.inodeSize <= EXT4_GOOD_OLD_INODE_SIZE ? 1e9 : 1;
  }

  /** Throws ESTALE for a node that does not exist any more. */
  inode(nodeId: number): Inode {
    return this.#fs.inode(nodeId === FUSE_ROOT_ID ? EXT4_ROOT_INO : nodeId);
  }

  id(inode: Inode): number {
    return inode.ino === EXT4_ROOT_INO ? FUSE_ROOT_ID : inode.ino;
  }

  /** @param dir where the inode was found; undefined for one without a name */
  entry(dir: Inode | undefined, inode: Inode): Entry {
    return {
      nodeId: this.id(inode),
      generation: inode.generation,
      attributes: this.attributes(inode),
      nameIsVolatile: dir !== undefined && this.hasVolatileNames(dir),
    };
  }

  /**
   * Where names differ in case only, what happens to one of them concerns them all, of which the
   * kernel knows nothing: it must not keep any.
   */
  hasVolatileNames(dir: Inode): boolean {
    return !this.#fs.isReadOnly && dir.hasFlag(EXT4_CASEFOLD_FL);
  }

  attributes(inode: Inode): Attributes {
    const { blockSize } = this.#fs;
    const { major, minor } = inode.rdev;
    const size = this.#visibleSize(inode);
    // Inline data take no block; programs that copy files must not take them for a hole.
    const inlineBlocks = inode.hasInlineData && inode.isRegular ? Math.ceil(size / 512) : 0;
    return {
      ino: inode.ino,
      mode: inode.mode,
      nlink: inode.linksCount,
      uid: inode.uid,
      gid: inode.gid,
      rdev: makeDevice(major, minor),
      size,
      blksize: blockSize,
      blocks: inode.blocks512(blockSize) + inlineBlocks,
      atime: inode.atime,
      mtime: inode.mtime,
      ctime: inode.ctime,
      btime: inode.crtime,
      iomapFlags: this.iomapFlags?.(inode),
    };
  }

  /** The size of an encrypted link is that of the target as it is shown, so that readlink(1) fits. */
  #visibleSize(inode: Inode): number {
    if (!inode.isSymlink || !inode.isEncrypted) return inode.size;
    return readSymlink(this.#fs, inode).length;
  }
}
