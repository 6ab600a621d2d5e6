/** `fuse4fs stat`: everything that the inode of a file says. */

import type { FileSystem } from "../ext4/filesystem.ts";
import type { Inode } from "../ext4/inode/inode.ts";
import { readSymlink } from "../ext4/content/symlink.ts";
import { getXattr, listXattrNames } from "../ext4/xattr/xattr.ts";
import {
  allocatedBytes,
  flagNames,
  modeString,
  permissions,
  timeString,
  typeName,
} from "./file_facts.ts";
import { findInode, type ImageCommandOptions, withFileSystem } from "./image_access.ts";
import { type JsonObject, printJson } from "./json.ts";
import { hex, jsonBytes, shownName, utf8 } from "./names.ts";
import { print, printLine } from "./output.ts";

export interface StatOptions extends ImageCommandOptions {
  /** Look at what a symbolic link leads to. */
  readonly dereference?: boolean;
}

export function stat(image: string, path: string, options: StatOptions): void {
  withFileSystem(image, options, (fs) => {
    const inode = findInode(fs, path, options.dereference ?? false);
    if (options.json) {
      printJson(statJson(fs, path, inode));
    } else {
      printStat(fs, path, inode);
    }
  });
}

interface Xattr {
  readonly name: Uint8Array;
  readonly value: Uint8Array;
}

function xattrs(fs: FileSystem, inode: Inode): Xattr[] {
  return listXattrNames(fs, inode).map((name) => ({
    name,
    value: getXattr(fs, inode, name) ?? new Uint8Array(),
  }));
}

function statJson(fs: FileSystem, path: string, inode: Inode): JsonObject {
  const { crtime } = inode;
  return {
    path,
    ino: inode.ino,
    type: typeName(inode.fileType),
    mode: permissions(inode),
    links: inode.linksCount,
    uid: inode.uid,
    gid: inode.gid,
    projectId: inode.projectId,
    size: inode.size,
    allocatedBytes: allocatedBytes(fs, inode),
    flags: flagNames(inode),
    generation: inode.generation,
    accessed: timeString(inode.atime),
    modified: timeString(inode.mtime),
    changed: timeString(inode.ctime),
    created: crtime === undefined ? null : timeString(crtime),
    ...(inode.isDeviceNode ? { device: { ...inode.rdev } } : {}),
    ...(inode.isSymlink ? jsonBytes("target", readSymlink(fs, inode)) : {}),
    xattrs: xattrs(fs, inode).map(({ name, value }) => ({
      ...jsonBytes("name", name),
      ...jsonBytes("value", value),
    })),
  };
}

function printStat(fs: FileSystem, path: string, inode: Inode): void {
  const { crtime, rdev } = inode;
  const row = (label: string, content: Uint8Array | string) => {
    print(`${`${label}:`.padEnd(12)}`);
    print(content);
    printLine();
  };
  row("File", path);
  if (inode.isSymlink) row("Target", shownName(readSymlink(fs, inode)));
  row("Type", typeName(inode.fileType));
  if (inode.isDeviceNode) row("Device", `${rdev.major}, ${rdev.minor}`);
  row("Inode", `${inode.ino}, generation ${inode.generation}, links ${inode.linksCount}`);
  row("Mode", `${permissions(inode)} (${modeString(inode)})`);
  row("Owner", `uid ${inode.uid}, gid ${inode.gid}, project ${inode.projectId}`);
  row("Size", `${inode.size} bytes, ${allocatedBytes(fs, inode)} allocated`);
  row("Flags", flagNames(inode).join(" ") || "none");
  row("Accessed", timeString(inode.atime));
  row("Modified", timeString(inode.mtime));
  row("Changed", timeString(inode.ctime));
  row("Created", crtime === undefined ? "not recorded" : timeString(crtime));
  for (const { name, value } of xattrs(fs, inode)) {
    print("Attribute:  ");
    print(shownName(name));
    printLine(`=${shownValue(value)}`);
  }
}

/** Text in quotes where the value is text, else hex. */
function shownValue(value: Uint8Array): string {
  const text = utf8(value);
  return text === undefined || /\p{Cc}/u.test(text) ? `0x${hex(value)}` : JSON.stringify(text);
}
