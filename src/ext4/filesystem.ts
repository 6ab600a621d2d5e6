/**
 * A file system on a device: what every operation on it needs. The operations themselves are
 * functions in the files around this one, named after what they do: readDirectory, lookup,
 * mapBlocks, fileSources, readSymlink, getXattr, ...
 */

import { BlockCache } from "../block/block_cache.ts";
import type { Device } from "../block/device.ts";
import { EXT4_ROOT_INO } from "../disk/inode.ts";
import { Ext4SuperBlock } from "../disk/superblock.ts";
import type { Handle } from "../jbd2/handle.ts";
import { Errno } from "../sys/errno.ts";
import { corrupt, fail, FsError } from "../sys/fs_error.ts";
import type { Log } from "../sys/log.ts";
import { GroupDescriptors } from "./allocation/groups.ts";
import type { Inode } from "./inode/inode.ts";
import { InodeTable } from "./inode/inode_table.ts";
import type { MapObserver } from "./map/map_observer.ts";
import { cleanOrphans } from "./orphans/orphan_cleanup.ts";
import { DataStream } from "./content/data_stream.ts";
import { recoverInMemory } from "./recovery/recovery.ts";
import {
  claimForWriting,
  recoverForWriting,
  requireWritable,
  startWriting,
  stopWriting,
} from "./start_writing.ts";
import type { Superblock } from "./superblock/superblock.ts";
import { findSuperblock, type FoundSuperblock } from "./superblock/superblock_search.ts";
import { type WriteOptions, Writing } from "./writing.ts";

const DEFAULT_CACHE_BYTES = 32 * 2 ** 20;
/** Errors kept until somebody listens. */
const MAX_UNTOLD = 100;

export interface OpenOptions {
  readonly log: Log;
  /** Use the backup superblock in this block, counted in blocks of the file system. */
  readonly superblockBlock?: number;
  /** Show the file system as it is, without what a dirty journal would add. */
  readonly norecovery?: boolean;
  /** The device that holds the journal, where it is not on this one. */
  readonly externalJournal?: Device;
  /** Memory for metadata blocks, in bytes. */
  readonly cacheBytes?: number;
  /** Open for writing; without it nothing is ever written to the device. */
  readonly write?: WriteOptions;
}

export class FileSystem {
  readonly superblock: Superblock;
  /** Bytes of a block. */
  readonly blockSize: number;
  /** Where the blocks are: the device as it was given, or a journal's replay laid over it. */
  readonly device: Device;
  readonly cache: BlockCache;
  readonly groups: GroupDescriptors;
  /** s_hash_seed as four little-endian numbers. */
  readonly hashSeed: Uint32Array;
  readonly log: Log;
  readonly #inodes: InodeTable;
  readonly #options: OpenOptions;
  readonly #superblockBlock: number | undefined;
  #writing: Writing | undefined;
  readonly #streamed: DataStream;
  #onReport: ((error: FsError) => void) | undefined;
  readonly #untold: FsError[] = [];

  private constructor(
    device: Device,
    superblock: Superblock,
    superblockBlock: number | undefined,
    options: OpenOptions,
  ) {
    this.device = device;
    this.#options = options;
    this.#superblockBlock = superblockBlock;
    this.superblock = superblock;
    this.blockSize = superblock.blockSize;
    this.log = options.log;
    this.#streamed = new DataStream(device);
    this.cache = new BlockCache(
      device,
      superblock.blockSize,
      superblock.blocksCount,
      options.cacheBytes ?? DEFAULT_CACHE_BYTES,
    );
    this.groups = new GroupDescriptors(superblock, this.cache, superblockBlock);
    this.#inodes = new InodeTable(superblock, this.groups, this.cache);
    const seed = Ext4SuperBlock.s_hash_seed.offset;
    this.hashSeed = Uint32Array.from(
      [0, 4, 8, 12],
      (byte) => superblock.view.getUint32(seed + byte, true),
    );
  }

  /**
   * Opens the file system on a device. Throws FsError: EINVAL where there is no ext4 or one with
   * features unknown here, EUCLEAN or EBADMSG where it is damaged.
   *
   * For reading, a dirty journal is replayed in memory, and nothing is written to the device. For
   * writing it is replayed onto the device, and orphans are cleaned up; throws EROFS where the
   * file system can be read, but not written, and EBUSY where another host has it.
   */
  static open(device: Device, options: OpenOptions): FileSystem {
    const { superblock, block } = readableSuperblock(device, options.superblockBlock, options.log);
    warnOfTruncation(device, superblock, options.log);
    const onDevice = new FileSystem(device, superblock, block, options);
    if (options.write !== undefined) return onDevice.#openForWriting(block, options, options.write);
    const fs = superblock.features.has("needs_recovery") ? onDevice.#recovered(options) : onDevice;
    fs.#checkRoot();
    return fs;
  }

  /** The root directory. */
  get root(): Inode {
    return this.ownInode(EXT4_ROOT_INO, "root directory");
  }

  /**
   * The inode of a number. Throws ESTALE when no file has it, EUCLEAN or EBADMSG when it is
   * damaged.
   */
  inode(ino: number): Inode {
    return this.#inodes.get(ino);
  }

  /**
   * The inode that another structure points to, named for the message. Throws EUCLEAN when it is
   * not in use: what points there is damaged.
   */
  ownInode(ino: number, what: string): Inode {
    try {
      return this.inode(ino);
    } catch (error) {
      if (!(error instanceof FsError) || error.errno !== Errno.ESTALE) throw error;
      throw corrupt(`${what}: inode not in use`, { ino });
    }
  }

  /** The record of an inode, in use or not, checked only as far as its number goes. */
  rawInode(ino: number): Inode {
    return this.#inodes.raw(ino);
  }

