/**
 * Fills a mounted file system with one of everything that ext2, ext3 and ext4 can hold, by plain
 * system calls. What a configuration cannot hold is left out by its {@linkcode Contents}.
 */

import { S_IFBLK, S_IFCHR, S_IFIFO, S_IFREG, S_IFSOCK } from "../../src/sys/stat.ts";
import {
  chmod,
  ioctlOn,
  join,
  lchown,
  link,
  mkdir,
  mknod,
  type Path,
  setInodeFlags,
  setTimes,
  setXattr,
  symlink,
  SystemError,
} from "./libc.ts";
import { pattern, populateData, writeFile } from "./populate_data.ts";

/** What of the population applies. */
export interface Contents {
  readonly blockSize: number;
  /** Files may have unwritten extents. */
  readonly extents: boolean;
  /** Names and link targets of plain ASCII only, for tools that print them as they are. */
  readonly plainNames?: boolean;
  /** Inode flags can be set. */
  readonly inodeFlags?: boolean;
  /** Longest target of a symbolic link; left out: a block without its NUL. */
  readonly longestTarget?: number;
  /** Extended attributes may be as large as 64 KiB. */
  readonly largeXattrs?: boolean;
  /** Names of 200 bytes in the directory that has an index of two levels; 0 for none. */
  readonly longNames: number;
  /** Single blocks of the file with the deep extent tree. */
  readonly fragments: number;
  /** Files as large as the file system allows: not in a source of mke2fs -d. */
  readonly hugeFiles: boolean;
}

/** Fills the directory, which should be the root of an empty file system. */
export function populate(root: string, contents: Contents): void {
  populateTypes(section(root, "types"));
  populateNames(root, contents);
  populateDirectories(section(root, "directories"), contents);
  populateSymlinks(section(root, "symlinks"), contents);
  populateOwners(section(root, "owners"));
  populateTimes(section(root, "times"));
  populateXattrs(section(root, "xattrs"), contents);
  populateAcls(section(root, "acls"));
  if (contents.inodeFlags ?? true) populateFlags(section(root, "flags"));
  populateData(section(root, "data"), contents);
}

function section(root: string, name: string): string {
  const path = `${root}/${name}`;
  mkdir(path);
  return path;
}

/** makedev(3) as far as mknod(2) takes it: 12 bits of major, 20 of minor. */
function device(major: number, minor: number): bigint {
  return BigInt((minor % 256) + major * 256 + Math.floor(minor / 256) * 2 ** 20);
}

const DEVICES = [
  [0, 1],
  [1, 3],
  [8, 255],
  [255, 255],
  [256, 0],
  [8, 256],
  [259, 0xfffff],
  [4095, 0xfffff],
] as const;

function populateTypes(dir: string): void {
  mknod(`${dir}/fifo`, S_IFIFO | 0o640);
  mknod(`${dir}/socket`, S_IFSOCK | 0o755);
  mknod(`${dir}/empty`, S_IFREG | 0o600);
  for (const [major, minor] of DEVICES) {
    mknod(`${dir}/char-${major}-${minor}`, S_IFCHR | 0o666, device(major, minor));
    mknod(`${dir}/block-${major}-${minor}`, S_IFBLK | 0o660, device(major, minor));
  }
  writeFile(`${dir}/first`, pattern(1, 5000));
  for (let index = 0; index < 300; index++) link(`${dir}/first`, `${dir}/link-${index}`);
}

/** Every byte but NUL and slash, in names of all lengths. */
function populateNames(root: string, contents: Contents): void {
  const dir = section(root, "names");
  mkdir(`${dir}/lengths`);
  for (let length = 1; length <= 255; length += length < 20 ? 1 : 47) {
    mknod(`${dir}/lengths/${"n".repeat(length)}`, S_IFREG | 0o644);
  }
  if (contents.plainNames) return;
  for (let byte = 1; byte < 256; byte++) {
    if (byte === 0x2f || byte === 0x2e) continue;
    mknod(join(dir, Uint8Array.of(byte)), S_IFREG | 0o644);
    mknod(join(dir, Uint8Array.of(0x2e, byte, byte)), S_IFREG | 0o644);
  }
  for (const name of ["...", "..a", "snow\u2603man", "\u00e9", "e\u0301", "\u{1f4be}"]) {
    mknod(join(dir, name), S_IFREG | 0o644);
  }
  mknod(join(dir, new Uint8Array(255).fill(0xff)), S_IFREG | 0o644);
  mknod(join(dir, "\u2603".repeat(85)), S_IFREG | 0o644);
}

