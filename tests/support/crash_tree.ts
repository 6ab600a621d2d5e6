/**
 * A tree of files as text and content, to compare what a file system holds with what it should: of
 * an image, read by the code under test, and of a model (crash_model.ts).
 */

import { Buffer } from "node:buffer";
import { crc32c } from "../../src/disk/crc32c.ts";
import { readDirectory } from "../../src/ext4/directory/directory.ts";
import { readBytes } from "../../src/ext4/content/read.ts";
import type { FileSystem } from "../../src/ext4/filesystem.ts";
import type { Inode } from "../../src/ext4/inode/inode.ts";
import { readSymlink } from "../../src/ext4/content/symlink.ts";
import { getXattr, listXattrNames } from "../../src/ext4/xattr/xattr.ts";

/** One name. */
export interface TreeEntry {
  /** Everything but size and content. */
  readonly facts: string;
  /** Of regular files. */
  readonly content?: Uint8Array;
  /** Of what a model knows: which file it is. */
  readonly id?: number;
}

/** By path; that of the root is empty. */
export type CrashTree = ReadonlyMap<string, TreeEntry>;

export interface Facts {
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  /** Of a symbolic link. */
  readonly target?: string;
  readonly xattrs: Iterable<readonly [name: string, value: Uint8Array]>;
}

export function factsAsText({ mode, links, uid, gid, target, xattrs }: Facts): string {
  const attributes = [...xattrs].map(([name, value]) =>
    `${name}=${value.length}:${crc32c(0, value)}`
  );
  const where = target === undefined ? "" : ` -> ${target}`;
  return `${mode.toString(8)} ${links} ${uid}:${gid}${where} ${attributes.sort().join(" ")}`;
}

/** One line for each name, in the order of the paths. */
export function treeAsText(tree: CrashTree): string {
  return [...tree].map(([path, entry]) => `${path}: ${entryAsText(entry)}`).sort().join("\n");
}

function entryAsText({ facts, content }: TreeEntry): string {
  return content === undefined ? facts : `${facts}, ${content.length} bytes`;
}

/** Where a tree is not what is expected, in words; none when it is the same, to the last byte. */
export function differences(expected: CrashTree, found: CrashTree): string[] {
  const lines: string[] = [];
  for (const [path, entry] of expected) {
    const actual = found.get(path);
    if (actual === undefined) lines.push(`${path} is missing`);
    else if (entryAsText(actual) !== entryAsText(entry)) {
      lines.push(`${path}: ${entryAsText(actual)} instead of ${entryAsText(entry)}`);
    } else if (entry.content && Buffer.compare(entry.content, actual.content!) !== 0) {
      const at = entry.content.findIndex((byte, index) => actual.content![index] !== byte);
      lines.push(`${path}: byte ${at} is ${actual.content![at]}`);
    }
  }
  for (const path of found.keys()) if (!expected.has(path)) lines.push(`${path} is too much`);
  return lines;
}

/** Reads a whole file system. Throws FsError on any damage. */
export function readTree(fs: FileSystem): CrashTree {
  const tree = new Map<string, TreeEntry>();
  const visit = (path: string, inode: Inode) => {
    tree.set(path, entryOf(fs, inode));
    if (!inode.isDirectory) return;
    for (const { name, ino } of readDirectory(fs, inode, 0)) {
      const text = new TextDecoder().decode(name);
      if (text === "." || text === "..") continue;
      if (tree.has(`${path}/${text}`)) throw new Error(`${path}/${text} is there twice`);
      visit(`${path}/${text}`, fs.inode(ino));
    }
  };
  visit("", fs.root);
  return tree;
}

function entryOf(fs: FileSystem, inode: Inode): TreeEntry {
  const facts = factsAsText({
    mode: inode.mode,
    links: inode.linksCount,
    uid: inode.uid,
    gid: inode.gid,
    target: inode.isSymlink ? new TextDecoder().decode(readSymlink(fs, inode)) : undefined,
    xattrs: listXattrNames(fs, inode).map((name) => [
      new TextDecoder().decode(name),
      getXattr(fs, inode, name) ?? new Uint8Array(),
    ]),
  });
  return inode.isRegular ? { facts, content: readBytes(fs, inode, 0, inode.size) } : { facts };
}
