/**
 * A FUSE server for tests of src/fuse: run as a program with a mountpoint, and if need be with more
 * mount options. Nothing is cached by the kernel. Its root holds
 *
 *     fine       a line of text
 *     odd-times  the same, of times before 1970 and after 2038
 *     device     a character device with large numbers
 *     mixed      bytes of {@linkcode mixedByte}, from a descriptor and from memory by turns
 *     crash      a plain Error on every request
 *     damage     an FsError of damage on every request
 *     abort      the connection is aborted while its attributes are being asked for
 *     many       a folder of {@linkcode MANY} files with names of any bytes
 */

import type { DataSource } from "../../src/block/device.ts";
import type { Attributes, DirectoryRow, Entry, Handlers } from "../../src/fuse/handlers.ts";
import { corrupt, fail } from "../../src/sys/fs_error.ts";
import { memoryFile } from "../../src/sys/files.ts";
import { umount } from "../../src/sys/system.ts";
import { makeDevice, S_IFCHR, S_IFDIR, S_IFMT, S_IFREG } from "../../src/sys/stat.ts";
import { FIRST_OF_MANY, latin1, MANY, MIXED_SIZE, mixedByte, oddName } from "./toy_content.ts";
import { serveHandlers } from "./serve_handlers.ts";

/** umount2(2): cut the connection, whoever uses the mount. */
const MNT_FORCE = 1;

const ROOT = 1;
const NAMES = ["fine", "odd-times", "device", "mixed", "crash", "damage", "abort", "many"];
const CONTENT = new TextEncoder().encode("all is well\n");

/** Length of the pieces of `mixed`; no multiple of a page. */
const PIECE = 10_007;

function nameOf(nodeId: number): string {
  return NAMES[nodeId - ROOT - 1] ?? "";
}

function attributes(ino: number): Attributes {
  const name = nameOf(ino);
  const time = name === "odd-times" ? { sec: -1, nsec: 999_999_999 } : { sec: 0, nsec: 0 };
  const mode = ino === ROOT || name === "many"
    ? S_IFDIR | 0o755
    : (name === "device" ? S_IFCHR : S_IFREG) | 0o644;
  return {
    ino,
    mode,
    nlink: 1,
    uid: 0,
    gid: 0,
    rdev: name === "device" ? makeDevice(4095, 0xfffff) : 0,
    size: name === "mixed" ? MIXED_SIZE : ino >= FIRST_OF_MANY ? ino : CONTENT.length,
    blksize: 4096,
    blocks: 1,
    atime: time,
    mtime: { sec: 15e9, nsec: 1 },
    ctime: time,
    btime: { sec: 12345, nsec: 6789 },
  };
}

function misbehave(ino: number): void {
  const name = nameOf(ino);
  if (name === "crash") throw new TypeError("a defect of the server");
  if (name === "damage") throw corrupt("toy structure", { ino, block: 4711 });
  if (name === "abort") abortConnection();
}

/** As `umount -f` does: requests that wait, and those that are being answered, are gone. */
function abortConnection(): void {
  try {
    umount(mountpoint, MNT_FORCE);
  } catch {
    // Whoever asks for the attributes keeps the mount busy; the connection is cut all the same.
  }
}

function mixedSources(position: number, length: number): DataSource[] {
  const end = Math.min(position + length, MIXED_SIZE);
  const sources: DataSource[] = [];
  for (let at = position; at < end;) {
    const piece = Math.floor(at / PIECE);
    const size = Math.min((piece + 1) * PIECE, end) - at;
    sources.push(
      piece % 2 === 0
        ? { kind: "descriptor", fd: mixed.fd, position: at, length: size }
        : { kind: "memory", bytes: mixedBytes.subarray(at, at + size) },
    );
    at += size;
  }
  return sources;
}

const ROOT_ROWS: readonly DirectoryRow[] = NAMES.map((name, index) => ({
  name: new TextEncoder().encode(name),
  ino: index + ROOT + 1,
  type: attributes(index + ROOT + 1).mode & S_IFMT,
  next: index + 1,
}));
const MANY_ROWS: readonly DirectoryRow[] = Array.from({ length: MANY }, (_, index) => ({
  name: oddName(index),
  ino: FIRST_OF_MANY + index,
  type: S_IFREG,
  next: index + 1,
}));
/** Node ids by folder and name. */
const ROOT_NODES = new Map(ROOT_ROWS.map((row) => [latin1(row.name), row.ino]));
const MANY_NODES = new Map(MANY_ROWS.map((row) => [latin1(row.name), row.ino]));

function entry(nodeId: number): Entry {
  return { nodeId, generation: 0, attributes: attributes(nodeId) };
}

const handlers: Handlers = {
  timeouts: { entry: 0, negativeEntry: 0, attributes: 0 },
  lookup(parent, name): Entry | undefined {
    const nodes = parent === ROOT ? ROOT_NODES : MANY_NODES;
    const nodeId = nodes.get(latin1(name));
    return nodeId === undefined ? undefined : entry(nodeId);
  },
  forget() {},
  getattr(nodeId) {
    misbehave(nodeId);
    return attributes(nodeId);
  },
  access() {},
  readlink() {
    throw fail("EINVAL", "no links here");
  },
  open: () => undefined,
  read(nodeId, position, length) {
    misbehave(nodeId);
    if (nameOf(nodeId) === "mixed") return mixedSources(position, length);
    return [{ kind: "memory", bytes: CONTENT.slice(position, position + length) }];
  },
  release() {},
  opendir: () => undefined,
  readdir(nodeId, position, add) {
    const rows = nodeId === ROOT ? ROOT_ROWS : MANY_ROWS;
    for (const row of rows.slice(position)) {
      if (!add(row)) return;
    }
  },
  readdirplus(nodeId, position, add) {
    // Rows without an entry are allowed as well: the kernel looks those up.
    handlers.readdir(
      nodeId,
      position,
      (row) => add(row, row.ino % 2 === 0 ? undefined : entry(row.ino)),
    );
  },
  releasedir() {},
  statfs: () => ({
    bsize: 4096,
    frsize: 1024,
    blocks: 2 ** 40 + 1,
    bfree: 2 ** 33 + 3,
    bavail: 5,
    files: 2 ** 32 - 1,
    ffree: 7,
    namemax: 255,
  }),
  getxattr(_nodeId, name) {
    return latin1(name) === "user.toy" ? Uint8Array.of(1, 0, 255) : undefined;
  },
  listxattr: () => new TextEncoder().encode("user.toy\0"),
  lseek: (_nodeId, position, whence) => position + whence * 2 ** 40,
  bmap: () => 0,
  ioctl() {
    throw fail("ENOTTY", "no ioctls here");
  },
};

const mixedBytes = Uint8Array.from({ length: MIXED_SIZE }, (_, at) => mixedByte(at));
const mixed = memoryFile("mixed", mixedBytes);
const [mountpoint, ...moreOptions] = Deno.args;

serveHandlers(handlers, mountpoint, ["fsname=toy", "ro", ...moreOptions], false);
