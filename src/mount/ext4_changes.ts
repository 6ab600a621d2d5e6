/**
 * Answers FUSE requests that change an ext4 file system: every method translates, leaves the work
 * to src/ext4, and sees to what belongs to a mount: who owns new files, which files live on
 * without a name, and what has to be durable at once.
 */

import { EXT4_DIRSYNC_FL, EXT4_SYNC_FL } from "../disk/inode.ts";
import { dropPrivileges, setAttributes } from "../ext4/inode/attributes.ts";
import { copyRange } from "../ext4/content/copy_range.ts";
import { fallocate } from "../ext4/content/fallocate.ts";
import type { FileSystem } from "../ext4/filesystem.ts";
import type { Inode, InodeTime } from "../ext4/inode/inode.ts";
import {
  link,
  makeDirectory,
  makeNode,
  makeSymlink,
  makeTemporary,
  removeDirectory,
  unlink,
} from "../ext4/directory/namespace.ts";
import { rename } from "../ext4/directory/rename.ts";
import { removeXattr, setXattr } from "../ext4/xattr/set_xattr.ts";
import { setSize } from "../ext4/content/truncate.ts";
import { writeFile } from "../ext4/content/write.ts";
import { getXattr } from "../ext4/xattr/xattr.ts";
import type {
  AttributeChange,
  Attributes,
  Caller,
  ChangeHandlers,
  Created,
  Entry,
  NewNode,
  Timespec,
  WriteManner,
} from "../fuse/handlers.ts";
import { fail, FsError } from "../sys/fs_error.ts";
import { S_IFMT, S_IFREG, S_ISGID, S_IXGRP, splitDevice } from "../sys/stat.ts";
import { isOfAccess, onlyTellsOfChange, tellsOfTimesOnly } from "./attribute_changes.ts";
import { supplementaryGroups } from "./caller_groups.ts";
import { findChange } from "./changing_ioctls.ts";
import { LateErrors } from "./late_errors.ts";
import type { Listings } from "./listings.ts";
import { LookupCounts } from "./lookup_counts.ts";
import type { Nodes } from "./nodes.ts";
import { UnusedFiles } from "./unused_files.ts";
import type { Upkeep } from "./upkeep.ts";
import { isAcl, isOffered, type XattrOptions } from "./xattr_names.ts";

const PERMISSIONS = 0o7777;
const ROOT = { uid: 0, gid: 0 };

/** Of a longer copy the caller hears how far it got: other requests are waiting. */
const MOST_COPIED = 64 << 20;

/** What the mount options say about changes. */
export interface ChangeOptions extends XattrOptions {
  /** Everybody may do everything, as if root. */
  readonly fakeroot: boolean;
  /** New files belong to the group of their directory. */
  readonly groupOfDirectory: boolean;
  /** Every change of a directory, or every change, is durable when it is answered. */
  readonly dirsync: boolean;
  readonly sync: boolean;
}

export class Ext4Changes implements ChangeHandlers {
  readonly #fs: FileSystem;
  readonly #nodes: Nodes;
  readonly #options: ChangeOptions;
  readonly #upkeep: Upkeep;
  readonly #listings: Listings;
  readonly #lookups = new LookupCounts();
  readonly unused: UnusedFiles;
  readonly #lateErrors: LateErrors;

