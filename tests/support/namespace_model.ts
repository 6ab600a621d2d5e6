/**
 * A tree of names as it should be: what each operation on it does, or the errno that it fails with.
 * Operations made up at random are done to the model and to a file system, which must agree.
 */

import assert from "node:assert/strict";
import { foldName } from "../../src/ext4/directory/casefold.ts";
import { readDirectory } from "../../src/ext4/directory/directory.ts";
import { isDotName } from "../../src/ext4/directory/directory_block.ts";
import { evict } from "../../src/ext4/inode/evict.ts";
import type { FileSystem } from "../../src/ext4/filesystem.ts";
import type { Inode } from "../../src/ext4/inode/inode.ts";
import { namedInode } from "../../src/ext4/directory/lookup.ts";
import {
  link,
  makeDirectory,
  makeNode,
  makeSymlink,
  removeDirectory,
  unlink,
} from "../../src/ext4/directory/namespace.ts";
import { parentOf } from "../../src/ext4/directory/parent_entry.ts";
import {
  rename,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  RENAME_WHITEOUT,
} from "../../src/ext4/directory/rename.ts";
import { readSymlink } from "../../src/ext4/content/symlink.ts";
import { FsError } from "../../src/sys/fs_error.ts";
import {
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFREG,
  S_IFSOCK,
} from "../../src/sys/stat.ts";
import type { Random } from "./random.ts";

const OWNER = { uid: 0, gid: 0 };
const NODE_TYPES = [S_IFREG, S_IFREG, S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK];
const RDEV = { major: 1, minor: 3 };

/** A file of the model. */
export interface ModelFile {
  ino: number;
  readonly type: number;
  links: number;
  readonly target?: Uint8Array;
  /** Of a directory: by name, one character a byte. */
  readonly children?: Map<string, ModelFile>;
  parent?: ModelFile;
}

interface Change {
  /** What the file system is asked to do. */
  readonly real: () => Inode | undefined | void;
  /** What should happen: an errno, or a function that does it, given the new inode's number. */
  readonly expected: string | ((ino: number) => void);
  readonly words: string;
}

export interface ModelOptions {
  /** How many different names there are; fewer make more of them collide. */
  readonly names: number;
  readonly longestName: number;
  /** Names differ in case only, and directories do not care. */
  readonly casefold?: boolean;
  /** Most directories. */
  readonly directories?: number;
}

/** Applies random operations to a directory of a file system, and to the model of it. */
export class NamespaceModel {
  readonly root: ModelFile;
  readonly #fs: FileSystem;
  readonly #random: Random;
  readonly #names: readonly Uint8Array[];
  readonly #options: ModelOptions;
  readonly #directories: ModelFile[] = [];
  done = 0;

  /** @param root an empty directory */
  constructor(fs: FileSystem, root: Inode, random: Random, options: ModelOptions) {
    this.#fs = fs;
    this.#random = random;
    this.#options = options;
    this.root = { ino: root.ino, type: S_IFDIR, links: root.linksCount, children: new Map() };
    this.#directories.push(this.root);
    this.#names = Array.from({ length: options.names }, () => this.#randomName());
  }

  run(count: number): void {
    for (let index = 0; index < count; index++) this.step();
  }

