/**
 * Sequences of changes to extended attributes, the same for the same seed, that are made on a mount
 * of the kernel's ext4 and by the functions of src/ext4: with the same outcome, it is hoped.
 */

import type { FileSystem } from "../../src/ext4/filesystem.ts";
import { lookup } from "../../src/ext4/directory/lookup.ts";
import {
  removeXattr,
  setXattr,
  XATTR_CREATE,
  XATTR_REPLACE,
} from "../../src/ext4/xattr/set_xattr.ts";
import { getXattr, listXattrNames } from "../../src/ext4/xattr/xattr.ts";
import { FsError } from "../../src/sys/fs_error.ts";
import * as libc from "./libc.ts";
import { SystemError } from "./libc.ts";
import type { Random } from "./random.ts";

/** One change. Without a value, the attribute is removed. */
export interface XattrStep {
  readonly file: string;
  /** With prefix, one byte a character. */
  readonly name: string;
  readonly value?: Uint8Array<ArrayBuffer>;
  readonly flags: number;
}

/** By file and name: the value, in hexadecimal. */
export type XattrModel = Map<string, Map<string, string>>;

export interface XattrRanges {
  readonly blockSize: number;
  /** Values of up to 64 KiB. */
  readonly large: boolean;
}

/** Files that setxattr(2) takes names of `user` for begin with an f or d. */
export function randomSteps(
  random: Random,
  files: readonly string[],
  count: number,
  ranges: XattrRanges,
): XattrStep[] {
  return Array.from({ length: count }, () => {
    const file = random.pick(files);
    const name = randomName(random, /^[fd]/.test(file));
    if (random.oneIn(4)) return { file, name, flags: 0 };
    const flags = random.oneIn(4) ? random.pick([XATTR_CREATE, XATTR_REPLACE]) : 0;
    return { file, name, value: randomValue(random, ranges), flags };
  });
}

function randomName(random: Random, mayBeUser: boolean): string {
  const prefix = random.pick(
    mayBeUser ? ["user.", "user.", "trusted.", "security."] : ["trusted."],
  );
  const number = random.below(6);
  const kind = random.below(12);
  if (kind === 0) return `${prefix}${"n".repeat(255 - prefix.length - 1)}${number}`;
  if (kind === 1) return `${prefix}\xc3\xa9${number}`;
  return `${prefix}${"name".slice(0, random.below(4))}${number}`;
}

/** Few different ones among the small, so that files come to have the same attributes. */
function randomValue(random: Random, { blockSize, large }: XattrRanges): Uint8Array<ArrayBuffer> {
  const kind = random.below(large ? 10 : 8);
  if (kind === 0) return new Uint8Array();
  if (kind < 4) return new Uint8Array(random.below(40)).fill(0x61 + random.below(2));
  if (kind < 6) return bytesOf(random, 300);
  if (kind < 8) return bytesOf(random, blockSize + 50);
  return bytesOf(random, 65537);
}

/** Fewer than `limit`. A whole value of chance would take longer than setting it. */
function bytesOf(random: Random, limit: number): Uint8Array<ArrayBuffer> {
  const start = random.uint32();
  return Uint8Array.from({ length: random.below(limit) }, (_, index) => start + index * 7);
}

/** Makes the changes below a directory; returns the errno of each, or an empty text. */
export function stepOnMount(dir: string, { file, name, value, flags }: XattrStep): string {
  const path = `${dir}/${file}`;
  try {
    if (value === undefined) libc.removeXattr(path, latin1Bytes(name));
    else libc.setXattr(path, latin1Bytes(name), value, flags);
    return "";
  } catch (error) {
    if (error instanceof SystemError) return error.code;
    throw error;
  }
}

export function stepOnFileSystem(fs: FileSystem, step: XattrStep): string {
  const inode = fs.inode(lookup(fs, fs.root, new TextEncoder().encode(step.file))!);
  const name = latin1Bytes(step.name);
  try {
    if (step.value === undefined) removeXattr(fs, inode, name);
    else setXattr(fs, inode, name, step.value, step.flags);
    return "";
  } catch (error) {
    if (error instanceof FsError) return error.code;
    throw error;
  }
}

/** Takes a change that succeeded into the model. */
export function stepInModel(model: XattrModel, { file, name, value }: XattrStep): void {
  const xattrs = model.get(file) ?? new Map();
  model.set(file, xattrs);
  if (value === undefined) xattrs.delete(name);
  else xattrs.set(name, value.toHex());
}

export function xattrsOnMount(dir: string, files: readonly string[]): XattrModel {
  return modelOf(
    files,
    (file) =>
      libc.listXattrs(`${dir}/${file}`).map((name) =>
        [name, libc.getXattr(`${dir}/${file}`, latin1Bytes(name)).toHex()] as const
      ),
  );
}

export function xattrsOnFileSystem(fs: FileSystem, files: readonly string[]): XattrModel {
  return modelOf(files, (file) => {
    const inode = fs.inode(lookup(fs, fs.root, new TextEncoder().encode(file))!);
    return listXattrNames(fs, inode).map((name) =>
      [String.fromCharCode(...name), getXattr(fs, inode, name)!.toHex()] as const
    );
  });
}

function modelOf(
  files: readonly string[],
  xattrsOf: (file: string) => (readonly [string, string])[],
): XattrModel {
  const model: XattrModel = new Map();
  for (const file of files) {
    const xattrs = xattrsOf(file);
    if (xattrs.length > 0) model.set(file, new Map(xattrs.sort()));
  }
  return model;
}

/** Without files that have none, and with names in order, so that two can be compared. */
export function normalized(model: XattrModel): XattrModel {
  return modelOf([...model.keys()].sort(), (file) => [...model.get(file)!]);
}

function latin1Bytes(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
