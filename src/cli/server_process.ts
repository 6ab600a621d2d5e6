/** Finding the process behind a mount, by what /proc tells of open files (proc(5)). */

import type { MountInfo } from "../mount/mountinfo.ts";

/** A process, which is not another one that got the same number later. */
export interface ServerProcess {
  readonly pid: number;
  /** When it started, in the kernel's clock ticks. */
  readonly startTime: string;
}

/**
 * The process that serves a mount, or undefined when there is none or it is hidden from us. The
 * kernel names the connection of an open /dev/fuse in its fdinfo since 6.18; for older ones, the
 * server is the process that has /dev/fuse and the mount's source open.
 */
export function findServer(mount: MountInfo): ServerProcess | undefined {
  const connection = mount.device.split(":")[1];
  let candidate: number | undefined;
  for (const { name } of Deno.readDirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === Deno.pid) continue;
    const files = openFiles(pid);
    const fuse = files.find(({ path }) => path === "/dev/fuse");
    if (fuse === undefined) continue;
    const known = connectionOf(pid, fuse.fd);
    if (known === connection) return identify(pid);
    const hasSource = files.some(({ path }) => path === mount.source);
    if (known === undefined && hasSource) candidate ??= pid;
  }
  return candidate === undefined ? undefined : identify(candidate);
}

/**
 * True when the process is gone, or a zombie without threads: its files are closed by then, and
 * nothing is left to wait for but its parent.
 */
export function hasEnded(server: ServerProcess): boolean {
  const stat = readStat(server.pid);
  if (stat === undefined || stat.startTime !== server.startTime) return true;
  return stat.state === "Z" && stat.threads <= 1;
}

function openFiles(pid: number): { fd: string; path: string }[] {
  try {
    return Array.from(Deno.readDirSync(`/proc/${pid}/fd`), ({ name }) => ({
      fd: name,
      path: readLink(`/proc/${pid}/fd/${name}`),
    }));
  } catch {
    // Gone by now, or another user's.
    return [];
  }
}

function readLink(path: string): string {
  try {
    return Deno.readLinkSync(path);
  } catch {
    return "";
  }
}

/** The connection's number, which is the minor device number of its mount. */
function connectionOf(pid: number, fd: string): string | undefined {
  try {
    const text = Deno.readTextFileSync(`/proc/${pid}/fdinfo/${fd}`);
    return /^fuse_connection:\s*([0-9]+)$/m.exec(text)?.[1];
  } catch {
    return undefined;
  }
}

function identify(pid: number): ServerProcess | undefined {
  const stat = readStat(pid);
  return stat === undefined ? undefined : { pid, startTime: stat.startTime };
}

/** The name of the program, which may hold anything, stands in brackets before these. */
function readStat(
  pid: number,
): { state: string; threads: number; startTime: string } | undefined {
  try {
    const text = Deno.readTextFileSync(`/proc/${pid}/stat`);
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { state: fields[0], threads: Number(fields[17]), startTime: fields[19] };
  } catch {
    return undefined;
  }
}
