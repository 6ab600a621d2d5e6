/**
 * Does things to a file system, through the functions that a mount calls, and to a model of it. The
 * model follows when the file system has done it: after an error it is as before.
 */

import { evict } from "../../src/ext4/inode/evict.ts";
import { setAttributes } from "../../src/ext4/inode/attributes.ts";
import { copyRange } from "../../src/ext4/content/copy_range.ts";
import { readDirectory } from "../../src/ext4/directory/directory.ts";
import { fallocate } from "../../src/ext4/content/fallocate.ts";
import { readBytes } from "../../src/ext4/content/read.ts";
import type { FileSystem } from "../../src/ext4/filesystem.ts";
import type { Inode } from "../../src/ext4/inode/inode.ts";
import {
  link,
  makeDirectory,
  makeNode,
  makeSymlink,
  makeTemporary,
  removeDirectory,
  unlink,
} from "../../src/ext4/directory/namespace.ts";
import { rename } from "../../src/ext4/directory/rename.ts";
import { setSize } from "../../src/ext4/content/truncate.ts";
import { writeFile, type WriteTimes } from "../../src/ext4/content/write.ts";
import { removeXattr, setXattr } from "../../src/ext4/xattr/set_xattr.ts";
import { S_IFMT } from "../../src/sys/stat.ts";
import {
  type Content,
  DIRECTORY_MODE,
  FILE_MODE,
  LINK_MODE,
  type Model,
  ModelNode,
} from "./crash_model.ts";

const ROOT = { uid: 0, gid: 0 };
const NEW = { ...ROOT, umask: 0 };
const RENAME_EXCHANGE = 2;
const KEEP_SIZE = 1;
const PUNCH_HOLE = 2;
const COLLAPSE_RANGE = 8;
const ZERO_RANGE = 16;
const INSERT_RANGE = 32;

const encoder = new TextEncoder();

export class Actor {
  readonly fs: FileSystem;
  readonly model: Model;

  constructor(fs: FileSystem, model: Model) {
    this.fs = fs;
    this.model = model;
  }

  inode({ id, ino }: ModelNode): Inode {
    if (ino === undefined) throw new Error(`node ${id} has no inode`);
    return this.fs.inode(ino);
  }

  create(dir: ModelNode, name: string): ModelNode {
    const file = { ...NEW, mode: FILE_MODE };
    return this.#added(dir, name, FILE_MODE, (inDir, as) => makeNode(this.fs, inDir, as, file));
  }

  makeDirectory(dir: ModelNode, name: string): ModelNode {
    const file = { ...NEW, mode: DIRECTORY_MODE };
    const make = (inDir: Inode, as: Uint8Array) => makeDirectory(this.fs, inDir, as, file);
    return this.#added(dir, name, DIRECTORY_MODE, make);
  }

  makeSymlink(dir: ModelNode, name: string, target: string): ModelNode {
    const make = (inDir: Inode, as: Uint8Array) =>
      makeSymlink(this.fs, inDir, as, encoder.encode(target), ROOT);
    return this.#added(dir, name, LINK_MODE, make, target);
  }

  /** A file without a name; link() gives it one. */
  makeTemporary(dir: ModelNode): ModelNode {
    const inode = makeTemporary(this.fs, this.inode(dir), { ...NEW, mode: FILE_MODE });
    const node = new ModelNode(FILE_MODE);
    node.ino = inode.ino;
    this.model.unlinked.add(node);
    return node;
  }

  link(node: ModelNode, dir: ModelNode, name: string): void {
    link(this.fs, this.inode(node), this.inode(dir), encoder.encode(name));
    this.model.add(dir, name, node);
    this.model.unlinked.delete(node);
  }

  /** A file that loses its last name stays open, until it is closed. */
  unlink(dir: ModelNode, name: string): ModelNode {
    unlink(this.fs, this.inode(dir), encoder.encode(name));
    return this.#removed(dir, name);
  }

  removeDirectory(dir: ModelNode, name: string): ModelNode {
    removeDirectory(this.fs, this.inode(dir), encoder.encode(name));
    return this.#removed(dir, name);
  }

  /** Nobody uses a node without names any more. */
  close(node: ModelNode): void {
    evict(this.fs, this.inode(node));
    this.model.unlinked.delete(node);
  }

  /** Returns what was replaced, if it has no name now. */
  rename(dir: ModelNode, name: string, newDir: ModelNode, newName: string): ModelNode | undefined {
    this.#rename(dir, name, newDir, newName, 0);
    if (dir.children!.get(name) === newDir.children!.get(newName)) return undefined;
    const replaced = newDir.children!.has(newName) ? this.#removed(newDir, newName) : undefined;
    this.model.add(newDir, newName, this.model.remove(dir, name));
    return replaced?.links === 0 ? replaced : undefined;
  }

