/** What libfuse is told with its `-o`: the user's own options for it, and what a mount needs. */

import { escapeOption } from "./option_list.ts";
import type { MountSettings } from "./settings.ts";

/** How the file system is called in /proc/mounts: `fuse.fuse4fs`. */
const FUSE_SUBTYPE = "fuse4fs";

const PAGE_SIZE = 4096;

/** What `kernel` stands for. */
const AS_THE_KERNEL = ["allow_other", "default_permissions", "suid", "dev"];

/**
 * The options for libfuse, unescaped and in order. The user's own come last, so that they win.
 * @param blockSize bytes of a block of the file system
 * @param source what /proc/mounts shows as the mount's source, unless the user says otherwise
 */
export function libfuseOptions(
  settings: MountSettings,
  source: string,
  readOnly: boolean,
  blockSize: number,
): string[] {
  const given = settings.libfuseOptions;
  const options = [readOnly ? "ro" : "rw"];
  const isGiven = (name: string) =>
    given.some((option) => option === name || option.startsWith(`${name}=`));
  // Even with no_default_opts fuseblk has to know its device.
  if (!isGiven("fsname") && (!settings.noDefaultOptions || isGiven("blkdev"))) {
    options.push(`fsname=${source}`);
  }
  if (!isGiven("subtype") && !settings.noDefaultOptions) options.push(`subtype=${FUSE_SUBTYPE}`);
  // The unit in which FIBMAP counts. The kernel has none above its page size.
  if (isGiven("blkdev") && !isGiven("blksize") && blockSize <= PAGE_SIZE) {
    options.push(`blksize=${blockSize}`);
  }
  if (settings.kernel) options.push(...AS_THE_KERNEL);
  else if (kernelChecksPermissions(settings)) options.push("default_permissions");
  return [...new Set([...options, ...given])];
}

/** True when the kernel checks permissions for the server, which spares requests. */
export function kernelChecksPermissions(settings: MountSettings): boolean {
  return settings.kernel || !settings.fakeroot ||
    settings.libfuseOptions.includes("default_permissions");
}

/** The value of one `-o` that libfuse reads the options back from. */
export function joinOptions(options: readonly string[]): string {
  return options.map(escapeOption).join(",");
}
