/**
 * When a mount is of the type fuseblk. Only then, and since Linux 6.18, the kernel tells the server
 * of sync(2) and syncfs(2), and only then does umount(8) wait until the server has written
 * everything. It needs a block device, and root's rights in the whole system.
 */

import type { MountSettings } from "./settings.ts";

/** The settings, with the option blkdev where it is not given and of use. */
export function preferFuseblk(settings: MountSettings, path: string): MountSettings {
  const { libfuseOptions } = settings;
  if (libfuseOptions.includes("blkdev") || settings.noFuseblk || settings.readOnly) return settings;
  if (!isBlockDevice(path) || !hasFullRights()) return settings;
  return { ...settings, libfuseOptions: [...libfuseOptions, "blkdev"] };
}

function isBlockDevice(path: string): boolean {
  try {
    return Deno.statSync(path).isBlockDevice === true;
  } catch {
    // Whoever opens it says why.
    return false;
  }
}

/** Root, and not only of a user namespace. */
function hasFullRights(): boolean {
  if (Deno.uid() !== 0) return false;
  try {
    return /^\s*0\s+0\s+4294967295\s*$/.test(Deno.readTextFileSync("/proc/self/uid_map"));
  } catch {
    return false;
  }
}