/** Directories of no entry, of a few, of an index of one level and of one of two. */
function populateDirectories(dir: string, contents: Contents): void {
  mkdir(`${dir}/empty`);
  mkdir(`${dir}/one`);
  mkdir(`${dir}/one/only`);
  const nested = Array.from({ length: 30 }, (_, level) => `level${level}`);
  for (let depth = 1; depth <= nested.length; depth++) {
    mkdir([dir, ...nested.slice(0, depth)].join("/"));
  }
  mkdir(`${dir}/subdirectories`);
  for (let index = 0; index < 40; index++) mkdir(`${dir}/subdirectories/${index}`);

  const file = `${dir}/many-names`;
  mknod(file, S_IFREG | 0o644);
  mkdir(`${dir}/indexed`);
  for (let index = 0; index < 600; index++) link(file, join(`${dir}/indexed`, anyName(index, 16)));
  mkdir(`${dir}/long-names`);
  for (let index = 0; index < contents.longNames; index++) {
    link(file, join(`${dir}/long-names`, anyName(index, 200)));
  }

  /** A name with bytes above 0x7f, which signed and unsigned hashes treat differently. */
  function anyName(index: number, length: number): Uint8Array {
    const text = `${index}-`;
    const fill = contents.plainNames ? "x" : "\u00fc\u2603"[index % 2];
    return new TextEncoder().encode(text + fill.repeat(length)).subarray(0, length);
  }
}

function populateSymlinks(dir: string, contents: Contents): void {
  const longest = Math.min(contents.longestTarget ?? contents.blockSize - 1, 4095);
  const lengths = [1, 2, 58, 59, 60, 61, 62, 100, 155, 156, 157, 255, 500, 1023, longest];
  for (const length of new Set(lengths.filter((length) => length <= longest))) {
    symlink("t".repeat(length), `${dir}/length-${length}`);
  }
  symlink("../types/first", `${dir}/relative`);
  symlink("/nowhere/at/all", `${dir}/dangling`);
  symlink("loop", `${dir}/loop`);
  if (!contents.plainNames) symlink(Uint8Array.of(1, 0xff, 0x0a, 0x80), `${dir}/bytes`);
}

function populateOwners(dir: string): void {
  const ids = [0, 1, 65534, 65535, 65536, 0x12345678, 0x7fffffff, 0xfffffffe];
  for (const id of ids) {
    mknod(`${dir}/owned-${id}`, S_IFREG | 0o644);
    lchown(`${dir}/owned-${id}`, id, ids[(ids.indexOf(id) + 3) % ids.length]);
  }
  for (const mode of [0, 0o1, 0o777, 0o1777, 0o2755, 0o4755, 0o7777]) {
    mknod(`${dir}/mode-${mode.toString(8)}`, S_IFREG | 0o644);
    chmod(`${dir}/mode-${mode.toString(8)}`, mode);
    mkdir(`${dir}/dir-${mode.toString(8)}`);
    chmod(`${dir}/dir-${mode.toString(8)}`, mode);
  }
}

/** The edges of 32 bits of seconds and of the two epoch bits above them. */
const SECONDS = [
  -(2 ** 31),
  -(2 ** 31) + 1,
  -1,
  0,
  1,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 33 - 1,
  2 ** 33,
  2 ** 33 + 2 ** 31,
  3 * 2 ** 32 + 2 ** 31 - 1,
];

function populateTimes(dir: string): void {
  for (const [index, seconds] of SECONDS.entries()) {
    const path = `${dir}/second-${seconds}`;
    mknod(path, S_IFREG | 0o644);
    const other = SECONDS[(index + 5) % SECONDS.length];
    setTimes(path, [seconds, 999_999_999 - index], [other, index]);
  }
  symlink("target", `${dir}/symlink`);
  setTimes(`${dir}/symlink`, [-5, 5], [2 ** 32 + 5, 123_456_789]);
  mkdir(`${dir}/directory`);
  setTimes(`${dir}/directory`, [2 ** 31 + 7, 1], [-7, 999_999_999]);
}