  /** What writing needs. Throws EROFS where the file system is open for reading only. */
  get writing(): Writing {
    if (this.#writing === undefined) throw fail("EROFS", "Read-only file system");
    return this.#writing;
  }

  get isReadOnly(): boolean {
    return this.#writing === undefined;
  }

  /**
   * Runs one operation that changes metadata: all of it happens, or nothing. See Transactions.run.
   * Throws EROFS where the file system is open for reading only.
   */
  change<Result>(operation: (handle: Handle) => Result): Result {
    return this.writing.transactions.run(operation);
  }

  /** True where the record of a number, which should be free, is that of a file. */
  isFile(ino: number): boolean {
    return this.#inodes.isFile(ino);
  }

  /** Announces changes to an inode: see InodeTable.modify. */
  modifyInode(handle: Handle, inode: Inode): void {
    this.#inodes.modify(handle, inode);
  }

  /** A new inode with a record of zeros: see InodeTable.create. */
  createInode(handle: Handle, ino: number, generation: number): Inode {
    return this.#inodes.create(handle, ino, generation);
  }

  /** Inodes without links that are files all the same, since somebody has them open. */
  get unlinkedInodes(): Set<number> {
    return this.#inodes.unlinked;
  }

  /**
   * The file system as another device has it, such as memory laid over this one: superblock and
   * descriptors are read anew.
   */
  reopenedOn(device: Device): FileSystem {
    const { superblock, block } = readableSuperblock(device, this.#superblockBlock, this.log);
    return new FileSystem(device, superblock, block, this.#options);
  }

  /** Lets `act` write to a device that nobody else has, whatever the file system is open for. */
  writeDirectly(writing: Writing, act: () => void): void {
    const before = this.#writing;
    this.#writing = writing;
    try {
      act();
    } finally {
      this.#writing = before;
    }
  }

  /** Writes file data; on the disk at the next commit at the latest. */
  writeData(bytes: Uint8Array<ArrayBuffer>, position: number): void {
    const { writing } = this;
    this.device.write(bytes, position);
    writing.transactions.noteData();
    writing.dataBytes += bytes.length;
    this.#streamed.add(position, bytes.length);
  }

  /**
   * Ends writing: commits, and leaves the file system on the device in order, as an unmount does.
   * It is open for reading afterwards. Throws FsError when not everything could be written: the
   * next mount recovers then. Does nothing where nothing is written.
   */
  stopWriting(): void {
    const writing = this.#writing;
    if (writing === undefined) return;
    try {
      stopWriting(this, writing);
    } finally {
      this.#writing = undefined;
    }
  }

  /** Told before the map of a file changes. */
  mapObserver: MapObserver | undefined;

  /**
   * Who is told of every error that is reported; it may come in the middle of an operation. What
   * was reported while the file system was opened is told at once.
   */
  set onReport(listener: (error: FsError) => void) {
    this.#onReport = listener;
    for (const error of this.#untold.splice(0)) listener(error);
  }

  /** Puts an error into the log, once, when the caller goes on without what it concerns. */
  report(error: FsError): void {
    if (this.#onReport !== undefined) this.#onReport(error);
    else if (this.#untold.length < MAX_UNTOLD) this.#untold.push(error);
    if (error.logged) return;
    error.logged = true;
    this.log.error(`${this.device.name}: ${error.message}`);
  }

  /** Lets go of the device. */
  close(): void {
    this.device.close();
  }

  #openForWriting(
    block: number | undefined,
    options: OpenOptions,
    write: WriteOptions,
  ): FileSystem {
    requireWritable(this, block);
    if (options.norecovery) throw fail("EROFS", "norecovery is for reading only");
    const protection = claimForWriting(this, write);
    try {
      const isOutdated = recoverForWriting(this, options.externalJournal, write.now);
      const fs = isOutdated ? this.reopenedOn(this.device) : this;
      // The log may have brought another superblock.
      if (isOutdated) requireWritable(fs, fs.#superblockBlock);
      fs.#checkRoot();
      fs.#writing = startWriting(fs, write, options.externalJournal, protection);
      cleanOrphans(fs);
      return fs;
    } catch (error) {
      protection?.release();
      throw error;
    }
  }

  #checkRoot(): void {
    if (!this.root.isDirectory) {
      throw corrupt("root inode: not a directory", { ino: EXT4_ROOT_INO });
    }
  }

  #recovered(options: OpenOptions): FileSystem {
    if (options.norecovery) {
      options.log.warn(
        `${this.device.name}: not replaying the journal (norecovery): names and content may be stale`,
      );
      return this;
    }
    return recoverInMemory(this, options.externalJournal);
  }
}

/** As findSuperblock. Throws EINVAL for what cannot be read here. */
function readableSuperblock(
  device: Device,
  wanted: number | undefined,
  log: Log,
): FoundSuperblock {
  const found = findSuperblock(device, wanted, log);
  refuseUnreadable(found.superblock);
  return found;
}

function refuseUnreadable(superblock: Superblock): void {
  if (superblock.features.has("journal_dev")) {
    throw fail("EINVAL", "this is an external journal, not a file system");
  }
  const names = superblock.features.unreadable();
  if (names.length > 0) {
    throw fail("EINVAL", `unsupported features: ${names.join(" ")}`);
  }
}

function warnOfTruncation(device: Device, superblock: Superblock, log: Log): void {
  const needed = superblock.blocksCount * superblock.blockSize;
  if (needed > device.size) {
    log.warn(
      `${device.name}: the file system has ${needed} bytes, the device ${device.size}: ` +
        `what lies behind the end cannot be read`,
    );
  }
}
