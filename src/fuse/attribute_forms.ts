/** Attributes of a file in the two forms in which the kernel takes them. */

import { splitDevice } from "../sys/stat.ts";
import type { Attributes } from "./handlers.ts";
import { FuseAttr as Attr, FuseEntryOut, FuseStatx as Statx } from "./wire.ts";

/** What LOOKUP, CREATE and READDIRPLUS tell of a name: fuse_entry_out, fuse_attr behind it. */
export const ENTRY_SIZE = FuseEntryOut.byteLength + Attr.byteLength;

const STATX_BASIC_STATS = 0x07ff;
const STATX_BTIME = 0x0800;

/** fuse_attr. */
export function putAttributes(view: DataView, at: number, attributes: Attributes): void {
  Attr.ino.set(view, at, attributes.ino);
  Attr.size.set(view, at, attributes.size);
  Attr.blocks.set(view, at, attributes.blocks);
  Attr.atime.set(view, at, attributes.atime.sec);
  Attr.mtime.set(view, at, attributes.mtime.sec);
  Attr.ctime.set(view, at, attributes.ctime.sec);
  Attr.atimensec.set(view, at, attributes.atime.nsec);
  Attr.mtimensec.set(view, at, attributes.mtime.nsec);
  Attr.ctimensec.set(view, at, attributes.ctime.nsec);
  Attr.mode.set(view, at, attributes.mode);
  Attr.nlink.set(view, at, attributes.nlink);
  Attr.uid.set(view, at, attributes.uid);
  Attr.gid.set(view, at, attributes.gid);
  Attr.rdev.set(view, at, attributes.rdev);
  Attr.blksize.set(view, at, attributes.blksize);
  Attr.flags.set(view, at, attributes.iomapFlags ?? 0);
}

/** fuse_statx, in memory that is all zeros. */
export function putStatx(view: DataView, at: number, attributes: Attributes): void {
  Statx.mask.set(view, at, STATX_BASIC_STATS);
  Statx.blksize.set(view, at, attributes.blksize);
  Statx.nlink.set(view, at, attributes.nlink);
  Statx.uid.set(view, at, attributes.uid);
  Statx.gid.set(view, at, attributes.gid);
  Statx.mode.set(view, at, attributes.mode);
  Statx.ino.set(view, at, attributes.ino);
  Statx.size.set(view, at, attributes.size);
  Statx.blocks.set(view, at, attributes.blocks);
  Statx.atime_sec.set(view, at, attributes.atime.sec);
  Statx.atime_nsec.set(view, at, attributes.atime.nsec);
  Statx.mtime_sec.set(view, at, attributes.mtime.sec);
  Statx.mtime_nsec.set(view, at, attributes.mtime.nsec);
  Statx.ctime_sec.set(view, at, attributes.ctime.sec);
  Statx.ctime_nsec.set(view, at, attributes.ctime.nsec);
  const { major, minor } = splitDevice(attributes.rdev);
  Statx.rdev_major.set(view, at, major);
  Statx.rdev_minor.set(view, at, minor);
  const { btime } = attributes;
  if (btime !== undefined) {
    Statx.mask.set(view, at, STATX_BASIC_STATS | STATX_BTIME);
    Statx.btime_sec.set(view, at, btime.sec);
    Statx.btime_nsec.set(view, at, btime.nsec);
  }
}
