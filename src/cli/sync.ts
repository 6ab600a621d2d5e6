/**
 * `fuse4fs sync`: makes durable what was written to a mount. sync(1) has the kernel send all of it to
 * the server, but for image files not that it is to commit.
 */

import { close, fsync, O_RDONLY, open, syncfs } from "../sys/files.ts";
import { findMount } from "./find_mount.ts";

/** Throws CommandError and FsError. */
export function sync(path: string): void {
  const fd = open(findMount(path).mountpoint, O_RDONLY);
  try {
    syncfs(fd);
    fsync(fd);
  } finally {
    close(fd);
  }
}
