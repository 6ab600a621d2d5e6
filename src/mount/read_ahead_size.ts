/**
 * How far the kernel reads ahead on the mount. FUSE starts with 128 KiB, which makes eight
 * requests where one would do; only root may raise it.
 */

import { messageOf } from "../sys/fs_error.ts";
import type { Log } from "../sys/log.ts";
import { mountAt } from "./mountinfo.ts";

/** As much as one request can carry, twice: one is being answered while the next is on its way. */
const READ_AHEAD_KIB = 2048;

/** Raises the read-ahead of a mount. Without the right to do so, all stays as it is. */
export function raiseReadAhead(mountpoint: string, log: Log): void {
  // Asking the mount itself for its device number would be asking ourselves.
  const mount = mountAt(mountpoint);
  if (mount === undefined) return;
  const path = `/sys/class/bdi/${mount.device}/read_ahead_kb`;
  try {
    Deno.writeTextFileSync(path, String(READ_AHEAD_KIB));
  } catch (error) {
    log.debug(`read-ahead stays as it is: ${messageOf(error)}`);
  }
}
