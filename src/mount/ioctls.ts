/**
 * The ioctls of lsattr(1), tune2fs(8) and the like, which read; changing_ioctls.ts has those that
 * change something. FUSE carries exactly the bytes that a command's number announces, so commands
 * whose structures have open ends (FIEMAP) never get here.
 */

import {
  EXT4_APPEND_FL,
  EXT4_DAX_FL,
  EXT4_IMMUTABLE_FL,
  EXT4_NOATIME_FL,
  EXT4_NODUMP_FL,
  EXT4_PROJINHERIT_FL,
  EXT4_SYNC_FL,
  EXT4_VISIBLE_FLAGS,
} from "../disk/inode.ts";
import { Ext4SuperBlock } from "../disk/superblock.ts";
import { struct, u32 } from "../disk/struct.ts";
import type { FileSystem } from "../ext4/filesystem.ts";
import type { Inode } from "../ext4/inode/inode.ts";

const FS_IOC_GETFLAGS = 0x80086601;
const FS_IOC32_GETFLAGS = 0x80046601;
const FS_IOC_GETVERSION = 0x80087601;
const FS_IOC32_GETVERSION = 0x80047601;
const EXT4_IOC_GETVERSION = 0x80086603;
const FS_IOC_FSGETXATTR = 0x801c581f;
const FS_IOC_GETFSLABEL = 0x81009431;
const FS_IOC_GETFSUUID = 0x80111500;

export const FSLABEL_MAX = 256;

/** struct fsxattr of linux/fs.h */
export const Fsxattr = struct("fsxattr", 28, {
  fsx_xflags: u32,
  fsx_extsize: u32,
  fsx_nextents: u32,
  fsx_projid: u32,
  fsx_cowextsize: u32,
  fsx_pad0: u32,
  fsx_pad1: u32,
});

/** FS_XFLAG_* for the inode flags that have one. */
export const XFLAGS: readonly (readonly [number, number])[] = [
  [EXT4_IMMUTABLE_FL, 0x00000008],
  [EXT4_APPEND_FL, 0x00000010],
  [EXT4_SYNC_FL, 0x00000020],
  [EXT4_NOATIME_FL, 0x00000040],
  [EXT4_NODUMP_FL, 0x00000080],
  [EXT4_PROJINHERIT_FL, 0x00000200],
  [EXT4_DAX_FL, 0x00008000],
];

type Answer = (fs: FileSystem, inode: Inode) => Uint8Array;

/** Commands by number, and what they give. */
const ANSWERS = new Map<number, Answer>([
  [FS_IOC_GETFLAGS, (_, inode) => number(visibleFlags(inode), 8)],
  [FS_IOC32_GETFLAGS, (_, inode) => number(visibleFlags(inode), 4)],
  [FS_IOC_GETVERSION, (_, inode) => number(inode.generation, 8)],
  [FS_IOC32_GETVERSION, (_, inode) => number(inode.generation, 4)],
  [EXT4_IOC_GETVERSION, (_, inode) => number(inode.generation, 8)],
  [FS_IOC_FSGETXATTR, (_, inode) => fsxattr(inode)],
  [FS_IOC_GETFSLABEL, (fs) => label(fs)],
  [FS_IOC_GETFSUUID, (fs) => Uint8Array.of(fs.superblock.uuid.length, ...fs.superblock.uuid)],
]);

/** The bytes for the caller, or undefined for a command that is not one of these. */
export function answerIoctl(
  fs: FileSystem,
  inode: Inode,
  command: number,
  outputSize: number,
): Uint8Array | undefined {
  return ANSWERS.get(command)?.(fs, inode).subarray(0, outputSize);
}

export function visibleFlags(inode: Inode): number {
  const visible = inode.flags & EXT4_VISIBLE_FLAGS;
  return (inode.isRegular ? visible & ~EXT4_PROJINHERIT_FL : visible) >>> 0;
}

/** A number in as many bytes as the C type has; the kernel fills only four of a long's eight. */
function number(value: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

function fsxattr(inode: Inode): Uint8Array {
  const bytes = new Uint8Array(Fsxattr.byteLength);
  const view = new DataView(bytes.buffer);
  const flags = visibleFlags(inode);
  const xflags = XFLAGS.reduce((all, [flag, xflag]) => (flags & flag) === 0 ? all : all | xflag, 0);
  Fsxattr.fsx_xflags.set(view, 0, xflags);
  Fsxattr.fsx_projid.set(view, 0, inode.projectId);
  return bytes;
}

function label(fs: FileSystem): Uint8Array {
  const bytes = new Uint8Array(FSLABEL_MAX);
  bytes.set(Ext4SuperBlock.s_volume_name.get(fs.superblock.view, 0));
  return bytes;
}
