/**
 * Answers FUSE requests from an ext4 file system: every method translates between the two and
 * leaves the work to src/ext4.
 *
 * Node ids are inode numbers, but for the root, which is 1 to FUSE and 2 to ext4. So a node id, and
 * with it a file handle of NFS or open_by_handle_at(2), stays good as long as its inode exists.
 */

import type { DataSource } from "../block/device.ts";
import { EXT4_NAME_LEN } from "../disk/directory.ts";
import { EXT4_ROOT_INO } from "../disk/inode.ts";
import { readDirectory } from "../ext4/directory.ts";
import { isDotName } from "../ext4/directory_block.ts";
import { fileSources, seekData, seekHole } from "../ext4/file.ts";
import type { FileSystem } from "../ext4/filesystem.ts";
import type { Inode } from "../ext4/inode.ts";
import { entryInode, namedInode } from "../ext4/lookup.ts";
import { mapBlocks } from "../ext4/map.ts";
import { permits } from "../ext4/permission.ts";
import { usage } from "../ext4/statfs.ts";
import { readSymlink } from "../ext4/symlink.ts";
import { getXattr, listXattrNames } from "../ext4/xattr.ts";
import type {
  Attributes,
  Caller,
  DirectoryRow,
  Entry,
  Handlers,
  OpenReply,
  StatFs,
  Timeouts,
} from "../fuse/handlers.ts";
import { fail, FsError } from "../sys/fs_error.ts";
import { makeDevice } from "../sys/stat.ts";
import { answerIoctl } from "./ioctls.ts";
import { ReadAhead } from "./read_ahead.ts";

const FUSE_ROOT_ID = 1;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const TRUSTED = new TextEncoder().encode("trusted.");
const USER = new TextEncoder().encode("user.");

/** What the mount options say to the server. */
export interface ServerOptions {
  readonly timeouts: Timeouts;
  /** Count the file system's own structures as space in statfs. */
  readonly minixdf: boolean;
  /** Hand out POSIX ACLs. */
  readonly acl: boolean;
  /** Hand out attributes of the namespace `user`. */
  readonly userXattr: boolean;
  /** Everybody may do everything: the one who mounts is shown as root. */
  readonly fakeroot: boolean;
  /** The kernel checks permissions (default_permissions), so that the server need not. */
  readonly kernelChecksPermissions: boolean;
}

export class Ext4Server implements Handlers {
  readonly timeouts: Timeouts;
  readonly #fs: FileSystem;
  readonly #options: ServerOptions;
  readonly #readAhead: ReadAhead;
  /** Whether opening can be left to the kernel: nobody has to be refused. */
  readonly #opensFreely: boolean;

  constructor(fs: FileSystem, options: ServerOptions) {
    this.#fs = fs;
    this.#options = options;
    this.timeouts = options.timeouts;
    this.#readAhead = new ReadAhead(fs);
    const checks = !options.kernelChecksPermissions && !options.fakeroot;
    this.#opensFreely = !checks && !fs.superblock.features.has("encrypt");
  }

