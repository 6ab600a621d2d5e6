/**
 * `fuse4fs umount`: unmounts, and waits until the server has closed the image, so that whoever
 * comes next finds it whole. umount(8) returns as soon as the mount is out of sight.
 */

import { EXT4_ERROR_FS, EXT4_VALID_FS, Ext4SuperBlock } from "../disk/superblock.ts";
import type { Superblock } from "../ext4/superblock/superblock.ts";
import { findSuperblock } from "../ext4/superblock/superblock_search.ts";
import { openImage } from "../mount/image.ts";
import { isReadOnly, type MountInfo } from "../mount/mountinfo.ts";
import { Errno } from "../sys/errno.ts";
import { FsError, messageOf } from "../sys/fs_error.ts";
import { umount as unmount } from "../sys/system.ts";
import { SILENT } from "../sys/log.ts";
import { CommandError, ExitCode } from "./errors.ts";
import { findMount } from "./find_mount.ts";
import { printJson } from "./json.ts";
import { findServer, hasEnded, type ServerProcess } from "./server_process.ts";

export interface UmountOptions {
  readonly json?: boolean;
}

export async function umount(mountpoint: string, options: UmountOptions): Promise<void> {
  const mount = findMount(mountpoint);
  const server = findServer(mount);
  const start = performance.now();
  await detach(mount);
  if (server !== undefined) await waitForEnd(server);
  if (server !== undefined && !isReadOnly(mount)) requireClean(mount);
  if (options.json) {
    printJson({
      mountpoint: mount.mountpoint,
      source: mount.source,
      type: mount.type,
      serverPid: server?.pid ?? null,
      // Without leave to look at other users' processes there is nothing to wait for.
      imageClosed: server !== undefined,
      milliseconds: Math.round(performance.now() - start),
    });
  }
}

async function detach(mount: MountInfo): Promise<void> {
  try {
    unmount(mount.mountpoint);
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    if (error.errno !== Errno.EPERM) throw new CommandError(error.message, ExitCode.MOUNT);
    await detachAsUser(mount);
  }
}

/** Whoever mounted through fusermount3 may unmount through it. */
async function detachAsUser({ mountpoint }: MountInfo): Promise<void> {
  let output: Deno.CommandOutput;
  try {
    output = await new Deno.Command("fusermount3", { args: ["-u", "--", mountpoint] }).output();
  } catch (error) {
    throw new CommandError(`Cannot run fusermount3: ${messageOf(error)}`, ExitCode.SYSTEM);
  }
  if (output.success) return;
  const words = new TextDecoder().decode(output.stderr).trim().replace(/^fusermount3: /, "");
  throw new CommandError(`Cannot unmount ${mountpoint}: ${words}`, ExitCode.MOUNT);
}

/**
 * A server that could not write everything at its end leaves the file system marked as in use, as
 * does one that damage stopped, but all that was done before that is on the disk. What lies in a part
 * of the source is not looked for.
 */
function requireClean({ source, mountpoint }: MountInfo): void {
  let superblock: Superblock;
  try {
    const device = openImage(source, {});
    try {
      superblock = findSuperblock(device, undefined, SILENT).superblock;
    } finally {
      device.close();
    }
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    return;
  }
  const { features, view } = superblock;
  const isInOrder = features.has("has_journal")
    ? !features.has("needs_recovery")
    : (Ext4SuperBlock.s_state.get(view, 0) & EXT4_VALID_FS) !== 0;
  if (isInOrder) return;
  if ((Ext4SuperBlock.s_state.get(view, 0) & EXT4_ERROR_FS) !== 0) {
    console.error(`fuse4fs: ${source}: damage was found in it: e2fsck should check it`);
    return;
  }
  const words = "not everything could be written, as the system log tells";
  throw new CommandError(
    `${source} was unmounted from ${mountpoint}, but ${words}`,
    ExitCode.MOUNT,
  );
}

/** Most servers end within a few milliseconds; one that has much to write may take its time. */
async function waitForEnd(server: ServerProcess): Promise<void> {
  for (let pause = 1; !hasEnded(server); pause = Math.min(50, pause * 2)) {
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}
