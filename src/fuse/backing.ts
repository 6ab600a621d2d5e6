/** Devices that the kernel reads and writes by itself for a FUSE mount. */

import { FsError } from "../sys/fs_error.ts";
import { close, ioctl, O_RDWR, open } from "../sys/files.ts";
import {
  FUSE_BACKING_TYPE_IOMAP,
  FUSE_DEV_IOC_BACKING_OPEN,
  FUSE_DEV_IOC_IOMAP_SUPPORT,
  FUSE_IOMAP_SUPPORT_FILEIO,
  FuseBackingMap,
  FuseIomapSupport,
} from "./iomap_wire.ts";

/** True when the kernel would do file I/O by itself for a server of this user's. */
export function supportsIomap(): boolean {
  const support = new Uint8Array(FuseIomapSupport.byteLength);
  let fd: number | undefined;
  try {
    fd = open("/dev/fuse", O_RDWR);
    ioctl(fd, FUSE_DEV_IOC_IOMAP_SUPPORT, support);
  } catch (error) {
    // A kernel without it does not know the ioctl.
    if (!(error instanceof FsError)) throw error;
    return false;
  } finally {
    if (fd !== undefined) close(fd);
  }
  const flags = FuseIomapSupport.flags.get(new DataView(support.buffer), 0);
  return (flags & FUSE_IOMAP_SUPPORT_FILEIO) !== 0;
}

/**
 * Registers a block device; the number by which mappings name it. Throws FsError: ENODEV for what is
 * no block device, EPERM without the privilege.
 * @param fuseFd the session's descriptor of /dev/fuse
 * @param fd the device, open for what is to be done with it
 */
export function registerIomapDevice(fuseFd: number, fd: number): number {
  const map = new Uint8Array(FuseBackingMap.byteLength);
  const view = new DataView(map.buffer);
  FuseBackingMap.fd.set(view, 0, fd);
  FuseBackingMap.flags.set(view, 0, FUSE_BACKING_TYPE_IOMAP);
  return ioctl(fuseFd, FUSE_DEV_IOC_BACKING_OPEN, map);
}