  constructor(
    fs: FileSystem,
    nodes: Nodes,
    listings: Listings,
    options: ChangeOptions,
    upkeep: Upkeep,
  ) {
    this.#fs = fs;
    this.#nodes = nodes;
    this.#options = options;
    this.#upkeep = upkeep;
    this.#listings = listings;
    this.unused = new UnusedFiles(fs, (ino) => this.#lookups.isKnown(ino));
    this.#lateErrors = new LateErrors(fs.writing.options.monotonic);
  }

  /** The kernel has one more reference to a node. */
  remember(nodeId: number): void {
    this.#lookups.add(nodeId);
  }

  forget(nodeId: number, count: number): void {
    if (!this.#lookups.drop(nodeId, count)) return;
    this.#lateErrors.forget(nodeId);
    this.unused.add(nodeId);
  }

  /** Throws the error of a write that failed after write(2) had returned. */
  tellLateError(nodeId: number): void {
    this.#lateErrors.tell(nodeId);
  }

  /** A request that may take space. Some of it is reserved for root: whose request is it? */
  spaceFor(user: { readonly uid: number; readonly gid: number }): void {
    this.unused.makeRoom();
    this.#fs.writing.blocks.user = this.#options.fakeroot ? ROOT : user;
  }

  setattr(nodeId: number, change: AttributeChange, caller: Caller): Attributes {
    const inode = this.#nodes.inode(nodeId);
    const { uid, gid, size, ctime, killSetIds } = change;
    // Of an unlinked file the kernel keeps the time of change until it forgets it.
    if (inode.linksCount === 0 && !killSetIds && onlyTellsOfChange(change, inode)) {
      return this.#nodes.attributes(inode);
    }
    // Times have their places in the record: they take no space.
    if (killSetIds || !tellsOfTimesOnly(change)) this.spaceFor(caller);
    if (size !== undefined) {
      setSize(this.#fs, inode, size);
      this.#lateErrors.forgetAll();
    }
    const mode = change.mode === undefined ? undefined : change.mode & PERMISSIONS;
    const atime = this.#time(change.atime);
    const mtime = this.#time(change.mtime);
    const isChown = uid !== undefined || gid !== undefined;
    const isEmpty = [mode, uid, gid, atime, mtime, ctime].every((value) => value === undefined);
    // A chown sees to it itself; a request for nothing is about nothing else. If that is not a
    // chown, it is about content, and root may keep the bits.
    if (size !== undefined || isEmpty || (killSetIds && !isChown)) {
      const mayKeep = !killSetIds || (isEmpty && inode.isRegular && caller.uid === 0);
      dropPrivileges(this.#fs, inode, mayKeep ? undefined : asMember(inode, caller));
    }
    if (!isEmpty) {
      const isTouch = isOfAccess(change);
      const who = isChown ? asMember(inode, caller) : caller;
      setAttributes(this.#fs, inode, { mode, uid, gid, atime, mtime, ctime, isTouch }, who);
    }
    this.#syncFile(inode);
    return this.#nodes.attributes(inode);
  }

  mknod(parent: number, name: Uint8Array, node: NewNode, rdev: number, caller: Caller): Entry {
    const dir = this.#nodes.inode(parent);
    const file = { ...this.#newFile(dir, node, caller), rdev: splitDevice(rdev) };
    const inode = makeNode(this.#fs, dir, name, file);
    this.#directoryChanged(dir);
    return this.#nodes.entry(dir, inode);
  }

  mkdir(parent: number, name: Uint8Array, node: NewNode, caller: Caller): Entry {
    const dir = this.#nodes.inode(parent);
    const inode = makeDirectory(this.#fs, dir, name, this.#newFile(dir, node, caller));
    this.#directoryChanged(dir);
    return this.#nodes.entry(dir, inode);
  }

  symlink(parent: number, name: Uint8Array, target: Uint8Array, caller: Caller): Entry {
    const dir = this.#nodes.inode(parent);
    const inode = makeSymlink(this.#fs, dir, name, target, this.#owner(dir, caller));
    this.#directoryChanged(dir);
    return this.#nodes.entry(dir, inode);
  }

  create(parent: number, name: Uint8Array, node: NewNode, caller: Caller): Created {
    const dir = this.#nodes.inode(parent);
    const inode = makeNode(this.#fs, dir, name, this.#newFile(dir, asRegular(node), caller));
    this.#directoryChanged(dir);
    return { entry: this.#nodes.entry(dir, inode), open: { handle: 0, keepCache: true } };
  }

  tmpfile(parent: number, node: NewNode, caller: Caller): Created {
    const dir = this.#nodes.inode(parent);
    const inode = makeTemporary(this.#fs, dir, this.#newFile(dir, asRegular(node), caller));
    return { entry: this.#nodes.entry(undefined, inode), open: { handle: 0, keepCache: true } };
  }

  link(nodeId: number, newParent: number, newName: Uint8Array, caller: Caller): Entry {
    const inode = this.#nodes.inode(nodeId);
    this.spaceFor(caller);
    const dir = this.#nodes.inode(newParent);
    link(this.#fs, inode, dir, newName);
    this.#directoryChanged(dir);
    return this.#nodes.entry(dir, inode);
  }

  unlink(parent: number, name: Uint8Array): void {
    const dir = this.#nodes.inode(parent);
    this.#lostLink(unlink(this.#fs, dir, name));
    this.#directoryChanged(dir);
  }

  rmdir(parent: number, name: Uint8Array): void {
    const dir = this.#nodes.inode(parent);
    this.#lostLink(removeDirectory(this.#fs, dir, name));
    this.#directoryChanged(dir);
  }

  rename(
    parent: number,
    name: Uint8Array,
    newParent: number,
    newName: Uint8Array,
    flags: number,
    caller: Caller,
  ): void {
    const dir = this.#nodes.inode(parent);
    const newDir = this.#nodes.inode(newParent);
    const owner = this.#owner(dir, caller);
    const replaced = rename(this.#fs, dir, name, newDir, newName, flags, owner);
    if (replaced !== undefined) this.#lostLink(replaced);
    this.#directoryChanged(dir, newDir);
  }

  write(
    nodeId: number,
    position: number,
    bytes: Uint8Array<ArrayBuffer>,
    manner: WriteManner,
    caller: Caller,
  ): boolean {
    try {
      return this.#write(this.#nodes.inode(nodeId), position, bytes, manner, caller);
    } catch (error) {
      if (manner.isFromCache && error instanceof FsError) this.#lateErrors.note(nodeId, error);
      throw error;
    }
  }

  fallocate(
    nodeId: number,
    mode: number,
    position: number,
    length: number,
    caller: Caller,
  ): void {
    const inode = this.#nodes.inode(nodeId);
    this.unused.freeAll();
    this.spaceFor(caller);
    fallocate(this.#fs, inode, mode, position, length);
    this.#syncFile(inode);
  }

  copyFileRange(
    nodeId: number,
    position: number,
    toNodeId: number,
    toPosition: number,
    length: number,
    caller: Caller,
  ): number {
    this.spaceFor(caller);
    const from = this.#nodes.inode(nodeId);
    const to = this.#nodes.inode(toNodeId);
    const most = Math.min(length, MOST_COPIED);
    const copied = copyRange(this.#fs, from, position, to, toPosition, most);
    this.#syncFile(to);
    return copied;
  }

  setxattr(
    nodeId: number,
    name: Uint8Array,
    value: Uint8Array,
    { flags, killSetGid }: { readonly flags: number; readonly killSetGid: boolean },
    caller: Caller,
  ): void {
    this.spaceFor(caller);
    this.#requireOffered(name);
    const inode = this.#nodes.inode(nodeId);
    setXattr(this.#fs, inode, name, value, flags, killSetGid);
    this.#syncFile(inode);
  }

  removexattr(nodeId: number, name: Uint8Array): void {
    this.#requireOffered(name);
    const inode = this.#nodes.inode(nodeId);
    // For the kernel, no list at all is a list that can be set, as often as one likes.
    if (isAcl(name) && getXattr(this.#fs, inode, name) === undefined) return;
    removeXattr(this.#fs, inode, name);
    this.#syncFile(inode);
  }

  /** The bytes for the caller, or undefined for a command that is not known. */
  ioctl(
    inode: Inode,
    command: number,
    input: Uint8Array,
    caller: Caller,
  ): Uint8Array | undefined {
    const change = findChange(command);
    if (change === undefined) return undefined;
    this.unused.freeAll();
    const isRoot = caller.uid === 0 || this.#options.fakeroot;
    const answer = change({ fs: this.#fs, inode, input, caller, isRoot, upkeep: this.#upkeep });
    this.#syncFile(inode);
    return answer;
  }

  commit(): void {
    this.#upkeep.commit();
  }

  #write(
    inode: Inode,
    position: number,
    bytes: Uint8Array<ArrayBuffer>,
    { killSetIds, isFromCache }: WriteManner,
    caller: Caller,
  ): boolean {
    // Whoever wrote into the cache is not known by now; most likely it was the owner.
    this.spaceFor(isFromCache ? inode : caller);
    const writer = killSetIds ? asMember(inode, caller) : undefined;
    const hasLost = dropPrivileges(this.#fs, inode, writer);
    // Of what it caches, the kernel keeps the times, and sends them after the data.
    const times = isFromCache ? "kept" : "set";
    for (let done = 0; done < bytes.length;) {
      const rest = done === 0 ? bytes : bytes.subarray(done);
      done += writeFile(this.#fs, inode, position + done, rest, times);
    }
    this.#syncFile(inode);
    return hasLost;
  }

  #newFile(dir: Inode, { mode, umask }: NewNode, caller: Caller) {
    return { mode, umask, ...this.#owner(dir, caller) };
  }

  /** Who gets the file that is about to be made. */
  #owner(dir: Inode, caller: Caller): { readonly uid: number; readonly gid: number } {
    this.spaceFor(caller);
    const { uid, gid } = this.#options.fakeroot ? ROOT : caller;
    return { uid, gid: this.#options.groupOfDirectory ? dir.gid : gid };
  }

  #time(time: Timespec | "now" | undefined): InodeTime | undefined {
    return time === "now" ? this.#fs.writing.now() : time;
  }

  #requireOffered(name: Uint8Array): void {
    if (isOffered(name, this.#options)) return;
    throw fail("EOPNOTSUPP", "Attributes of this kind are switched off for the mount");
  }

  /** A name is gone. Without a reference of the kernel nobody can have the file open. */
  #lostLink(inode: Inode): void {
    this.#lateErrors.forgetAll();
    const nodeId = this.#nodes.id(inode);
    if (!this.#lookups.isKnown(nodeId)) this.unused.add(nodeId);
  }

  #syncFile(inode: Inode): void {
    if (this.#options.sync || inode.hasFlag(EXT4_SYNC_FL)) this.#upkeep.commit();
  }

  #directoryChanged(...directories: readonly Inode[]): void {
    for (const dir of directories) this.#listings.changed(this.#nodes.id(dir));
    const { sync, dirsync } = this.#options;
    const asks = (dir: Inode) => dir.hasFlag(EXT4_SYNC_FL | EXT4_DIRSYNC_FL);
    if (sync || dirsync || directories.some(asks)) this.#upkeep.commit();
  }
}

/**
 * The caller in the file's group, if he is in it: only where that matters, which is for a
 * set-group-ID bit that nobody executes.
 */
function asMember(inode: Inode, caller: Caller): Caller {
  const hasOddBit = (inode.mode & (S_ISGID | S_IXGRP)) === S_ISGID;
  if (!hasOddBit || inode.isDirectory || caller.uid === 0) return caller;
  if (!supplementaryGroups(caller.pid).includes(inode.gid)) return caller;
  return { uid: caller.uid, gid: inode.gid, pid: caller.pid };
}

function asRegular(node: NewNode): NewNode {
  return { ...node, mode: S_IFREG | (node.mode & ~S_IFMT) };
}
