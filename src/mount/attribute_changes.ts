/** What the kernel means by a SETATTR: some of them tell only of times that it keeps itself. */

import type { Inode, InodeTime } from "../ext4/inode/inode.ts";
import type { AttributeChange, Timespec } from "../fuse/handlers.ts";

/** Nothing but times, one at least. */
export function tellsOfTimesOnly(
  { mode, uid, gid, size, atime, mtime, ctime }: AttributeChange,
): boolean {
  return mode === undefined && uid === undefined && gid === undefined && size === undefined &&
    (atime !== undefined || mtime !== undefined || ctime !== undefined);
}

/** Nothing new but the time of change, which is also what is left of a chown(2) to the same owner. */
export function onlyTellsOfChange(change: AttributeChange, { atime, mtime }: Inode): boolean {
  return tellsOfTimesOnly(change) && change.ctime !== undefined &&
    isNothingNew(change.atime, atime) && isNothingNew(change.mtime, mtime);
}

function isNothingNew(time: Timespec | "now" | undefined, known: InodeTime): boolean {
  return time === undefined ||
    (time !== "now" && time.sec === known.sec && time.nsec === known.nsec);
}

/**
 * For regular files, the kernel keeps time of modification and of change itself, and sends them
 * together; a time of access that is not now was made up.
 */
export function isOfAccess({ atime, mtime, ctime }: AttributeChange): boolean {
  const isNow = (time: Timespec | "now" | undefined) => time === undefined || time === "now";
  return isNow(atime) && (isNow(mtime) || ctime !== undefined);
}
