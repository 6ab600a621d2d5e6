/**
 * Answers FUSE requests from an ext4 file system: every method translates between the two and
 * leaves the work to src/ext4. Here is what reads; what changes is in ext4_changes.ts.
 */

import type { DataSource } from "../block/device.ts";
import type { ExtentTable } from "../bpf/extent_table.ts";
import { EXT4_NAME_LEN } from "../disk/directory.ts";
import { readDirectory } from "../ext4/directory/directory.ts";
import { isDotName } from "../ext4/directory/directory_block.ts";
import { fileSources, seekData, seekHole } from "../ext4/content/read.ts";
import type { FileSystem } from "../ext4/filesystem.ts";
import type { Inode } from "../ext4/inode/inode.ts";
import { entryInode, isOrdinary, namedInode } from "../ext4/directory/lookup.ts";
import { mapBlocks } from "../ext4/map/block_map.ts";
import { usageIn } from "../ext4/superblock/statfs.ts";
import { readSymlink } from "../ext4/content/symlink.ts";
import { getXattr, listXattrNames } from "../ext4/xattr/xattr.ts";
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
import { startsWith } from "../sys/bytes.ts";
import { fail, FsError } from "../sys/fs_error.ts";
import { type AccessTimeRule, AccessTimes } from "./access_times.ts";
import { type ChangeOptions, Ext4Changes } from "./ext4_changes.ts";
import { ExtentPublisher } from "./extent_publisher.ts";
import { Iomap, type IomapOptions } from "./iomap.ts";
import { answerIoctl } from "./ioctls.ts";
import { Listings } from "./listings.ts";
import { Nodes } from "./nodes.ts";
import { ReadAhead } from "./read_ahead.ts";
import type { Upkeep } from "./upkeep.ts";
import { isOffered } from "./xattr_names.ts";

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const TRUSTED = new TextEncoder().encode("trusted.");

/** What the mount options say to the server. */
export interface ServerOptions extends ChangeOptions {
  readonly timeouts: Timeouts;
  /** Count the file system's own structures as space in statfs. */
  readonly minixdf: boolean;
  readonly accessTimes: AccessTimeRule;
  /** Times of access of directories as well. */
  readonly directoryAccessTimes: boolean;
  /** Let the kernel do file I/O by itself, if it offers to. */
  readonly iomap: boolean;
  /** How its device is registered with the kernel: by an ioctl, but in tests. */
  readonly registerDevice?: IomapOptions["register"];
}

export class Ext4Server implements Handlers {
  readonly timeouts: Timeouts;
  readonly changes: Ext4Changes | undefined;
  readonly iomap: Iomap | undefined;
  readonly #fs: FileSystem;
  readonly #options: ServerOptions;
  readonly #upkeep: Upkeep | undefined;
  readonly #nodes: Nodes;
  readonly #readAhead: ReadAhead;
  readonly #listings = new Listings();
  readonly #accessTimes: AccessTimes;
  /** Whether opening can be left to the kernel: nobody has to be refused. */
  readonly #opensFreely: boolean;
  #publisher: ExtentPublisher | undefined;

  /** @param upkeep given where the file system is open for writing */
  constructor(fs: FileSystem, options: ServerOptions, upkeep?: Upkeep) {
    this.#fs = fs;
    this.#options = options;
    this.#upkeep = upkeep;
    this.timeouts = options.timeouts;
    this.#nodes = new Nodes(fs);
    this.#readAhead = new ReadAhead(fs);
    const { accessTimes, directoryAccessTimes } = options;
    this.#accessTimes = new AccessTimes(fs, accessTimes, directoryAccessTimes);
    this.#opensFreely = !fs.superblock.features.has("encrypt");
    this.changes = upkeep && new Ext4Changes(fs, this.#nodes, this.#listings, options, upkeep);
    this.iomap = options.iomap ? this.#makeIomap(upkeep) : undefined;
  }

  #makeIomap(upkeep: Upkeep | undefined): Iomap {
    const iomap = new Iomap({
      fs: this.#fs,
      nodes: this.#nodes,
      log: this.#fs.log,
      upkeep,
      spaceFor: (user) => {
        if (this.changes === undefined) throw fail("EROFS", "Read-only file system");
        this.changes.spaceFor(user);
      },
      missed: (inode) => this.#publisher?.wanted(inode),
      register: this.#options.registerDevice,
    });
    this.#nodes.iomapFlags = (inode) => iomap.attributeFlags(inode);
    return iomap;
  }

