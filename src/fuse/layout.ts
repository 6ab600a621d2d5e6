/**
 * What fuse4fs knows of libfuse's own structures (fuse_common.h, fuse_opt.h, fuse_lowlevel.h): as
 * far as all versions from 3.10 on agree. Later versions append to some of them, for which there
 * is room behind. All of it holds for 64-bit machines.
 */

import { i32, struct, u32, u64 } from "../disk/struct.ts";

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

/** The version that a caller of fuse_session_new_versioned was made for; since 3.17. */
export const LibfuseVersion = struct("libfuse_version", 16, {
  major: u32,
  minor: u32,
  hotfix: u32,
  padding: u32,
});