  /** One random operation. */
  step(): void {
    const change = this.#random.oneIn(3) ? this.#removal() : this.#addition();
    this.done++;
    let result: string | Inode | undefined | void;
    try {
      result = change.real();
    } catch (error) {
      if (!(error instanceof FsError)) throw new Error(change.words, { cause: error });
      result = error.code;
    }
    const words = `operation ${this.done}: ${change.words}`;
    if (typeof change.expected === "string") {
      assert.equal(typeof result === "string" ? result : "nothing", change.expected, words);
      return;
    }
    assert.ok(typeof result !== "string", `${words}: ${result}`);
    change.expected(result?.ino ?? 0);
    if (result !== undefined && result.linksCount === 0) evict(this.#fs, result);
  }

  /** Compares the whole tree. */
  verify(): void {
    for (const dir of this.#directories) this.#verifyDirectory(dir);
  }

  /** Paths, one character a byte, and files. */
  *paths(): Generator<[string, ModelFile]> {
    yield* pathsBelow(this.root, "");
  }

  // -------------------------------------------------------------- operations

  #addition(): Change {
    const dir = this.#pickDirectory();
    const name = this.#random.pick(this.#names);
    const mayGrow = this.#directories.length < (this.#options.directories ?? 30);
    switch (this.#random.below(12)) {
      case 0:
      case 1:
        return this.#mkdir(mayGrow ? dir : undefined, dir, name);
      case 2:
        return this.#symlink(dir, name);
      case 3:
      case 4:
        return this.#link(dir, name);
      case 5:
      case 6:
        return this.#rename(dir, name);
      default:
        return this.#mknod(dir, name);
    }
  }

  #removal(): Change {
    const dir = this.#pickDirectory();
    const name = this.#nameIn(dir);
    const victim = this.#child(dir, name);
    const words = `remove ${text(name)} from ${dir.ino}`;
    const asDirectory = victim?.children !== undefined !== this.#random.oneIn(10);
    const real = () => (asDirectory ? removeDirectory : unlink)(this.#fs, this.#inode(dir), name);
    if (victim === undefined) return { real, words, expected: "ENOENT" };
    if (!asDirectory) {
      if (victim.children !== undefined) return { real, words, expected: "EISDIR" };
      return { real, words, expected: () => this.#drop(dir, name) };
    }
    if (victim.children === undefined) return { real, words, expected: "ENOTDIR" };
    if (victim.children.size > 0) return { real, words, expected: "ENOTEMPTY" };
    return { real, words, expected: () => this.#drop(dir, name) };
  }

  #mknod(dir: ModelFile, name: Uint8Array): Change {
    const type = this.#random.pick(NODE_TYPES);
    const file = { ...OWNER, mode: type | 0o644, umask: 0, rdev: RDEV };
    return {
      words: `mknod ${text(name)} in ${dir.ino}`,
      real: () => makeNode(this.#fs, this.#inode(dir), name, file),
      expected: this.#absent(dir, name, (ino) => this.#add(dir, name, { ino, type, links: 1 })),
    };
  }

  #mkdir(allowed: ModelFile | undefined, dir: ModelFile, name: Uint8Array): Change {
    if (allowed === undefined) return this.#mknod(dir, name);
    const file = { ...OWNER, mode: 0o755, umask: 0 };
    return {
      words: `mkdir ${text(name)} in ${dir.ino}`,
      real: () => makeDirectory(this.#fs, this.#inode(dir), name, file),
      expected: this.#absent(dir, name, (ino) => {
        const made = { ino, type: S_IFDIR, links: 2, children: new Map() };
        this.#directories.push(made);
        this.#add(dir, name, made);
      }),
    };
  }

  #symlink(dir: ModelFile, name: Uint8Array): Change {
    const length = this.#random.pick([1, 20, 59, 60, 61, 300, this.#fs.blockSize - 1]);
    const target = new Uint8Array(Math.min(length, 4095)).fill(0x74);
    return {
      words: `symlink ${text(name)} in ${dir.ino} to ${target.length} bytes`,
      real: () => makeSymlink(this.#fs, this.#inode(dir), name, target, OWNER),
      expected: this.#absent(
        dir,
        name,
        (ino) => this.#add(dir, name, { ino, type: S_IFLNK, links: 1, target }),
      ),
    };
  }