/** Attributes in the inode, in a block, shared blocks, and in inodes of their own. */
function populateXattrs(dir: string, contents: Contents): void {
  const set = (path: Path, name: Path, size: number) =>
    setXattr(path, name, pattern(size + 7, size));
  // A source of mke2fs -d lies on a file system of blocks of 4 KiB itself.
  const inBlock = Math.min(contents.blockSize, 4096) - 200;
  for (const size of [0, 1, 4, 30, 60, 100, 200, inBlock]) {
    mknod(`${dir}/size-${size}`, S_IFREG | 0o644);
    set(`${dir}/size-${size}`, "user.value", size);
  }
  mknod(`${dir}/many`, S_IFREG | 0o644);
  for (let index = 0; index < 20; index++) set(`${dir}/many`, `user.n${index}`, index % 5);
  mknod(`${dir}/namespaces`, S_IFREG | 0o644);
  for (const space of ["user", "trusted", "security"]) {
    set(`${dir}/namespaces`, `${space}.name`, 11);
    set(`${dir}/namespaces`, `${space}.${"l".repeat(200)}`, 3);
  }
  for (let index = 0; index < 4; index++) {
    mknod(`${dir}/shared-${index}`, S_IFREG | 0o644);
    set(`${dir}/shared-${index}`, "user.shared", 400);
  }
  mkdir(`${dir}/directory`);
  set(`${dir}/directory`, "user.of-directory", 50);
  symlink("target", `${dir}/symlink`);
  set(`${dir}/symlink`, "trusted.of-symlink", 50);
  symlink("s".repeat(300), `${dir}/long-symlink`);
  set(`${dir}/long-symlink`, "trusted.of-symlink", 300);
  mknod(`${dir}/fifo`, S_IFIFO | 0o644);
  set(`${dir}/fifo`, "trusted.of-fifo", 50);
  if (!contents.plainNames) {
    set(`${dir}/many`, Uint8Array.of(...new TextEncoder().encode("user."), 1, 0xff, 0x3d), 9);
  }
  if (!contents.largeXattrs) return;
  for (const size of [contents.blockSize - 4, contents.blockSize, 10_000, 65_535, 65_536]) {
    mknod(`${dir}/large-${size}`, S_IFREG | 0o644);
    set(`${dir}/large-${size}`, "user.large", size);
    set(`${dir}/large-${size}`, "trusted.beside", 5);
  }
}

/** One ACL entry in the form of the system call: tag, permissions, user or group. */
function aclEntry(tag: number, permissions: number, id = 0xffffffff): number[] {
  return [tag, 0, permissions, 0, id & 255, (id >>> 8) & 255, (id >>> 16) & 255, id >>> 24];
}

const ACL_VERSION = [2, 0, 0, 0];
const [USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER] = [1, 2, 4, 8, 16, 32];
const FULL_ACL = Uint8Array.from([
  ...ACL_VERSION,
  ...aclEntry(USER_OBJ, 6),
  ...aclEntry(USER, 4, 1000),
  ...aclEntry(USER, 7, 0x12345678),
  ...aclEntry(GROUP_OBJ, 5),
  ...aclEntry(GROUP, 2, 65536),
  ...aclEntry(MASK, 6),
  ...aclEntry(OTHER, 0),
]);
const SHORT_ACL = Uint8Array.from([
  ...ACL_VERSION,
  ...aclEntry(USER_OBJ, 7),
  ...aclEntry(USER, 5, 1),
  ...aclEntry(GROUP_OBJ, 5),
  ...aclEntry(MASK, 5),
  ...aclEntry(OTHER, 5),
]);

function populateAcls(dir: string): void {
  mknod(`${dir}/file`, S_IFREG | 0o644);
  setXattr(`${dir}/file`, "system.posix_acl_access", FULL_ACL);
  mkdir(`${dir}/directory`);
  setXattr(`${dir}/directory`, "system.posix_acl_access", SHORT_ACL);
  setXattr(`${dir}/directory`, "system.posix_acl_default", FULL_ACL);
  // Made below a default ACL, these inherit it.
  mkdir(`${dir}/directory/inherits`);
  mknod(`${dir}/directory/file`, S_IFREG | 0o666);
}

const FLAGS = {
  "sync": 0x8,
  "immutable": 0x10,
  "append": 0x20,
  "nodump": 0x40,
  "noatime": 0x80,
} as const;
/** Flags of directories only. */
const DIRECTORY_FLAGS = { "dirsync": 0x10000, "topdir": 0x20000 } as const;
const EXTENTS_FLAG = 0x80000;

function populateFlags(dir: string): void {
  for (const [name, flag] of Object.entries(FLAGS)) {
    writeFile(`${dir}/${name}`, pattern(flag, 100));
    mkdir(`${dir}/${name}-directory`);
    addFlags(`${dir}/${name}`, flag);
    addFlags(`${dir}/${name}-directory`, flag);
  }
  for (const [name, flag] of Object.entries(DIRECTORY_FLAGS)) {
    mkdir(`${dir}/${name}`);
    addFlags(`${dir}/${name}`, flag);
  }
}

const FS_IOC_GETFLAGS = 0x80086601;

function addFlags(path: string, flags: number): void {
  const current = new Uint8Array(8);
  ioctlOn(path, FS_IOC_GETFLAGS, current);
  const kept = new DataView(current.buffer).getUint32(0, true) & (EXTENTS_FLAG | 0x10000000);
  try {
    setInodeFlags(path, kept | flags);
  } catch (error) {
    // Inline data's flag may not be handed back on some kernels: the others suffice.
    if (!(error instanceof SystemError) || error.code !== "EOPNOTSUPP") throw error;
    setInodeFlags(path, (kept & EXTENTS_FLAG) | flags);
  }
}
