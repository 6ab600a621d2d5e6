/** Devices that the kernel reads and writes by itself for a FUSE mount. */

import { ioctl } from "../sys/libc.ts";
import {
  FUSE_BACKING_TYPE_IOMAP,
  FUSE_DEV_IOC_BACKING_OPEN,
  FuseBackingMap,
} from "./iomap_wire.ts";

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