  #link(dir: ModelFile, name: Uint8Array): Change {
    const from = this.#pickDirectory();
    const victim = this.#child(from, this.#nameIn(from));
    if (victim === undefined) return this.#mknod(dir, name);
    return {
      words: `link ${text(name)} in ${dir.ino} to ${victim.ino}`,
      real: () => link(this.#fs, this.#inode(victim), this.#inode(dir), name),
      expected: this.#absent(
        dir,
        name,
        victim.children !== undefined ? "EPERM" : () => {
          victim.links++;
          this.#add(dir, name, victim);
        },
      ),
    };
  }

  #rename(newDir: ModelFile, newName: Uint8Array): Change {
    const oldDir = this.#pickDirectory();
    const oldName = this.#nameIn(oldDir);
    const flags = this.#random.pick([
      0,
      0,
      0,
      RENAME_NOREPLACE,
      RENAME_EXCHANGE,
      RENAME_EXCHANGE,
      RENAME_WHITEOUT,
    ]);
    if (this.#random.oneIn(2)) newName = this.#nameIn(newDir);
    return {
      words: `rename ${text(oldName)} in ${oldDir.ino} to ${text(newName)} in ${newDir.ino}, ` +
        `flags ${flags}`,
      real: () =>
        rename(
          this.#fs,
          this.#inode(oldDir),
          oldName,
          this.#inode(newDir),
          newName,
          flags,
          OWNER,
        ),
      expected: this.#renamed(oldDir, oldName, newDir, newName, flags),
    };
  }

  #renamed(
    oldDir: ModelFile,
    oldName: Uint8Array,
    newDir: ModelFile,
    newName: Uint8Array,
    flags: number,
  ): Change["expected"] {
    const source = this.#child(oldDir, oldName);
    const target = this.#child(newDir, newName);
    if (source === undefined) return "ENOENT";
    if (flags === RENAME_NOREPLACE && target !== undefined) return "EEXIST";
    if (flags === RENAME_EXCHANGE) {
      if (target === undefined) return "ENOENT";
      if (oldDir !== newDir && (isBelow(newDir, source) || isBelow(oldDir, target))) {
        return "EINVAL";
      }
      return () => this.#exchange(oldDir, oldName, newDir, newName, source, target);
    }
    if (oldDir !== newDir && isBelow(newDir, source)) return "EINVAL";
    if (source === target) return () => {};
    if (target !== undefined) {
      if (source.children !== undefined && target.children === undefined) return "ENOTDIR";
      if (source.children === undefined && target.children !== undefined) return "EISDIR";
      if ((target.children?.size ?? 0) > 0) return "ENOTEMPTY";
    }
    return () => {
      if (target !== undefined) this.#drop(newDir, newName);
      this.#take(oldDir, oldName);
      this.#add(newDir, newName, source);
      if (flags === RENAME_WHITEOUT) {
        const left = namedInode(this.#fs, this.#inode(oldDir), oldName)!;
        this.#add(oldDir, oldName, { ino: left.ino, type: S_IFCHR, links: 1 });
      }
    };
  }

  #exchange(
    oldDir: ModelFile,
    oldName: Uint8Array,
    newDir: ModelFile,
    newName: Uint8Array,
    source: ModelFile,
    target: ModelFile,
  ): void {
    if (source === target) return;
    this.#take(oldDir, oldName);
    this.#take(newDir, newName);
    this.#add(newDir, newName, source);
    this.#add(oldDir, oldName, target);
  }

  #absent(
    dir: ModelFile,
    name: Uint8Array,
    otherwise: Change["expected"],
  ): Change["expected"] {
    return this.#child(dir, name) === undefined ? otherwise : "EEXIST";
  }

  // -------------------------------------------------------------- the model's files

  #key(name: Uint8Array): string {
    return latin1(this.#options.casefold ? foldName(name) ?? name : name);
  }

  #child(dir: ModelFile, name: Uint8Array): ModelFile | undefined {
    return dir.children!.get(this.#key(name));
  }

  #add(dir: ModelFile, name: Uint8Array, file: ModelFile): void {
    dir.children!.set(this.#key(name), file);
    if (file.children === undefined) return;
    file.parent = dir;
    dir.links++;
  }

  /** Takes a name away, with what it means for its directory. */
  #take(dir: ModelFile, name: Uint8Array): ModelFile {
    const file = this.#child(dir, name)!;
    dir.children!.delete(this.#key(name));
    if (file.children !== undefined) dir.links--;
    return file;
  }

  #drop(dir: ModelFile, name: Uint8Array): void {
    const file = this.#take(dir, name);
    file.links--;
    if (file.children !== undefined) this.#directories.splice(this.#directories.indexOf(file), 1);
  }

  #inode(file: ModelFile): Inode {
    return this.#fs.inode(file.ino);
  }

  /** The first directories get most of the names, so that some become large. */
  #pickDirectory(): ModelFile {
    const { length } = this.#directories;
    return this.#directories[this.#random.below(this.#random.below(length) + 1)];
  }

  /** Mostly one that exists. */
  #nameIn(dir: ModelFile): Uint8Array {
    const { children } = dir;
    if (children!.size === 0 || this.#random.oneIn(10)) return this.#random.pick(this.#names);
    const keys = [...children!.keys()];
    return Uint8Array.from(this.#random.pick(keys), (letter) => letter.charCodeAt(0));
  }

  #randomName(): Uint8Array {
    const length = 1 + this.#random.below(this.#options.longestName);
    if (this.#options.casefold) {
      const letters = Array.from(
        { length: Math.min(length, 60) },
        () => this.#random.pick(FOLDING),
      );
      return new TextEncoder().encode(letters.join(""));
    }
    for (;;) {
      const name = this.#random.bytes(length).map((byte) => byte === 0 || byte === 0x2f ? 1 : byte);
      if (!isDotName(name)) return name;
    }
  }

  // -------------------------------------------------------------- comparing

  #verifyDirectory(dir: ModelFile): void {
    const inode = this.#inode(dir);
    const expected = new Map([...dir.children!].map(([key, { ino }]) => [key, ino]));
    const listed = new Map<string, number>();
    let dots = 0;
    for (const { name, ino, type } of readDirectory(this.#fs, inode, 0)) {
      if (isDotName(name)) {
        dots++;
        continue;
      }
      listed.set(this.#key(name), ino);
      const file = this.#child(dir, name);
      assert.ok(file !== undefined, `${text(name)} in ${dir.ino} should not be`);
      if (type !== 0) assert.equal(type, file.type, `type of ${text(name)} in ${dir.ino}`);
      const found = namedInode(this.#fs, inode, name);
      assert.equal(found?.ino, file.ino, `inode of ${text(name)} in ${dir.ino}`);
      assert.equal(found?.fileType, file.type);
      assert.equal(found?.linksCount, file.links, `links of ${text(name)} in ${dir.ino}`);
      if (file.target !== undefined) assert.deepEqual(readSymlink(this.#fs, found!), file.target);
    }
    assert.equal(dots, 2);
    assert.deepEqual(listed, expected, `names of ${dir.ino}`);
    if (dir.parent !== undefined) assert.equal(parentOf(this.#fs, inode), dir.parent.ino);
    assert.equal(inode.linksCount, dir.links, `links of directory ${dir.ino}`);
  }
}

/** Letters that are the same as another one without regard to case. */
const FOLDING = ["a", "A", "b", "B", "\u00e4", "\u00c4", "\u03c3", "\u03a3", "\u03c2", "1"];

function isBelow(dir: ModelFile, ancestor: ModelFile): boolean {
  for (let at: ModelFile | undefined = dir; at !== undefined; at = at.parent) {
    if (at === ancestor) return true;
  }
  return false;
}

function* pathsBelow(dir: ModelFile, path: string): Generator<[string, ModelFile]> {
  for (const [name, file] of dir.children!) {
    yield [`${path}/${name}`, file];
    if (file.children !== undefined) yield* pathsBelow(file, `${path}/${name}`);
  }
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

function text(name: Uint8Array): string {
  const shown = JSON.stringify(latin1(name.subarray(0, 12)));
  return name.length > 12 ? `${shown}.. of ${name.length}` : shown;
}
