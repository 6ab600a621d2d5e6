/**
 * Messages between the kernel and a file server, as include/uapi/linux/fuse.h lays them out: the
 * stable interface below libfuse. Requests are read where libfuse received them, and answers are
 * written to /dev/fuse, so nothing here depends on libfuse's own structures, which differ from
 * version to version.
 */

import { bytes, i32, struct, u16, u32, u64 } from "../disk/struct.ts";

export const FuseInHeader = struct("fuse_in_header", 40, {
  len: u32,
  opcode: u32,
  unique: bytes(8),
  nodeid: u64,
  uid: u32,
  gid: u32,
  pid: u32,
  total_extlen: u16,
  padding: u16,
});

export const FuseOutHeader = struct("fuse_out_header", 16, {
  len: u32,
  error: i32,
  unique: bytes(8),
});

// ---------------------------------------------------------------- arguments of requests

export const FuseForgetIn = struct("fuse_forget_in", 8, {
  nlookup: u64,
});
export const FuseBatchForgetIn = struct("fuse_batch_forget_in", 8, {
  count: u32,
  dummy: u32,
});
export const FuseForgetOne = struct("fuse_forget_one", 16, {
  nodeid: u64,
  nlookup: u64,
});
export const FuseAccessIn = struct("fuse_access_in", 8, {
  mask: u32,
  padding: u32,
});
export const FuseOpenIn = struct("fuse_open_in", 8, {
  flags: u32,
  open_flags: u32,
});
/** Also of READDIR and READDIRPLUS. */
export const FuseReadIn = struct("fuse_read_in", 40, {
  fh: u64,
  offset: u64,
  size: u32,
  read_flags: u32,
  lock_owner: bytes(8),
  flags: u32,
  padding: u32,
});
/** Also of RELEASEDIR. */
export const FuseReleaseIn = struct("fuse_release_in", 24, {
  fh: u64,
  flags: u32,
  release_flags: u32,
  lock_owner: bytes(8),
});
/** Also of LISTXATTR; the name of GETXATTR follows. */
export const FuseGetxattrIn = struct("fuse_getxattr_in", 8, {
  size: u32,
  padding: u32,
});
export const FuseLseekIn = struct("fuse_lseek_in", 24, {
  fh: u64,
  offset: u64,
  whence: u32,
  padding: u32,
});
export const FuseBmapIn = struct("fuse_bmap_in", 16, {
  block: u64,
  blocksize: u32,
  padding: u32,
});
export const FuseIoctlIn = struct("fuse_ioctl_in", 32, {
  fh: u64,
  flags: u32,
  cmd: u32,
  arg: bytes(8),
  in_size: u32,
  out_size: u32,
});
export const FuseStatxIn = struct("fuse_statx_in", 24, {
  getattr_flags: u32,
  reserved: u32,
  fh: u64,
  sx_flags: u32,
  sx_mask: u32,
});

// ---------------------------------------------------------------- answers

export const FuseAttr = struct("fuse_attr", 88, {
  ino: u64,
  size: u64,
  blocks: u64,
  atime: u64,
  mtime: u64,
  ctime: u64,
  atimensec: u32,
  mtimensec: u32,
  ctimensec: u32,
  mode: u32,
  nlink: u32,
  uid: u32,
  gid: u32,
  rdev: u32,
  blksize: u32,
  flags: u32,
});
/** FuseAttr follows. */
export const FuseEntryOut = struct("fuse_entry_out", 40, {
  nodeid: u64,
  generation: u64,
  entry_valid: u64,
  attr_valid: u64,
  entry_valid_nsec: u32,
  attr_valid_nsec: u32,
});
/** FuseAttr follows. */
export const FuseAttrOut = struct("fuse_attr_out", 16, {
  attr_valid: u64,
  attr_valid_nsec: u32,
  dummy: u32,
});
export const FuseOpenOut = struct("fuse_open_out", 16, {
  fh: u64,
  open_flags: u32,
  backing_id: u32,
});
export const FuseGetxattrOut = struct("fuse_getxattr_out", 8, {
  size: u32,
  padding: u32,
});
export const FuseStatfsOut = struct("fuse_statfs_out", 80, {
  blocks: u64,
  bfree: u64,
  bavail: u64,
  files: u64,
  ffree: u64,
  bsize: u32,
  namelen: u32,
  frsize: u32,
  padding: u32,
  spare: bytes(24),
});
export const FuseLseekOut = struct("fuse_lseek_out", 8, {
  offset: u64,
});
export const FuseBmapOut = struct("fuse_bmap_out", 8, {
  block: u64,
});
export const FuseIoctlOut = struct("fuse_ioctl_out", 16, {
  result: i32,
  flags: u32,
  in_iovs: u32,
  out_iovs: u32,
});
/** The name follows, then padding up to a multiple of 8. READDIRPLUS puts an entry in front. */
export const FuseDirent = struct("fuse_dirent", 24, {
  ino: u64,
  off: u64,
  namelen: u32,
  type: u32,
});
/** FuseStatx follows. */
export const FuseStatxOut = struct("fuse_statx_out", 32, {
  attr_valid: u64,
  attr_valid_nsec: u32,
  flags: u32,
  spare: bytes(16),
});
export const FuseStatx = struct("fuse_statx", 256, {
  mask: u32,
  blksize: u32,
  attributes: u64,
  nlink: u32,
  uid: u32,
  gid: u32,
  mode: u16,
  spare0: u16,
  ino: u64,
  size: u64,
  blocks: u64,
  attributes_mask: u64,
  atime_sec: u64,
  atime_nsec: u32,
  atime_reserved: u32,
  btime_sec: u64,
  btime_nsec: u32,
  btime_reserved: u32,
  ctime_sec: u64,
  ctime_nsec: u32,
  ctime_reserved: u32,
  mtime_sec: u64,
  mtime_nsec: u32,
  mtime_reserved: u32,
  rdev_major: u32,
  rdev_minor: u32,
  dev_major: u32,
  dev_minor: u32,
  spare2: bytes(112),
});

/** open_flags of FuseOpenOut */
export const FOPEN_DIRECT_IO = 1 << 0;
export const FOPEN_KEEP_CACHE = 1 << 1;
export const FOPEN_CACHE_DIR = 1 << 3;
