/**
 * `-o remount`: changes the kernel's side of a mount, as mount(8) asks for through its helpers. The
 * server is not told: what it was started for, it goes on with. After remount,ro the kernel lets
 * nobody write, having sent what it had; and where the server only reads, remount,rw does not make
 * it write (EROFS).
 */

import { remount as remountKernel } from "../sys/system.ts";
import type { MountSettings } from "./settings.ts";

const MS_RDONLY = 1;
const MS_NOSUID = 2;
const MS_NODEV = 4;

/** MS_* of mount(2) by the options that set them, and by those that clear them. */
const SETS: Readonly<Record<string, number>> = {
  nosuid: MS_NOSUID,
  nodev: MS_NODEV,
  noexec: 8,
  sync: 16,
  dirsync: 128,
  noatime: 1024,
};
const CLEARS: Readonly<Record<string, number>> = {
  suid: MS_NOSUID,
  dev: MS_NODEV,
  exec: SETS.noexec,
  async: SETS.sync,
};

/** Throws FsError, EPERM for those who may not. */
export function remount(mountpoint: string, settings: MountSettings): void {
  // As for a new mount: programs and devices of an image have power only when that is asked for.
  let flags = settings.kernel ? 0 : MS_NOSUID | MS_NODEV;
  for (const option of settings.libfuseOptions) {
    flags = (flags | (SETS[option] ?? 0)) & ~(CLEARS[option] ?? 0);
  }
  remountKernel(mountpoint, settings.readOnly ? flags | MS_RDONLY : flags);
}
