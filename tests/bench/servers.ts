/**
 * Who serves the image: one row a server. All are started as their users start them, in the
 * background, and are cold: nothing of the image is in the page cache, nor of the file systems
 * above it.
 */

import { FUSE4FS } from "../support/mount.ts";
import { run } from "../support/run.ts";
import { findProcess, isRunning } from "./processes.ts";

/** More mount options for fuse4fs, to see what they are good for. */
const MORE_OPTIONS = Deno.env.get("FUSE4FS_OPTIONS");

export type ServerName = "kernel" | "fuse2fs" | "fuse4fs" | "empty";

export interface Server {
  readonly name: ServerName;
  /** As it stands in tables. */
  readonly title: string;
  /** The mount answers requests of a process; the kernel's own file system has none. */
  readonly isProcess: boolean;
  /** The command that mounts. `options` is a list as -o takes it. */
  readonly command: (target: Target, options: string) => readonly string[];
}

/** Servers of the image, and those of them that are a process. */
export const FILE_SYSTEMS: readonly ServerName[] = ["kernel", "fuse2fs", "fuse4fs"];
export const PROCESSES: readonly ServerName[] = ["fuse2fs", "fuse4fs"];

/** What to mount, and where. Both paths are absolute. */
export interface Target {
  readonly image: string;
  readonly dir: string;
  /** The compiled empty_server.c, which serves no image. */
  readonly emptyServer: string;
}

export const SERVERS: readonly Server[] = [
  {
    name: "kernel",
    title: "kernel ext4",
    isProcess: false,
    command: (
      { image, dir },
      options,
    ) => ["mount", "-t", "ext4", "-o", `loop,${options}`, image, dir],
  },
  {
    name: "fuse2fs",
    title: "fuse2fs",
    isProcess: true,
    command: ({ image, dir }, options) => ["fuse2fs", image, dir, "-o", options],
  },
  {
    name: "fuse4fs",
    title: "fuse4fs",
    isProcess: true,
    command: (
      { image, dir },
      options,
    ) => [FUSE4FS, image, dir, "-o", [options, MORE_OPTIONS].filter(Boolean).join(",")],
  },
  {
    name: "empty",
    title: "empty C server",
    isProcess: true,
    // fuse4fs has the kernel check permissions: the same questions must come to this one.
    command: ({ dir, emptyServer }) => [emptyServer, dir, "-o", "default_permissions"],
  },
];

/** How a mount differs from the plain one. */
export interface MountStyle {
  /** Mount options; `ro` when left out. */
  readonly options?: string;
  /** The server may use one processor only, the one that clients are then bound to as well. */
  readonly oneProcessor?: boolean;
  /** The server stays in the foreground (-f) and counts as started when the mount answers. */
  readonly foreground?: boolean;
}

/** Puts a command on processor 0. */
export const ON_ONE_PROCESSOR = ["taskset", "--cpu-list", "0"] as const;

/** A mount that answers. */
export interface Mounted extends AsyncDisposable {
  readonly dir: string;
  /** From the start of the command until the mount answered. */
  readonly startMilliseconds: number;
  /** The process that serves, undefined for the kernel. */
  readonly pid: number | undefined;
}

export function pidOf({ pid, dir }: Mounted): number {
  if (pid === undefined) throw new Error(`No process serves ${dir}`);
  return pid;
}

const LONGEST_START_MS = 20_000;

/** Mounts, and returns when the mount answers. At the end of its scope the server has ended. */
export async function mountServer(
  server: Server,
  target: Target,
  style: MountStyle = {},
): Promise<Mounted> {
  const { dir } = target;
  const before = Deno.statSync(dir).dev;
  const prefix = style.oneProcessor ? ON_ONE_PROCESSOR : [];
  const command = [...prefix, ...server.command(target, style.options ?? "ro")];
  const start = performance.now();
  const child = style.foreground ? spawn([...command, "-f"]) : await runCommand(command);
  await answer(dir, before, start + LONGEST_START_MS);
  const startMilliseconds = performance.now() - start;
  const pid = server.isProcess ? findProcess(dir) : undefined;
  return {
    dir,
    startMilliseconds,
    pid,
    [Symbol.asyncDispose]: async () => {
      await run("umount", [dir]);
      await child?.status;
      while (pid !== undefined && isRunning(pid)) await sleep(1);
    },
  };
}

async function runCommand([program, ...args]: readonly string[]): Promise<undefined> {
  await run(program, args);
}

function spawn([program, ...args]: readonly string[]): Deno.ChildProcess {
  return new Deno.Command(program, { args, stdin: "null", stdout: "null" }).spawn();
}

/** Returns when a stat of the mount point is answered from behind the mount. */
async function answer(dir: string, deviceBefore: number, deadline: number): Promise<void> {
  while (Deno.statSync(dir).dev === deviceBefore) {
    if (performance.now() > deadline) throw new Error(`Nothing was mounted at ${dir} in time`);
    await sleep(1);
  }
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
