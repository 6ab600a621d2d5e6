/**
 * `fuse4fs DEVICE MOUNTPOINT`, also as `fuse4fs mount`: checks what can be checked, goes to the
 * background unless told otherwise, and serves.
 */

import { BackgroundServer, startInBackground } from "../mount/daemon.ts";
import { preferFuseblk } from "../mount/fuseblk.ts";
import { ImageError, openJournalDevice, openMountImage } from "../mount/image.ts";
import { LockFile } from "../mount/lock_file.ts";
import { LogSink } from "../mount/log_sink.ts";
import { parseMountOptions } from "../mount/options.ts";
import { remount } from "../mount/remount.ts";
import { mountAndServe } from "../mount/server.ts";
import type { MountSettings } from "../mount/settings.ts";
import { Errno } from "../sys/errno.ts";
import { FsError, messageOf } from "../sys/fs_error.ts";
import { CommandError, describeFailure, ExitCode } from "./errors.ts";
import { ownCommand } from "./own_command.ts";

export interface MountCommandOptions {
  /** The values of all -o, in order. */
  readonly options?: readonly string[];
  readonly foreground?: boolean;
  readonly debug?: boolean;
}

/**
 * Mounts. Returns when the mount answers and is served in the background, or, in the foreground,
 * when it is unmounted. Throws FsError and CommandError.
 * @param args all arguments of this program, for the one in the background
 */
export async function mount(
  image: string,
  mountpoint: string,
  options: MountCommandOptions,
  args: readonly string[],
): Promise<void> {
  const lists = [...options.options ?? [], ...(options.debug ? ["debug"] : [])];
  const settings = parseMountOptions(lists);
  const background = BackgroundServer.adopt(connectionDescriptor(mountpoint));
  if (settings.remount) {
    remountInPlace(mountpoint, settings, background);
    return;
  }
  if (options.foreground || settings.libfuseDebug) {
    background?.stay();
    await serve(image, mountpoint, settings, undefined);
    return;
  }
  if (background !== undefined) {
    await serve(image, mountpoint, settings, background);
    return;
  }
  const own = ownCommand(args);
  const { exitCode, message } = await startInBackground(own.executable, own.args);
  if (exitCode !== ExitCode.OK) throw new CommandError(message, exitCode);
}

function remountInPlace(
  mountpoint: string,
  settings: MountSettings,
  background: BackgroundServer | undefined,
): void {
  try {
    remount(mountpoint, settings);
    background?.ready();
  } catch (error) {
    const failure = describeFailure(mountFailure(error));
    if (background === undefined) throw new CommandError(failure.message, failure.exitCode);
    background.failed(failure.exitCode, failure.message);
    Deno.exit(failure.exitCode);
  }
}

/** Opens, mounts, serves and closes, in this process. */
async function serve(
  path: string,
  mountpoint: string,
  settings: MountSettings,
  background: BackgroundServer | undefined,
): Promise<void> {
  const log = new LogSink(settings.debug);
  let isReady = false;
  const ready = () => {
    background?.ready();
    if (background !== undefined) log.moveToSyslog();
    isReady = true;
  };
  try {
    await serveImage(path, mountpoint, settings, log, ready);
  } catch (error) {
    const failure = describeFailure(mountFailure(error));
    if (background === undefined) throw new CommandError(failure.message, failure.exitCode);
    if (isReady) log.error(failure.message);
    else background.failed(failure.exitCode, failure.message);
    Deno.exit(failure.exitCode);
  }
}

async function serveImage(
  path: string,
  mountpoint: string,
  given: MountSettings,
  log: LogSink,
  ready: () => void,
): Promise<void> {
  const settings = preferFuseblk(given, path);
  const device = openMountImage(path, settings, {
    wantsWriting: !settings.readOnly,
    claimedByKernel: settings.libfuseOptions.includes("blkdev"),
  }, log);
  const { journalPath, lockfile } = settings;
  const externalJournal = journalPath === undefined
    ? undefined
    : openJournalDevice(journalPath, device.readOnly);
  using _lock = lockfile === undefined ? undefined : LockFile.acquire(lockfile);
  try {
    await mountAndServe({
      device,
      externalJournal,
      mountpoint: resolveMountpoint(mountpoint),
      source: Deno.realPathSync(path),
      settings,
      log,
      syncElsewhere,
      ready,
    });
  } finally {
    externalJournal?.close();
    device.close();
  }
}

/** mount.fuse3 with drop_privileges hands over the connection itself, as `/dev/fd/N`. */
function connectionDescriptor(mountpoint: string): number | undefined {
  const number = /^\/dev\/fd\/([0-9]+)$/.exec(mountpoint)?.[1];
  return number === undefined ? undefined : Number(number);
}

/** The absolute path, which stays good in whatever folder the server runs. */
function resolveMountpoint(mountpoint: string): string {
  if (connectionDescriptor(mountpoint) !== undefined) return mountpoint;
  try {
    return Deno.realPathSync(mountpoint);
  } catch (error) {
    const words = error instanceof Deno.errors.NotFound
      ? "no such file or directory"
      : messageOf(error);
    throw new CommandError(`Cannot mount at ${mountpoint}: ${words}`, ExitCode.MOUNT);
  }
}

/** A bad image is the user's mistake, one in use and all else a mount that failed. */
function mountFailure(error: unknown): unknown {
  if (!(error instanceof FsError)) return error;
  const isBadImage = error instanceof ImageError && error.errno !== Errno.EBUSY;
  return new CommandError(error.message, isBadImage ? ExitCode.BAD_IMAGE : ExitCode.MOUNT);
}

async function syncElsewhere(mountpoint: string): Promise<void> {
  const { executable, args } = ownCommand(["sync", mountpoint]);
  const command = new Deno.Command(executable, {
    args: [...args],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  });
  const { success, stderr } = await command.output();
  if (!success) throw new Error(new TextDecoder().decode(stderr).trim());
}
