/**
 * What a file server answers, in TypeScript's terms: one method for each FUSE request, named after
 * the system call behind it. `operations.ts` turns requests into these calls and their results
 * into replies.
 *
 * A method throws FsError to answer with its errno. Requests come one at a time, on one thread.
 *
 * Node ids: FUSE's root is 1; every other number is the server's own.
 */

import type { DataSource } from "../block/device.ts";
import type { FsError } from "../sys/fs_error.ts";
import type { IomapHandlers } from "./iomap_handlers.ts";

/** Seconds since 1970, which may be negative, and nanoseconds from 0 to 999,999,999. */
export interface Timespec {
  readonly sec: number;
  readonly nsec: number;
}

/** `struct stat` as far as FUSE carries it. */
export interface Attributes {
  readonly ino: number;
  /** File type and permissions, as st_mode. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  /** Device number of a device node, in the user-space encoding of makedev(3). */
  readonly rdev: number;
  readonly size: number;
  /** Preferred size of a read, in bytes. */
  readonly blksize: number;
  /** Space in use, in units of 512 bytes. */
  readonly blocks: number;
  readonly atime: Timespec;
  readonly mtime: Timespec;
  readonly ctime: Timespec;
  /** Time of creation, for statx(2) only. */
  readonly btime?: Timespec;
  /** FUSE_ATTR_* of iomap_wire.ts, for a connection that has agreed upon iomap. */
  readonly iomapFlags?: number;
}

/** The answer to a lookup, and a row of readdirplus. */
export interface Entry {
  readonly nodeId: number;
  /** Tells two files apart that had the same node id one after the other. */
  readonly generation: number;
  readonly attributes: Attributes;
  /** What the name means may change without the kernel's knowing: it must ask each time. */
  readonly nameIsVolatile?: boolean;
}

/** Who asks. */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
}

/** A row of readdir: `type` is the file type of st_mode (S_IFMT bits) or 0 when unknown. */
export interface DirectoryRow {
  readonly name: Uint8Array;
  readonly ino: number;
  readonly type: number;
  /** Where the next readdir goes on after this row. Never 0. */
  readonly next: number;
}

/** struct statvfs. */
export interface StatFs {
  readonly bsize: number;
  readonly frsize: number;
  readonly blocks: number;
  readonly bfree: number;
  readonly bavail: number;
  readonly files: number;
  readonly ffree: number;
  readonly namemax: number;
}

/** What open and opendir may ask of the kernel. */
export interface OpenReply {
  /** Comes back as `handle` with each request on this open file. */
  readonly handle: number;
  /** Keep what the page cache has of this file. */
  readonly keepCache?: boolean;
  /** Pass the page cache by. */
  readonly directIo?: boolean;
  /** Directories: keep the listing in the kernel's cache. */
  readonly cacheReaddir?: boolean;
}

/** How long the kernel may believe an answer, in seconds. */
export interface Timeouts {
  readonly entry: number;
  readonly negativeEntry: number;
  readonly attributes: number;
}

/** Who gets a new file, and what it may be done with. */
export interface NewNode {
  /** File type and permissions, before the umask. */
  readonly mode: number;
  /** Permissions to leave out, unless a default ACL of the directory says otherwise. */
  readonly umask: number;
}

/** What setattr changes; what is absent stays. */
export interface AttributeChange {
  /** Permissions; the file type in it is of no meaning. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly size?: number;
  /** `now`: the server's own clock. */
  readonly atime?: Timespec | "now";
  readonly mtime?: Timespec | "now";
  /** Kept by the kernel for files that it caches writes of; absent: the time of the change. */
  readonly ctime?: Timespec;
  /** Set-user-ID and set-group-ID bits do not outlive this change of owner or size. */
  readonly killSetIds: boolean;
}

/** A file that was made and opened at once. */
export interface Created {
  readonly entry: Entry;
  readonly open: OpenReply;
}

export interface WriteManner {
  /** The writer may not keep set-user-ID and set-group-ID bits. */
  readonly killSetIds: boolean;
  /** It comes late, from the kernel's cache: the caller is not who wrote. */
  readonly isFromCache: boolean;
}

/** The requests that change something. */
export interface ChangeHandlers {
  setattr(nodeId: number, change: AttributeChange, caller: Caller): Attributes;
  /** Regular files, FIFOs, sockets, and devices, whose number is in makedev(3)'s encoding. */
  mknod(parent: number, name: Uint8Array, node: NewNode, rdev: number, caller: Caller): Entry;
  mkdir(parent: number, name: Uint8Array, node: NewNode, caller: Caller): Entry;
  symlink(parent: number, name: Uint8Array, target: Uint8Array, caller: Caller): Entry;
  create(parent: number, name: Uint8Array, node: NewNode, caller: Caller): Created;
  /** A file without a name, in the file system of `parent`. */
  tmpfile(parent: number, node: NewNode, caller: Caller): Created;
  link(nodeId: number, newParent: number, newName: Uint8Array, caller: Caller): Entry;
  unlink(parent: number, name: Uint8Array): void;
  rmdir(parent: number, name: Uint8Array): void;
  /** @param flags RENAME_* of renameat2(2) */
  rename(
    parent: number,
    name: Uint8Array,
    newParent: number,
    newName: Uint8Array,
    flags: number,
    caller: Caller,
  ): void;

