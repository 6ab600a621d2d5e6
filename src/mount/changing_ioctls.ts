/**
 * The ioctls of chattr(1), fstrim(8), e2label(8) and the like, which change something. As with the
 * others, FUSE carries the bytes that a command's number announces. The kernel has checked who asks
 * only for those that it knows itself, the flags.
 */

import { struct, u64 } from "../disk/struct.ts";
import { Ext4SuperBlock } from "../disk/superblock.ts";
import type { FileSystem } from "../ext4/filesystem.ts";
import type { Inode } from "../ext4/inode/inode.ts";
import { changeFileAttributes, setVersion } from "../ext4/inode/inode_flags.ts";
import { setLabel } from "../ext4/superblock/label.ts";
import { trim } from "../ext4/allocation/trim.ts";
import type { Caller } from "../fuse/handlers.ts";
import { viewOf } from "../sys/bytes.ts";
import { fail } from "../sys/fs_error.ts";
import { FSLABEL_MAX, Fsxattr, visibleFlags, XFLAGS } from "./ioctls.ts";
import type { Upkeep } from "./upkeep.ts";

const FS_IOC_SETFLAGS = 0x40086602;
const FS_IOC32_SETFLAGS = 0x40046602;
const FS_IOC_SETVERSION = 0x40087602;
const FS_IOC32_SETVERSION = 0x40047602;
const EXT4_IOC_SETVERSION = 0x40086604;
const FS_IOC_FSSETXATTR = 0x401c5820;
const FS_IOC_SETFSLABEL = 0x41009432;
const FITRIM = 0xc0185879;
const FS_IOC_SHUTDOWN = 0x8004587d;

/** What a command works with. */
export interface IoctlCall {
  readonly fs: FileSystem;
  readonly inode: Inode;
  /** The argument, as long as the command's number says. */
  readonly input: Uint8Array;
  readonly caller: Caller;
  readonly isRoot: boolean;
  readonly upkeep: Upkeep;
}

type Change = (call: IoctlCall) => Uint8Array | void;

/** struct fstrim_range of linux/fs.h */
const FstrimRange = struct("fstrim_range", 24, { start: u64, len: u64, minlen: u64 });

const CHANGES = new Map<number, Change>([
  [FS_IOC_SETFLAGS, setFlags],
  [FS_IOC32_SETFLAGS, setFlags],
  [FS_IOC_FSSETXATTR, setFsxattr],
  [FS_IOC_SETVERSION, changeVersion],
  [FS_IOC32_SETVERSION, changeVersion],
  [EXT4_IOC_SETVERSION, changeVersion],
  [FS_IOC_SETFSLABEL, changeLabel],
  [FITRIM, discardFree],
  [FS_IOC_SHUTDOWN, (call) => {
    requireRoot(call);
    // The command's number says that it has no argument: the flags about the log stay behind.
    call.upkeep.shutDown();
  }],
]);

/** What does a command and gives the bytes for the caller; undefined for one that is not known. */
export function findChange(command: number): ((call: IoctlCall) => Uint8Array) | undefined {
  const change = CHANGES.get(command);
  return change && ((call) => change(call) ?? new Uint8Array());
}

function setFlags(call: IoctlCall): void {
  changeFileAttributes(call.fs, call.inode, { flags: number(call) });
}

/**
 * Flags that have no FS_XFLAG_* stay as they are. What else there is in FS_XFLAG_* is for other file
 * systems, and passed over as by the kernel.
 */
function setFsxattr({ fs, inode, input }: IoctlCall): void {
  const view = structure(input, Fsxattr.byteLength);
  const asked = Fsxattr.fsx_xflags.get(view, 0);
  const flags = XFLAGS.reduce(
    (all, [flag, xflag]) => (asked & xflag) === 0 ? all & ~flag : all | flag,
    visibleFlags(inode),
  );
  changeFileAttributes(fs, inode, {
    flags: flags >>> 0,
    projectId: Fsxattr.fsx_projid.get(view, 0),
  });
}

function changeVersion(call: IoctlCall): void {
  const { fs, inode, caller, isRoot } = call;
  if (!isRoot && caller.uid !== inode.uid) throw fail("EPERM", "The file is somebody else's");
  setVersion(fs, inode, number(call));
}

function changeLabel(call: IoctlCall): void {
  requireRoot(call);
  const { byteLength } = structure(call.input, FSLABEL_MAX);
  const end = call.input.subarray(0, byteLength).indexOf(0);
  const label = call.input.subarray(0, end < 0 ? byteLength : end);
  if (label.length > Ext4SuperBlock.s_volume_name.size) {
    throw fail("EINVAL", `A label of ${label.length} bytes`);
  }
  setLabel(call.fs, label);
}

function discardFree(call: IoctlCall): Uint8Array {
  requireRoot(call);
  const view = structure(call.input, FstrimRange.byteLength);
  const start = FstrimRange.start.get(view, 0);
  const minimum = FstrimRange.minlen.get(view, 0);
  const done = trim(call.fs, start, FstrimRange.len.get(view, 0), minimum);
  const answer = call.input.slice();
  FstrimRange.len.set(structure(answer, FstrimRange.byteLength), 0, done);
  return answer;
}

/** The kernel reads only four of a long's eight bytes. */
function number({ input }: IoctlCall): number {
  return structure(input, 4).getUint32(0, true);
}

function structure(input: Uint8Array, least: number): DataView {
  if (input.length < least) throw fail("EINVAL", `An ioctl with only ${input.length} bytes`);
  return viewOf(input);
}

function requireRoot({ isRoot }: IoctlCall): void {
  if (!isRoot) throw fail("EPERM", "Only root may do that");
}
