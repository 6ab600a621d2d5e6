/** A mount from its beginning to its end: a file system, a FUSE session, and the loop between. */

import type { Device } from "../block/device.ts";
import type { AttachedProgram } from "../bpf/attach.ts";
import type { FileSystem } from "../ext4/filesystem.ts";
import { openLibfuse } from "../fuse/library.ts";
import { Session } from "../fuse/session.ts";
import { FsError } from "../sys/fs_error.ts";
import type { Log } from "../sys/log.ts";
import { panicError } from "./damage.ts";
import { Ext4Server } from "./ext4_server.ts";
import { flushKernel } from "./flush_kernel.ts";
import { joinOptions, kernelChecksPermissions, libfuseOptions } from "./libfuse_options.ts";
import { iomapObstacle } from "./iomap.ts";
import { handshake, type RequestSource, serve, together } from "./loop.ts";
import { openFileSystem } from "./open_file_system.ts";
import { raiseReadAhead } from "./read_ahead_size.ts";
import type { MountSettings } from "./settings.ts";
import { Upkeep } from "./upkeep.ts";
import { WakeLatency } from "./wake_latency.ts";

/** Names and attributes change only through the server: the kernel may keep them for a day. */
const TIMEOUT_SECONDS = 86400;

/** What to mount, where, and how. */
export interface Mount {
  readonly device: Device;
  /** The device with the journal, where it is not on `device`. */
  readonly externalJournal?: Device;
  /** An absolute path. */
  readonly mountpoint: string;
  /** What /proc/mounts shows as the source. */
  readonly source: string;
  readonly settings: MountSettings;
  readonly log: Log;
  /** Has another process sync the mount. */
  readonly syncElsewhere: (mountpoint: string) => Promise<void>;
  /** Called once the mount answers. */
  readonly ready: () => void;
}

/**
 * Mounts and serves until the mount is gone and everything is written. Throws FsError when the
 * device holds no file system that can be mounted, when the kernel or libfuse refuse the mount,
 * when not everything could be written at the end, and after a panic.
 */
export async function mountAndServe(mount: Mount): Promise<void> {
  const { settings, log, source } = mount;
  const fs = openFileSystem(mount);
  const upkeep = fs.isReadOnly ? undefined : new Upkeep(fs, settings.errors, log);
  try {
    await serveFileSystem(mount, fs, upkeep);
  } catch (error) {
    // Without a mount nobody changed anything, but the device is marked as in use.
    finishAfter(error, upkeep, log);
    throw error;
  }
  upkeep?.finish();
  log.debug(`${source}: unmounted from ${mount.mountpoint}`);
}

async function serveFileSystem(
  mount: Mount,
  fs: FileSystem,
  upkeep: Upkeep | undefined,
): Promise<void> {
  const { settings, log, source, mountpoint } = mount;
  const iomap = wantsIomap(settings, fs, log);
  const server = new Ext4Server(fs, { ...serverOptions(settings), iomap }, upkeep);
  using session = new Session(openLibfuse(settings.libfuse), server, {
    mountOptions: joinOptions(libfuseOptions(settings, source, fs.isReadOnly, fs.blockSize)),
    debug: settings.libfuseDebug,
    posixAcl: settings.acl && kernelChecksPermissions(settings),
  }, log);
  session.mount(mountpoint);
  if (server.iomap !== undefined) server.iomap.fuseFd = session.fd;
  handshake(session);
  if (settings.iomap === "on" && iomap && session.connection?.offersIomap === false) {
    log.warn("file I/O goes through the server: the kernel does not offer iomap");
  }
  using program = await attachedProgram(mount, session, server, fs.blockSize);
  // Ends before the program does, with which the memory goes that it writes to.
  using publisher = program?.extents && server.publishExtents(program.extents);
  raiseReadAhead(mountpoint, log);
  mount.ready();
  const timer = together([upkeep, publisher].filter((timer) => timer !== undefined));
  using wakeLatency = new WakeLatency(settings.wakeLatency, log);
  if (upkeep === undefined) {
    serve(session, { timer, wakeLatency });
    return;
  }
  const whileQuiet = () => server.freeUnused();
  serve(stoppedByPanic(session, upkeep), { timer, wakeLatency, whileQuiet });
  const { panic } = upkeep.damage;
  if (panic !== undefined) throw panicError(fs, panic);
  // After a signal the mount is still there, with what the kernel has not written yet.
  await flushKernel(session, () => mount.syncElsewhere(mountpoint), upkeep, log);
  upkeep.finish();
}

/** Whether to take iomap from a kernel that offers it. */
function wantsIomap(settings: MountSettings, fs: FileSystem, log: Log): boolean {
  if (settings.iomap === "off") return false;
  const obstacle = iomapObstacle(fs);
  if (obstacle === undefined) return true;
  if (settings.iomap === "on") log.warn(`file I/O goes through the server: ${obstacle}`);
  return false;
}

/** The BPF program of the mount, which detaches before the session ends. */
async function attachedProgram(
  { settings, log }: Mount,
  session: Session,
  server: Ext4Server,
  blockSize: number,
): Promise<AttachedProgram | undefined> {
  if (settings.bpf.program === undefined) return undefined;
  // Most mounts have none, and start faster without all that belongs to it.
  const { attachProgram } = await import("./iomap_program.ts");
  return attachProgram(settings.bpf, {
    fuseDescriptor: session.fd,
    device: server.iomap?.device ?? 0,
    blockSize,
    log,
    verbose: settings.debug || settings.libfuseDebug,
  });
}

function serverOptions(settings: MountSettings) {
  return {
    timeouts: {
      entry: settings.entryTimeout ?? TIMEOUT_SECONDS,
      negativeEntry: settings.negativeTimeout ?? TIMEOUT_SECONDS,
      attributes: settings.attributeTimeout ?? TIMEOUT_SECONDS,
    },
    minixdf: settings.minixdf,
    acl: settings.acl,
    userXattr: settings.userXattr,
    fakeroot: settings.fakeroot,
    accessTimes: settings.accessTimes,
    directoryAccessTimes: settings.directoryAccessTimes,
    groupOfDirectory: settings.groupOfDirectory,
    dirsync: settings.dirsync,
    sync: settings.sync,
  };
}

/** The session, which is over, too, once damage is to end the server. */
function stoppedByPanic(session: Session, upkeep: Upkeep): RequestSource {
  return {
    get exited() {
      return session.exited || upkeep.damage.panic !== undefined;
    },
    fd: session.fd,
    receive: () => session.receive(),
    process: () => session.process(),
  };
}

/** The error that comes first is the one to be thrown. */
function finishAfter(first: unknown, upkeep: Upkeep | undefined, log: Log): void {
  try {
    upkeep?.finish();
  } catch (error) {
    if (error !== first && error instanceof FsError) log.error(error.message);
  }
}
