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

/** Kernels before 7.36 end behind `flags`. */
export const FuseInitIn = struct("fuse_init_in", 64, {
  major: u32,
  minor: u32,
  max_readahead: u32,
  flags: u32,
  flags2: u32,
  unused: bytes(44),
});
export const FuseSetattrIn = struct("fuse_setattr_in", 88, {
  valid: u32,
  padding: u32,
  fh: u64,
  size: u64,
  lock_owner: bytes(8),
  atime: u64,
  mtime: u64,
  ctime: u64,
  atimensec: u32,
  mtimensec: u32,
  ctimensec: u32,
  mode: u32,
  unused4: u32,
  uid: u32,
  gid: u32,
  unused5: u32,
});
export const FuseGetattrIn = struct("fuse_getattr_in", 16, {
  getattr_flags: u32,
  dummy: u32,
  fh: u64,
});
/** The question is about an open file, as write(2) asks it; stat(2) and fstat(2) do not set this. */
export const FUSE_GETATTR_FH = 1 << 0;

/** The name follows. */
export const FuseMknodIn = struct("fuse_mknod_in", 16, {
  mode: u32,
  rdev: u32,
  umask: u32,
  padding: u32,
});
/** The name follows. */
export const FuseMkdirIn = struct("fuse_mkdir_in", 8, {
  mode: u32,
  umask: u32,
});
/** Two names follow, the old and the new. */
export const FuseRenameIn = struct("fuse_rename_in", 8, {
  newdir: u64,
});
/** As FuseRenameIn. */
export const FuseRename2In = struct("fuse_rename2_in", 16, {
  newdir: u64,
  flags: u32,
  padding: u32,
});
/** The new name follows. */
export const FuseLinkIn = struct("fuse_link_in", 8, {
  oldnodeid: u64,
});
/** Also of TMPFILE; the name follows. */
export const FuseCreateIn = struct("fuse_create_in", 16, {
  flags: u32,
  mode: u32,
  umask: u32,
  open_flags: u32,
});
/** The data follows. */
export const FuseWriteIn = struct("fuse_write_in", 40, {
  fh: u64,
  offset: u64,
  size: u32,
  write_flags: u32,
  lock_owner: bytes(8),
  flags: u32,
  padding: u32,
});
/** Name and value follow. Without FUSE_SETXATTR_EXT it ends behind `flags`. */
export const FuseSetxattrIn = struct("fuse_setxattr_in", 16, {
  size: u32,
  flags: u32,
  setxattr_flags: u32,
  padding: u32,
});
export const FuseFallocateIn = struct("fuse_fallocate_in", 32, {
  fh: u64,
  offset: u64,
  length: u64,
  mode: u32,
  padding: u32,
});
/** Also of COPY_FILE_RANGE_64. */
export const FuseCopyFileRangeIn = struct("fuse_copy_file_range_in", 56, {
  fh_in: u64,
  off_in: u64,
  nodeid_out: u64,
  fh_out: u64,
  off_out: u64,
  len: u64,
  flags: u64,
});
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

export const FuseInitOut = struct("fuse_init_out", 64, {
  major: u32,
  minor: u32,
  max_readahead: u32,
  flags: u32,
  max_background: u16,
  congestion_threshold: u16,
  max_write: u32,
  time_gran: u32,
  max_pages: u16,
  map_alignment: u16,
  flags2: u32,
  unused: bytes(28),
});
/** Also of COPY_FILE_RANGE. */
export const FuseWriteOut = struct("fuse_write_out", 8, {
  size: u32,
  padding: u32,
});
export const FuseCopyFileRangeOut = struct("fuse_copy_file_range_out", 8, {
  bytes_copied: u64,
});
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
/** A message that no request asked for: `unique` is 0, and `error` one of FUSE_NOTIFY_*. */
export const FuseNotifyInvalInodeOut = struct("fuse_notify_inval_inode_out", 24, {
  ino: u64,
  off: u64,
  len: u64,
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

/** `flags` of FuseInitIn and FuseInitOut */
export const FUSE_ASYNC_READ = 1 << 0;
export const FUSE_EXPORT_SUPPORT = 1 << 4;
export const FUSE_BIG_WRITES = 1 << 5;
export const FUSE_DONT_MASK = 1 << 6;
export const FUSE_HAS_IOCTL_DIR = 1 << 11;
export const FUSE_DO_READDIRPLUS = 1 << 13;
export const FUSE_READDIRPLUS_AUTO = 1 << 14;
export const FUSE_ASYNC_DIO = 1 << 15;
export const FUSE_WRITEBACK_CACHE = 1 << 16;
export const FUSE_NO_OPEN_SUPPORT = 1 << 17;
export const FUSE_PARALLEL_DIROPS = 1 << 18;
export const FUSE_POSIX_ACL = 1 << 20;
export const FUSE_MAX_PAGES = 1 << 22;
export const FUSE_CACHE_SYMLINKS = 1 << 23;
export const FUSE_NO_OPENDIR_SUPPORT = 1 << 24;
export const FUSE_HANDLE_KILLPRIV_V2 = 1 << 28;
export const FUSE_SETXATTR_EXT = 1 << 29;
export const FUSE_INIT_EXT = 1 << 30;

/** `valid` of FuseSetattrIn */
export const FATTR_MODE = 1 << 0;
export const FATTR_UID = 1 << 1;
export const FATTR_GID = 1 << 2;
export const FATTR_SIZE = 1 << 3;
export const FATTR_ATIME = 1 << 4;
export const FATTR_MTIME = 1 << 5;
export const FATTR_ATIME_NOW = 1 << 7;
export const FATTR_MTIME_NOW = 1 << 8;
export const FATTR_CTIME = 1 << 10;
export const FATTR_KILL_SUIDGID = 1 << 11;

/** `write_flags` of FuseWriteIn */
export const FUSE_WRITE_CACHE = 1 << 0;
export const FUSE_WRITE_KILL_SUIDGID = 1 << 2;
/** `setxattr_flags` of FuseSetxattrIn */
export const FUSE_SETXATTR_ACL_KILL_SGID = 1 << 0;

/** `error` of a message that no request asked for */
export const FUSE_NOTIFY_INVAL_INODE = 2;