  /**
   * Writes all of `bytes`, which are good only until the method returns. True when that took away
   * permissions, of which the kernel does not know.
   */
  write(
    nodeId: number,
    position: number,
    bytes: Uint8Array<ArrayBuffer>,
    manner: WriteManner,
    caller: Caller,
  ): boolean;
  /** @param mode FALLOC_FL_* of fallocate(2) */
  fallocate(
    nodeId: number,
    mode: number,
    position: number,
    length: number,
    caller: Caller,
  ): void;
  /** Returns how many bytes were copied, which may be less than `length`. */
  copyFileRange(
    nodeId: number,
    position: number,
    toNodeId: number,
    toPosition: number,
    length: number,
    caller: Caller,
  ): number;

  /** @param flags XATTR_CREATE, XATTR_REPLACE; `killSetGid`: with an ACL goes the setgid bit */
  setxattr(
    nodeId: number,
    name: Uint8Array,
    value: Uint8Array,
    flags: { readonly flags: number; readonly killSetGid: boolean },
    caller: Caller,
  ): void;
  removexattr(nodeId: number, name: Uint8Array, caller: Caller): void;

  /**
   * Makes durable what fsync, fsyncdir and syncfs were asked for, all that wait for it at once.
   * Throws what each of them is then answered with.
   */
  commit(): void;
}

export interface Handlers {
  readonly timeouts: Timeouts;
  /** Nanoseconds between two times that can be told apart; 1 when left out. */
  readonly timeGranularity?: number;
  /** Absent: the file system is read-only (EROFS). */
  readonly changes?: ChangeHandlers;
  /** Present: a kernel that offers iomap gets it. */
  readonly iomap?: IomapHandlers;

  /** The name's entry, or undefined: a missing name, which the kernel may remember. */
  lookup(parent: number, name: Uint8Array, caller: Caller): Entry | undefined;
  /** The kernel got an entry, and with it a reference to the node. */
  remember?(nodeId: number): void;
  /** The kernel drops `count` of its references. */
  forget(nodeId: number, count: number): void;
  /** @param isOnOpenFile asked not for stat(2), but for what is being done with an open file */
  getattr(nodeId: number, isOnOpenFile?: boolean): Attributes;
  access(nodeId: number, mask: number, caller: Caller): void;
  readlink(nodeId: number): Uint8Array;

  /**
   * Nobody has to be refused an open, nor heard of: a kernel that opens without asking may make
   * files as by mknod(2), and open them after that.
   */
  readonly createsFreely?: boolean;
  /** Undefined: answer ENOSYS once, and the kernel opens without asking from then on. */
  open(nodeId: number, flags: number, caller: Caller): OpenReply | undefined;
  /** At most `length` bytes from `position`; fewer only at the end of the file. */
  read(nodeId: number, position: number, length: number, handle: number): readonly DataSource[];
  release(nodeId: number, handle: number): void;

  /** Undefined: as for open. */
  opendir(nodeId: number, caller: Caller): OpenReply | undefined;
  /** Calls `add` for each row from `position` (0 = start) on, until it returns false: full. */
  readdir(nodeId: number, position: number, add: (row: DirectoryRow) => boolean): void;
  /** As readdir, with the entry of each row; `.` and `..` are given without one. */
  readdirplus(
    nodeId: number,
    position: number,
    add: (row: DirectoryRow, entry: Entry | undefined) => boolean,
  ): void;
  releasedir(nodeId: number, handle: number): void;

  statfs(nodeId: number): StatFs;
  /** The value, or undefined when the attribute does not exist (ENODATA). */
  getxattr(nodeId: number, name: Uint8Array): Uint8Array | undefined;
  /** Names, each ended by a NUL byte. */
  listxattr(nodeId: number, caller: Caller): Uint8Array;
  /** SEEK_DATA or SEEK_HOLE. */
  lseek(nodeId: number, position: number, whence: number): number;
  /** Device block, in units of `blockSize`, of a file's block; 0 for a hole. */
  bmap(nodeId: number, blockSize: number, block: number): number;
  /** Bytes for the caller, at most `outputSize`. */
  ioctl(
    nodeId: number,
    command: number,
    input: Uint8Array,
    outputSize: number,
    caller: Caller,
  ): Uint8Array;

  /** The mount is going, and waits for the answer: only where the kernel tells of it (fuseblk). */
  destroy?(): void;
  /** Called with each error before it is answered. */
  failed?(error: FsError): void;
  /** Once the file system was shut down: what every request is answered with. */
  readonly refusal?: FsError;
}
