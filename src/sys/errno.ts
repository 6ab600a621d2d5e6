/**
 * Linux error numbers (include/uapi/asm-generic/errno-base.h and errno.h): the ones that fuse4fs
 * returns or meets, with the words that strerror(3) has for them.
 */

const TABLE = {
  EPERM: [1, "Operation not permitted"],
  ENOENT: [2, "No such file or directory"],
  EINTR: [4, "Interrupted system call"],
  EIO: [5, "Input/output error"],
  ENXIO: [6, "No such device or address"],
  E2BIG: [7, "Argument list too long"],
  ENOEXEC: [8, "Exec format error"],
  EBADF: [9, "Bad file descriptor"],
  EAGAIN: [11, "Resource temporarily unavailable"],
  ENOMEM: [12, "Cannot allocate memory"],
  EACCES: [13, "Permission denied"],
  EFAULT: [14, "Bad address"],
  ENOTBLK: [15, "Block device required"],
  EBUSY: [16, "Device or resource busy"],
  EEXIST: [17, "File exists"],
  EXDEV: [18, "Invalid cross-device link"],
  ENODEV: [19, "No such device"],
  ENOTDIR: [20, "Not a directory"],
  EISDIR: [21, "Is a directory"],
  EINVAL: [22, "Invalid argument"],
  ENFILE: [23, "Too many open files in system"],
  EMFILE: [24, "Too many open files"],
  ENOTTY: [25, "Inappropriate ioctl for device"],
  ETXTBSY: [26, "Text file busy"],
  EFBIG: [27, "File too large"],
  ENOSPC: [28, "No space left on device"],
  ESPIPE: [29, "Illegal seek"],
  EROFS: [30, "Read-only file system"],
  EMLINK: [31, "Too many links"],
  EPIPE: [32, "Broken pipe"],
  ERANGE: [34, "Numerical result out of range"],
  ENAMETOOLONG: [36, "File name too long"],
  ENOSYS: [38, "Function not implemented"],
  ENOTEMPTY: [39, "Directory not empty"],
  ELOOP: [40, "Too many levels of symbolic links"],
  ENODATA: [61, "No data available"],
  EPROTO: [71, "Protocol error"],
  EBADMSG: [74, "Bad message"],
  EOVERFLOW: [75, "Value too large for defined data type"],
  EOPNOTSUPP: [95, "Operation not supported"],
  ENOTCONN: [107, "Transport endpoint is not connected"],
  ETIMEDOUT: [110, "Connection timed out"],
  ESTALE: [116, "Stale file handle"],
  EUCLEAN: [117, "Structure needs cleaning"],
  EDQUOT: [122, "Disk quota exceeded"],
  ENOKEY: [126, "Required key not available"],
} as const satisfies Record<string, readonly [number, string]>;

/** The symbolic name of an error number, as `errno(1)` prints it. */
export type ErrnoName = keyof typeof TABLE;

/** Numbers by name: `Errno.ENOENT === 2`. */
export const Errno = Object.freeze(
  Object.fromEntries(Object.entries(TABLE).map(([name, [number]]) => [name, number])),
) as { readonly [Name in ErrnoName]: (typeof TABLE)[Name][0] };

const BY_NUMBER = new Map<number, { name: string; words: string }>(
  Object.entries(TABLE).map(([name, [number, words]]) => [number, { name, words }]),
);

/** `ENOENT` for 2; `errno 999` for a number that has no name here. */
export function errnoName(errno: number): string {
  return BY_NUMBER.get(errno)?.name ?? `errno ${errno}`;
}

/** `No such file or directory` for 2, as strerror(3). */
export function errnoWords(errno: number): string {
  return BY_NUMBER.get(errno)?.words ?? `Unknown error ${errno}`;
}