  lookup(parent: number, name: Uint8Array, caller: Caller): Entry | undefined {
    const dir = this.#inode(parent);
    // So the kernel finds the inode of a file handle again, of whatever type it is.
    if (isDot(name)) return this.#entry(dir);
    this.#require(dir, X_OK, caller);
    const inode = namedInode(this.#fs, dir, name);
    return inode === undefined ? undefined : this.#entry(inode);
  }

  /** Nothing is held for the kernel: inodes are found by their numbers. */
  forget(): void {}

  getattr(nodeId: number): Attributes {
    return this.#attributes(this.#inode(nodeId));
  }

  access(nodeId: number, mask: number, caller: Caller): void {
    this.#require(this.#inode(nodeId), mask, caller);
  }

  readlink(nodeId: number): Uint8Array {
    return readSymlink(this.#fs, this.#inode(nodeId));
  }

  open(nodeId: number, flags: number, caller: Caller): OpenReply | undefined {
    if (this.#opensFreely) return undefined;
    const inode = this.#inode(nodeId);
    this.#require(inode, ACCESS_OF_OPEN[flags & O_ACCMODE], caller);
    if (inode.isEncrypted) throw fail("ENOKEY", "The file is encrypted", { ino: inode.ino });
    return { handle: 0, keepCache: true };
  }

  read(nodeId: number, position: number, length: number): readonly DataSource[] {
    const inode = this.#inode(nodeId);
    const sources = fileSources(this.#fs, inode, position, length);
    this.#readAhead.beforeRead(inode, position, length, sources);
    return sources;
  }

  release(): void {}

  opendir(nodeId: number, caller: Caller): OpenReply | undefined {
    if (this.#opensFreely) return undefined;
    this.#require(this.#inode(nodeId), R_OK, caller);
    return { handle: 0, keepCache: true, cacheReaddir: true };
  }

  releasedir(): void {}

  readdir(nodeId: number, position: number, add: (row: DirectoryRow) => boolean): void {
    for (const row of readDirectory(this.#fs, this.#inode(nodeId), position)) {
      if (!add(row)) return;
    }
  }

  readdirplus(
    nodeId: number,
    position: number,
    add: (row: DirectoryRow, entry: Entry | undefined) => boolean,
  ): void {
    const dir = this.#inode(nodeId);
    let lastFile: Inode | undefined;
    for (const row of readDirectory(this.#fs, dir, position)) {
      const inode = this.#rowInode(dir, row);
      if (!add(row, inode === undefined ? undefined : this.#entry(inode))) return;
      if (inode === undefined) continue;
      this.#readAhead.listed(inode, lastFile);
      if (inode.isRegular) lastFile = inode;
    }
  }

  statfs(): StatFs {
    const { blockSize } = this.#fs;
    const counts = usage(this.#fs, this.#options.minixdf);
    return {
      bsize: blockSize,
      frsize: blockSize,
      blocks: counts.blocks,
      bfree: counts.freeBlocks,
      bavail: counts.availableBlocks,
      files: counts.inodes,
      ffree: counts.freeInodes,
      namemax: EXT4_NAME_LEN,
    };
  }

  getxattr(nodeId: number, name: Uint8Array): Uint8Array | undefined {
    if (!this.#offers(name)) {
      throw fail("EOPNOTSUPP", "Attributes of this kind are switched off for the mount");
    }
    return getXattr(this.#fs, this.#inode(nodeId), name);
  }

  listxattr(nodeId: number, caller: Caller): Uint8Array {
    const isRoot = caller.uid === 0 || this.#options.fakeroot;
    const names = listXattrNames(this.#fs, this.#inode(nodeId))
      .filter((name) => this.#offers(name) && (isRoot || !startsWith(name, TRUSTED)));
    const list = new Uint8Array(names.reduce((size, name) => size + name.length + 1, 0));
    let at = 0;
    for (const name of names) {
      list.set(name, at);
      at += name.length + 1;
    }
    return list;
  }

  lseek(nodeId: number, position: number, whence: number): number {
    const inode = this.#inode(nodeId);
    if (whence === SEEK_DATA) return seekData(this.#fs, inode, position);
    if (whence === SEEK_HOLE) return seekHole(this.#fs, inode, position);
    throw fail("EINVAL", `Seek of kind ${whence}`, { ino: inode.ino });
  }

  bmap(nodeId: number, blockSize: number, block: number): number {
    const inode = this.#inode(nodeId);
    if (!inode.isRegular || inode.hasInlineData || blockSize <= 0) return 0;
    const byte = block * blockSize;
    if (byte >= inode.size) return 0;
    const mapping = mapBlocks(this.#fs, inode, Math.floor(byte / this.#fs.blockSize), 1);
    if (mapping.kind === "hole") return 0;
    const within = byte % this.#fs.blockSize;
    return Math.floor((mapping.physicalBlock * this.#fs.blockSize + within) / blockSize);
  }

  ioctl(nodeId: number, command: number, input: Uint8Array, outputSize: number): Uint8Array {
    return answerIoctl(this.#fs, this.#inode(nodeId), command, input, outputSize);
  }

  #inode(nodeId: number): Inode {
    return this.#fs.inode(nodeId === FUSE_ROOT_ID ? EXT4_ROOT_INO : nodeId);
  }

  #entry(inode: Inode): Entry {
    return {
      nodeId: inode.ino === EXT4_ROOT_INO ? FUSE_ROOT_ID : inode.ino,
      generation: inode.generation,
      attributes: this.#attributes(inode),
    };
  }

  /** The inode of a row; undefined for the dot names and for what can't be read: stat will tell. */
  #rowInode(dir: Inode, row: DirectoryRow): Inode | undefined {
    if (isDotName(row.name)) return undefined;
    try {
      return entryInode(this.#fs, dir, row.ino);
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      this.#fs.report(error);
      return undefined;
    }
  }

  #attributes(inode: Inode): Attributes {
    const { blockSize } = this.#fs;
    const { major, minor } = inode.rdev;
    const size = visibleSize(this.#fs, inode);
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
    };
  }

  #require(inode: Inode, mask: number, caller: Caller): void {
    if (this.#options.kernelChecksPermissions || this.#options.fakeroot) return;
    if (!permits(this.#fs, inode, mask, caller, this.#options.acl)) {
      throw fail("EACCES", "Permission denied", { ino: inode.ino });
    }
  }

  #offers(name: Uint8Array): boolean {
    if (startsWith(name, USER)) return this.#options.userXattr;
    return this.#options.acl || !startsWith(name, ACL);
  }
}

const ACL = new TextEncoder().encode("system.posix_acl_");
const X_OK = 1;
const W_OK = 2;
const R_OK = 4;
const O_ACCMODE = 3;
/** O_RDONLY, O_WRONLY, O_RDWR, and 3, which asks for both as well. */
const ACCESS_OF_OPEN = [R_OK, W_OK, R_OK | W_OK, R_OK | W_OK];

/** The size of an encrypted link is that of the target as it is shown, so that readlink(1) fits. */
function visibleSize(fs: FileSystem, inode: Inode): number {
  if (!inode.isSymlink || !inode.isEncrypted) return inode.size;
  return readSymlink(fs, inode).length;
}

function isDot(name: Uint8Array): boolean {
  return name.length === 1 && name[0] === 0x2e;
}

function startsWith(name: Uint8Array, prefix: Uint8Array): boolean {
  return name.length >= prefix.length && prefix.every((byte, index) => name[index] === byte);
}