  /**
   * Publishes the extents of files when they are opened from now on, until what this returns is
   * disposed of.
   */
  publishExtents(table: ExtentTable): ExtentPublisher {
    const publisher = new ExtentPublisher(this.#fs, this.#nodes, table);
    this.#publisher = publisher;
    this.#fs.mapObserver = publisher;
    return publisher;
  }

  get timeGranularity(): number {
    return this.#nodes.timeGranularity;
  }

  get createsFreely(): boolean {
    return this.#opensFreely && this.#publisher === undefined;
  }

  get refusal(): FsError | undefined {
    return this.#upkeep?.refusal;
  }

  lookup(parent: number, name: Uint8Array): Entry | undefined {
    const dir = this.#nodes.inode(parent);
    // So the kernel finds the inode of a file handle again, of whatever type it is.
    if (isDot(name)) return this.#nodes.entry(undefined, this.#ofHandle(dir));
    this.#listings.lookedUp(parent);
    const inode = namedInode(this.#fs, dir, name);
    if (inode !== undefined) return this.#nodes.entry(dir, inode);
    // Not as absence, which the kernel would remember.
    if (this.#nodes.hasVolatileNames(dir)) throw fail("ENOENT", "No such name");
    return undefined;
  }

  /**
   * The kernel asks for what it does not know. So nobody has a file without a name open, although
   * it may not be freed yet; and a handle of the file system's own inodes was made up.
   */
  #ofHandle(inode: Inode): Inode {
    const { ino, linksCount } = inode;
    if (linksCount > 0 && isOrdinary(this.#fs, inode)) return inode;
    throw fail("ESTALE", "No file has this handle", { ino });
  }

  remember(nodeId: number): void {
    this.changes?.remember(nodeId);
  }

  /** Without writing nothing is held for the kernel: inodes are found by their numbers. */
  forget(nodeId: number, count: number): void {
    this.#publisher?.forget(nodeId);
    this.changes?.forget(nodeId, count);
  }

  getattr(nodeId: number, isOnOpenFile = false): Attributes {
    if (isOnOpenFile) this.changes?.tellLateError(nodeId);
    return this.#nodes.attributes(this.#nodes.inode(nodeId));
  }

  /** Asked of a mount with fakeroot, where everybody may do everything: else the kernel knows. */
  access(nodeId: number): void {
    this.#nodes.inode(nodeId);
  }

  readlink(nodeId: number): Uint8Array {
    const inode = this.#nodes.inode(nodeId);
    const target = readSymlink(this.#fs, inode);
    this.#accessTimes.note(inode);
    return target;
  }

  open(nodeId: number): OpenReply | undefined {
    if (this.createsFreely) return undefined;
    const inode = this.#nodes.inode(nodeId);
    this.#publisher?.wanted(inode);
    if (this.#opensFreely) return { handle: 0, keepCache: true };
    if (inode.isEncrypted) throw fail("ENOKEY", "The file is encrypted", { ino: inode.ino });
    return { handle: 0, keepCache: true };
  }

  read(nodeId: number, position: number, length: number): readonly DataSource[] {
    const inode = this.#nodes.inode(nodeId);
    const sources = fileSources(this.#fs, inode, position, length);
    this.#readAhead.beforeRead(inode, position, length, sources);
    this.#accessTimes.note(inode);
    return sources;
  }

  release(): void {}

  opendir(nodeId: number): OpenReply | undefined {
    if (this.#opensFreely) return undefined;
    this.#nodes.inode(nodeId);
    return { handle: 0, keepCache: true, cacheReaddir: true };
  }

  releasedir(): void {}

  readdir(nodeId: number, position: number, add: (row: DirectoryRow) => boolean): void {
    const dir = this.#nodes.inode(nodeId);
    for (const row of readDirectory(this.#fs, dir, position)) {
      if (!add(row)) break;
    }
    this.#accessTimes.note(dir);
  }

  readdirplus(
    nodeId: number,
    position: number,
    add: (row: DirectoryRow, entry: Entry | undefined) => boolean,
  ): void {
    const dir = this.#nodes.inode(nodeId);
    if (this.#listings.resume(nodeId, position)) return;
    if (position === 0) this.#readAhead.beginListing(dir);
    let end = position;
    let isWhole = true;
    for (const row of readDirectory(this.#fs, dir, position)) {
      const inode = this.#listings.wantsAttributes(nodeId) ? this.#rowInode(dir, row) : undefined;
      const entry = inode === undefined ? undefined : this.#nodes.entry(dir, inode);
      isWhole = add(row, entry);
      if (!isWhole) break;
      end = row.next;
      if (inode !== undefined) this.#readAhead.addListed(dir, inode);
    }
    if (isWhole) this.#listings.ended(nodeId, end);
    this.#readAhead.endListed();
    this.#accessTimes.note(dir);
  }

  statfs(nodeId: number): StatFs {
    const { blockSize } = this.#fs;
    this.changes?.unused.freeAll();
    const counts = usageIn(this.#fs, () => this.#nodes.inode(nodeId), this.#options.minixdf);
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
    if (!isOffered(name, this.#options)) {
      throw fail("EOPNOTSUPP", "Attributes of this kind are switched off for the mount");
    }
    return getXattr(this.#fs, this.#nodes.inode(nodeId), name);
  }

  listxattr(nodeId: number, caller: Caller): Uint8Array {
    const isRoot = caller.uid === 0 || this.#options.fakeroot;
    const names = listXattrNames(this.#fs, this.#nodes.inode(nodeId))
      .filter((name) => isOffered(name, this.#options) && (isRoot || !startsWith(name, TRUSTED)));
    const list = new Uint8Array(names.reduce((size, name) => size + name.length + 1, 0));
    let at = 0;
    for (const name of names) {
      list.set(name, at);
      at += name.length + 1;
    }
    return list;
  }

  /**
   * The kernel asks without having sent what it has in its writeback cache, where there may be data
   * in what is a hole here. Told that there is no such request, it takes all of a file for data.
   */
  lseek(nodeId: number, position: number, whence: number): number {
    if (!this.#fs.isReadOnly) throw fail("ENOSYS", "Holes are not told of while files may change");
    const inode = this.#nodes.inode(nodeId);
    if (whence === SEEK_DATA) return seekData(this.#fs, inode, position);
    if (whence === SEEK_HOLE) return seekHole(this.#fs, inode, position);
    throw fail("EINVAL", `Seek of kind ${whence}`, { ino: inode.ino });
  }

  bmap(nodeId: number, blockSize: number, block: number): number {
    const inode = this.#nodes.inode(nodeId);
    if (!inode.isRegular || inode.hasInlineData || blockSize <= 0) return 0;
    const byte = block * blockSize;
    if (byte >= inode.size) return 0;
    const mapping = mapBlocks(this.#fs, inode, Math.floor(byte / this.#fs.blockSize), 1);
    if (mapping.kind === "hole") return 0;
    const within = byte % this.#fs.blockSize;
    return Math.floor((mapping.physicalBlock * this.#fs.blockSize + within) / blockSize);
  }

  ioctl(
    nodeId: number,
    command: number,
    input: Uint8Array,
    outputSize: number,
    caller: Caller,
  ): Uint8Array {
    const inode = this.#nodes.inode(nodeId);
    const answer = answerIoctl(this.#fs, inode, command, outputSize) ??
      this.changes?.ioctl(inode, command, input, caller);
    if (answer === undefined) {
      throw fail("ENOTTY", `Unknown ioctl 0x${command.toString(16)}`, { ino: inode.ino });
    }
    return answer;
  }

  /** Frees a file that nobody has any more; false when there is none. */
  freeUnused(): boolean {
    return this.changes?.unused.freeOne() ?? false;
  }

  destroy(): void {
    this.#upkeep?.finish();
  }

  failed(error: FsError): void {
    this.#upkeep?.damage.met(error);
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
}

function isDot(name: Uint8Array): boolean {
  return name.length === 1 && name[0] === 0x2e;
}