  exchange(dir: ModelNode, name: string, newDir: ModelNode, newName: string): void {
    this.#rename(dir, name, newDir, newName, RENAME_EXCHANGE);
    const [one, other] = [this.model.remove(dir, name), this.model.remove(newDir, newName)];
    this.model.add(dir, name, other);
    this.model.add(newDir, newName, one);
  }

  /** Returns how much was written. */
  write(node: ModelNode, position: number, bytes: Content, times?: WriteTimes): number {
    const written = writeFile(this.fs, this.inode(node), position, bytes, times);
    node.write(position, bytes.subarray(0, written));
    return written;
  }

  resize(node: ModelNode, size: number): void {
    setSize(this.fs, this.inode(node), size);
    node.resize(size);
  }

  /** Room for the range, as zeros where there was a hole or nothing. */
  allocate(node: ModelNode, start: number, length: number, keepSize = false): void {
    fallocate(this.fs, this.inode(node), keepSize ? KEEP_SIZE : 0, start, length);
    const { length: size } = node.content!;
    if (!keepSize) node.resize(Math.max(size, start + length));
  }

  punchHole(node: ModelNode, start: number, length: number): void {
    fallocate(this.fs, this.inode(node), PUNCH_HOLE | KEEP_SIZE, start, length);
    node.zero(start, start + length);
  }

  zeroRange(node: ModelNode, start: number, length: number): void {
    fallocate(this.fs, this.inode(node), ZERO_RANGE, start, length);
    node.resize(Math.max(node.content!.length, start + length));
    node.zero(start, start + length);
  }

  collapse(node: ModelNode, start: number, length: number): void {
    fallocate(this.fs, this.inode(node), COLLAPSE_RANGE, start, length);
    const before = node.content!;
    node.resize(start);
    node.write(start, before.subarray(start + length));
  }

  insert(node: ModelNode, start: number, length: number): void {
    fallocate(this.fs, this.inode(node), INSERT_RANGE, start, length);
    const before = node.content!;
    node.resize(start);
    node.write(start + length, before.subarray(start));
  }

  /** Returns how much was copied. */
  copy(from: ModelNode, start: number, to: ModelNode, at: number, length: number): number {
    const [source, target] = [this.inode(from), this.inode(to)];
    const copied = copyRange(this.fs, source, start, target, at, length);
    to.write(at, from.content!.subarray(start, start + copied));
    return copied;
  }

  setMode(node: ModelNode, permissions: number): void {
    setAttributes(this.fs, this.inode(node), { mode: permissions }, ROOT);
    node.mode = (node.mode & S_IFMT) | permissions;
  }

  setXattr(node: ModelNode, name: string, value: Content): void {
    setXattr(this.fs, this.inode(node), encoder.encode(name), value, 0);
    node.xattrs.set(name, value);
  }

  removeXattr(node: ModelNode, name: string): void {
    removeXattr(this.fs, this.inode(node), encoder.encode(name));
    node.xattrs.delete(name);
  }

  /** Takes over what mke2fs put into the file system: files and folders, with one name each. */
  load(dir = this.model.root): void {
    for (const { name, ino } of readDirectory(this.fs, this.inode(dir), 0)) {
      const text = new TextDecoder().decode(name);
      if (text === "." || text === "..") continue;
      const inode = this.fs.inode(ino);
      let node = dir.children!.get(text);
      if (node === undefined) {
        node = new ModelNode(inode.mode);
        this.model.add(dir, text, node);
      }
      node.ino = ino;
      if (inode.isRegular) node.content = readBytes(this.fs, inode, 0, inode.size);
      if (inode.isDirectory) this.load(node);
    }
  }

  #added(
    dir: ModelNode,
    name: string,
    mode: number,
    make: (dir: Inode, name: Uint8Array) => Inode,
    target?: string,
  ): ModelNode {
    const inode = make(this.inode(dir), encoder.encode(name));
    const node = new ModelNode(mode, target);
    node.ino = inode.ino;
    this.model.add(dir, name, node);
    return node;
  }

  #removed(dir: ModelNode, name: string): ModelNode {
    const node = this.model.remove(dir, name);
    if (node.links === 0) this.model.unlinked.add(node);
    return node;
  }

  #rename(dir: ModelNode, name: string, newDir: ModelNode, newName: string, flags: number): void {
    const [from, to] = [encoder.encode(name), encoder.encode(newName)];
    rename(this.fs, this.inode(dir), from, this.inode(newDir), to, flags, ROOT);
  }
}
