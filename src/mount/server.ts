/** A mount from its beginning to its end: a file system, a FUSE session, and the loop between. */

import type { Device } from "../block/device.ts";
import { concerns } from "../ext4/concerns.ts";
import { FileSystem } from "../ext4/filesystem.ts";
import { openLibfuse } from "../fuse/library.ts";
import { Session } from "../fuse/session.ts";
import type { Log } from "../sys/log.ts";
import { Ext4Server } from "./ext4_server.ts";
import { cannotOpen } from "./image.ts";
import { joinOptions, kernelChecksPermissions, libfuseOptions } from "./libfuse_options.ts";
import { handshake, serve } from "./loop.ts";
import type { MountSettings } from "./options.ts";
import { raiseReadAhead } from "./read_ahead_size.ts";

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
  /** Called once the mount answers. */
  readonly ready: () => void;
}

/**
 * Mounts and serves until the mount is gone. Throws FsError when the device holds no file system
 * that can be mounted, or when the kernel or libfuse refuse the mount.
 */
export function mountAndServe(mount: Mount): void {
  const { settings, log, source } = mount;
  const fs = openFileSystem(mount);
  for (const concern of concerns(fs)) log.warn(`${source}: ${concern}`);
  const server = new Ext4Server(fs, {
    timeouts: {
      entry: settings.entryTimeout ?? TIMEOUT_SECONDS,
      negativeEntry: settings.negativeTimeout ?? TIMEOUT_SECONDS,
      attributes: settings.attributeTimeout ?? TIMEOUT_SECONDS,
    },
    minixdf: settings.minixdf,
    acl: settings.acl,
    userXattr: settings.userXattr,
    fakeroot: settings.fakeroot,
    kernelChecksPermissions: kernelChecksPermissions(settings),
  });
  const readOnly = true;
  using session = new Session(openLibfuse(settings.libfuse), server, {
    mountOptions: joinOptions(libfuseOptions(settings, source, readOnly, fs.blockSize)),
    debug: settings.libfuseDebug,
    posixAcl: settings.acl && kernelChecksPermissions(settings),
  }, log);
  session.mount(mount.mountpoint);
  handshake(session);
  raiseReadAhead(mount.mountpoint, log);
  mount.ready();
  serve(session);
  log.debug(`${source}: unmounted from ${mount.mountpoint}`);
}

/** Throws ImageError: whoever mounts tells a bad image from a mount that fails. */
function openFileSystem({ device, externalJournal, settings, log, source }: Mount): FileSystem {
  try {
    return FileSystem.open(device, {
      log,
      superblockBlock: settings.superblockBlock,
      norecovery: settings.norecovery,
      externalJournal,
      cacheBytes: settings.cacheBytes,
    });
  } catch (error) {
    throw cannotOpen(source, error);
  }
}
