/** What the server asks of the kernel when the connection begins, and what it then may rely on. */

import * as layout from "./layout.ts";

/** What the kernel agreed to. */
export interface Connection {
  readonly protocolMajor: number;
  readonly protocolMinor: number;
  /** The kernel takes ENOSYS to open or opendir as "do it without me from now on". */
  readonly canSkipOpen: boolean;
  readonly canSkipOpendir: boolean;
}

const WANTED = layout.FUSE_CAP_ASYNC_READ | layout.FUSE_CAP_EXPORT_SUPPORT |
  layout.FUSE_CAP_IOCTL_DIR | layout.FUSE_CAP_READDIRPLUS | layout.FUSE_CAP_READDIRPLUS_AUTO |
  layout.FUSE_CAP_PARALLEL_DIROPS | layout.FUSE_CAP_CACHE_SYMLINKS;
/**
 * Requests must be read, not spliced, so that they can be looked at; and since nobody else changes
 * the files, the kernel need not compare times to find out whether its cache is stale.
 */
const UNWANTED = layout.FUSE_CAP_SPLICE_READ | layout.FUSE_CAP_AUTO_INVAL_DATA;

/** Largest read and write in one request, and largest read-ahead; the kernel may want less. */
export const MAX_TRANSFER = 1 << 20;

/**
 * Fills in what is wanted.
 * @param info struct fuse_conn_info, with what kernel and libfuse offer
 * @param posixAcl let the kernel check POSIX ACLs
 */
export function negotiate(info: DataView, posixAcl: boolean): Connection {
  const { FuseConnInfo: Info } = layout;
  const capable = Info.capable.get(info, 0);
  const wanted = WANTED | (posixAcl ? layout.FUSE_CAP_POSIX_ACL : 0);
  Info.want.set(info, 0, (Info.want.get(info, 0) | wanted) & capable & ~UNWANTED);
  Info.max_write.set(info, 0, MAX_TRANSFER);
  Info.max_readahead.set(info, 0, MAX_TRANSFER);
  return {
    protocolMajor: Info.proto_major.get(info, 0),
    protocolMinor: Info.proto_minor.get(info, 0),
    canSkipOpen: (capable & layout.FUSE_CAP_NO_OPEN_SUPPORT) !== 0,
    canSkipOpendir: (capable & layout.FUSE_CAP_NO_OPENDIR_SUPPORT) !== 0,
  };
}
