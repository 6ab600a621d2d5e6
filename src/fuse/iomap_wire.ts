/**
 * FUSE iomap: messages by which the kernel asks where a file's data is, in order to read and write
 * it on the device itself. From the RFC series of February 2026, which no released kernel has.
 */

import { bytes, i32, struct, u16, u32, u64, u8 } from "../disk/struct.ts";

/** Bit 11 of flags2 in FuseInitIn and FuseInitOut. */
export const FUSE_IOMAP = 1 << 11;

/** `flags` of FuseAttr: file I/O goes by iomap, which needs that only this mount has the file. */
export const FUSE_ATTR_EXCLUSIVE = 1 << 2;
export const FUSE_ATTR_IOMAP = 1 << 3;
export const FUSE_ATTR_SYNC = 1 << 5;
export const FUSE_ATTR_IMMUTABLE = 1 << 6;
export const FUSE_ATTR_APPEND = 1 << 7;

/** A range of a file and its place on a device, all in bytes. */
export const FuseIomapIo = struct("fuse_iomap_io", 32, {
  offset: u64,
  length: u64,
  addr: u64,
  type: u16,
  flags: u16,
  dev: u32,
});

export const FuseIomapBeginIn = struct("fuse_iomap_begin_in", 32, {
  opflags: u32,
  zero: u32,
  attr_ino: u64,
  pos: u64,
  count: u64,
});
/** The mapping for reading, then the one for writing. */
export const FUSE_IOMAP_BEGIN_OUT_SIZE = 2 * FuseIomapIo.byteLength;

/** FuseIomapIo follows: the mapping that was in use. */
export const FuseIomapEndIn = struct("fuse_iomap_end_in", 40, {
  opflags: u32,
  zero: u32,
  attr_ino: u64,
  pos: u64,
  count: u64,
  written: u64,
});

export const FuseIomapIoendIn = struct("fuse_iomap_ioend_in", 48, {
  flags: u32,
  error: i32,
  attr_ino: u64,
  pos: u64,
  new_addr: u64,
  written: u64,
  dev: u32,
  zero: u32,
});
export const FuseIomapIoendOut = struct("fuse_iomap_ioend_out", 8, { newsize: u64 });

export const FuseIomapConfigIn = struct("fuse_iomap_config_in", 64, {
  flags: u64,
  maxbytes: u64,
  cache_maxbytes: u32,
  zero: bytes(44),
});
export const FuseIomapConfigOut = struct("fuse_iomap_config_out", 104, {
  flags: u64,
  id: bytes(32),
  uuid: bytes(16),
  uuid_len: u8,
  pad: bytes(3),
  blocksize: u32,
  max_links: u32,
  time_gran: u32,
  time_min: u64,
  time_max: u64,
  maxbytes: u64,
  cache_maxbytes: u32,
  padding: u32,
});

/** `flags` of FuseIomapConfigIn and FuseIomapConfigOut: what the kernel takes, and what is told. */
export const IomapConfig = {
  ID: 1 << 0,
  UUID: 1 << 1,
  BLOCKSIZE: 1 << 2,
  MAX_LINKS: 1 << 3,
  TIME: 1 << 4,
  MAXBYTES: 1 << 5,
} as const;

/** `type` of FuseIomapIo. */
export const IomapType = {
  HOLE: 0,
  DELALLOC: 1,
  MAPPED: 2,
  UNWRITTEN: 3,
  INLINE: 4,
  /** Of the mapping for writing: writes go where reads come from. */
  PURE_OVERWRITE: 255,
} as const;

/** `opflags` of FuseIomapBeginIn: what the kernel is about to do. A plain read has none. */
export const IomapOp = {
  WRITE: 1 << 0,
  ZERO: 1 << 1,
  REPORT: 1 << 2,
  FAULT: 1 << 3,
  DIRECT: 1 << 4,
  NOWAIT: 1 << 5,
  OVERWRITE_ONLY: 1 << 6,
  UNSHARE: 1 << 7,
  DAX: 1 << 8,
  ATOMIC: 1 << 9,
  DONTCACHE: 1 << 10,
  SWAPFILE: 1 << 30,
  WRITEBACK: 2 ** 31,
} as const;

/** `flags` of FuseIomapIoendIn: what was written. */
export const IomapIoend = {
  SHARED: 1 << 0,
  UNWRITTEN: 1 << 1,
  BOUNDARY: 1 << 2,
  DIRECT: 1 << 3,
  APPEND: 1 << 4,
  WRITEBACK: 1 << 5,
  SWAPOFF: 1 << 6,
} as const;

/** FUSE_DEV_IOC_BACKING_OPEN: `_IOW(229, 1, struct fuse_backing_map)`. */
export const FUSE_DEV_IOC_BACKING_OPEN = 0x4010_e501;
export const FuseBackingMap = struct("fuse_backing_map", 16, { fd: i32, flags: u32, padding: u64 });
export const FUSE_BACKING_TYPE_IOMAP = 1;

/** FUSE_DEV_IOC_IOMAP_SUPPORT: `_IOR(229, 99, struct fuse_iomap_support)`. */
export const FUSE_DEV_IOC_IOMAP_SUPPORT = 0x8010_e563;
export const FuseIomapSupport = struct("fuse_iomap_support", 16, { flags: u64, padding: u64 });
/** `flags` of FuseIomapSupport */
export const FUSE_IOMAP_SUPPORT_FILEIO = 1 << 0;
