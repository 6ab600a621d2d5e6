/** The mount of fuse4fs that a user means by a path. */

import { isOwnMount, mountAt, type MountInfo } from "../mount/mountinfo.ts";
import { CommandError, ExitCode } from "./errors.ts";

/** Throws CommandError where there is none, or one of something else. */
export function findMount(path: string): MountInfo {
  const mount = mountAt(resolve(path));
  if (mount === undefined) throw new CommandError(`${path} is not mounted`, ExitCode.MOUNT);
  if (!isOwnMount(mount)) {
    throw new CommandError(`${path} is a mount of ${mount.type}, not of fuse4fs`, ExitCode.MOUNT);
  }
  return mount;
}

/** The mount point of a server that died cannot be looked at, but the folder around it can. */
function resolve(path: string): string {
  try {
    return Deno.realPathSync(path);
  } catch {
    const slash = path.replace(/\/+$/, "").lastIndexOf("/");
    const name = path.slice(slash + 1).replace(/\/+$/, "");
    try {
      const folder = Deno.realPathSync(slash < 0 ? "." : path.slice(0, slash + 1));
      return folder === "/" ? `/${name}` : `${folder}/${name}`;
    } catch {
      return path;
    }
  }
}
