/**
 * What fuse4fs knows of libfuse's own structures (fuse_common.h, fuse_opt.h, fuse_lowlevel.h): as
 * far as all versions from 3.10 on agree. Later versions append to some of them, for which there
 * is room behind. All of it holds for 64-bit machines.
 */

import { bytes, i32, struct, u32, u64 } from "../disk/struct.ts";

/** The command line: `argc` strings, their addresses in an array that ends with NULL. */
export const FuseArgs = struct("fuse_args", 24, {
  argc: i32,
  padding: u32,
  argv: u64,
  allocated: i32,
  padding2: u32,
});

/** Memory for a request. */
export const FuseBuf = struct("fuse_buf", 40, {
  size: u64,
  flags: u32,
  padding: u32,
  mem: u64,
  fd: i32,
  padding2: u32,
  pos: u64,
});
/** 3.17 appended mem_size, which does not concern memory that is not libfuse's. */
export const FUSE_BUF_ROOM = 64;

/** The beginning of what libfuse negotiates with the kernel; `capable` and `want` are FUSE_CAP_*. */
export const FuseConnInfo = struct("fuse_conn_info", 40, {
  proto_major: u32,
  proto_minor: u32,
  max_write: u32,
  max_read: u32,
  max_readahead: u32,
  capable: u32,
  want: u32,
  max_background: u32,
  congestion_threshold: u32,
  time_gran: u32,
});

/** The version that a caller of fuse_session_new_versioned was made for; since 3.17. */
export const LibfuseVersion = struct("libfuse_version", 16, {
  major: u32,
  minor: u32,
  hotfix: u32,
  padding: u32,
});

/** A table of pointers to callbacks, as far as 3.8 had it. Only init is given. */
export const FuseLowlevelOps = struct("fuse_lowlevel_ops", 44 * 8, {
  init: u64,
  others: bytes(43 * 8),
});

export const FUSE_CAP_ASYNC_READ = 1 << 0;
export const FUSE_CAP_EXPORT_SUPPORT = 1 << 4;
export const FUSE_CAP_SPLICE_READ = 1 << 9;
export const FUSE_CAP_IOCTL_DIR = 1 << 11;
export const FUSE_CAP_AUTO_INVAL_DATA = 1 << 12;
export const FUSE_CAP_READDIRPLUS = 1 << 13;
export const FUSE_CAP_READDIRPLUS_AUTO = 1 << 14;
export const FUSE_CAP_NO_OPEN_SUPPORT = 1 << 17;
export const FUSE_CAP_PARALLEL_DIROPS = 1 << 18;
export const FUSE_CAP_POSIX_ACL = 1 << 19;
export const FUSE_CAP_CACHE_SYMLINKS = 1 << 23;
export const FUSE_CAP_NO_OPENDIR_SUPPORT = 1 << 24;
