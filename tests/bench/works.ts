/**
 * What is measured: one row a work. Each is done on a fresh mount with cold caches, once for each
 * of its servers in every round.
 */

import { run } from "../support/run.ts";
import { fio } from "./fio.ts";
import type { ImageSize } from "./image.ts";
import { IOMAP_WORKS } from "./iomap_works.ts";
import { timed, warmUp } from "./measure.ts";
import { memory, processorSeconds } from "./processes.ts";
import {
  FILE_SYSTEMS,
  type Mounted,
  type MountStyle,
  ON_ONE_PROCESSOR,
  pidOf,
  PROCESSES,
  type ServerName,
} from "./servers.ts";
import { WRITING_WORKS } from "./writing_works.ts";

/** How much each work does. */
export interface Amounts extends ImageSize {
  readonly randomReads: number;
  readonly stats: number;
  readonly idleSeconds: number;
  readonly emptyFiles: number;
  readonly randomWrites: number;
}

/** What a work finds when it begins. */
export interface Stage {
  readonly mount: Mounted;
  readonly amounts: Amounts;
  /** The compiled stat_client.c and file_client.c. */
  readonly statClient: string;
  readonly fileClient: string;
  /** An archive of the tree of small files. */
  readonly tree: string;
}

/** Less is better in all of them but MiB/s. */
export type Unit = "s" | "ms" | "us" | "MiB" | "MiB/s" | "extents";

/** At most, or for MiB/s at least, `factor` times what `against` has, or `factor` units. */
export interface Goal {
  readonly factor: number;
  readonly against?: ServerName;
}

export interface Work {
  /** For --only. */
  readonly name: string;
  /** As it stands in tables. */
  readonly title: string;
  readonly unit: Unit;
  readonly servers: readonly ServerName[];
  /** An empty file system to write to, made anew each time, in place of the one that is read. */
  readonly image?: "fresh";
  readonly style?: MountStyle;
  /** It is mounted and unmounted once before, so that the server's own files are in memory. */
  readonly isSecondMount?: boolean;
  /** What is done on the mount before, and not measured. */
  readonly prepare?: (stage: Stage) => Promise<unknown>;
  /** Does the work; returns what was measured, in the work's unit. */
  readonly measure: (stage: Stage) => number | Promise<number>;
  /** What is measured shows in the image, after the unmount: counts in place of the work itself. */
  readonly inspect?: (image: string) => Promise<number>;
  /** What fuse4fs is to reach. */
  readonly goal?: Goal;
}

const REQUESTS = ["fuse2fs", "fuse4fs", "empty"] as const;

/** Every stat(2) comes to the server; the empty server is always so. */
const NO_CACHING = "ro,attr_timeout=0,entry_timeout=0";

export const WORKS: readonly Work[] = [
  {
    name: "find",
    title: "find -printf '%s' over the tree",
    unit: "s",
    servers: FILE_SYSTEMS,
    prepare: () => warmUp(["find"]),
    measure: walkTree,
    goal: { factor: 0.25, against: "fuse2fs" },
  },
  {
    name: "tar",
    title: "tar of the tree to /dev/null",
    unit: "s",
    servers: FILE_SYSTEMS,
    prepare: () => warmUp(["tar", "cat"]),
    // tar does not read the files when it sees that it writes to /dev/null.
    measure: ({ mount }) => timed(["sh", "-c", 'tar -cf - -C "$1" tree | cat', "sh", mount.dir]),
    goal: { factor: 0.25, against: "fuse2fs" },
  },
  {
    name: "read",
    title: "sequential read of the large file",
    unit: "MiB/s",
    servers: FILE_SYSTEMS,
    prepare: () => warmUp(["dd"]),
    measure: async ({ mount, amounts }) =>
      amounts.bigMiB / await timed(["dd", `if=${mount.dir}/big`, "of=/dev/null", "bs=1M"]),
    goal: { factor: 0.7, against: "kernel" },
  },
  {
    name: "random",
    title: "random 4 KiB read (fio psync)",
    unit: "us",
    servers: FILE_SYSTEMS,
    prepare: () => warmUp(["fio"]),
    measure: readAtRandom,
    goal: { factor: 0.6, against: "fuse2fs" },
  },
  {
    name: "stat",
    title: "stat without caching, two processors",
    unit: "us",
    servers: REQUESTS,
    style: { options: NO_CACHING },
    measure: (stage) => statFile(stage),
    goal: { factor: 0.5, against: "empty" },
  },
  {
    name: "stat-one",
    title: "stat without caching, one processor",
    unit: "us",
    servers: REQUESTS,
    style: { options: NO_CACHING, oneProcessor: true },
    measure: (stage) => statFile(stage, ON_ONE_PROCESSOR),
    goal: { factor: 1.3, against: "empty" },
  },
  {
    name: "idle",
    title: "processor time while idle, per second",
    unit: "ms",
    servers: ["fuse4fs"],
    // Polling begins with requests, and is to end with them.
    prepare: (stage) => statFile(stage),
    measure: idleTime,
    // No use at all, as far as the clock of /proc tells: one tick in five seconds.
    goal: { factor: 2 },
  },
  {
    name: "start",
    title: "start to answering mount",
    unit: "ms",
    servers: PROCESSES,
    measure: ({ mount }) => mount.startMilliseconds,
    goal: { factor: 200 },
  },
  {
    name: "start-front",
    title: "start to answering mount, with -f",
    unit: "ms",
    servers: PROCESSES,
    style: { foreground: true },
    measure: ({ mount }) => mount.startMilliseconds,
    goal: { factor: 200 },
  },
  {
    name: "start-again",
    title: "start to answering mount, a second time",
    unit: "ms",
    servers: PROCESSES,
    isSecondMount: true,
    measure: ({ mount }) => mount.startMilliseconds,
  },
  {
    name: "memory",
    title: "resident memory after the tree walk",
    unit: "MiB",
    servers: PROCESSES,
    prepare: walkTree,
    measure: ({ mount }) => memory(pidOf(mount)).resident,
    goal: { factor: 200 },
  },
  {
    name: "memory-peak",
    title: "most resident memory up to then",
    unit: "MiB",
    servers: PROCESSES,
    prepare: walkTree,
    measure: ({ mount }) => memory(pidOf(mount)).peak,
  },
  ...WRITING_WORKS,
  ...IOMAP_WORKS,
];

function walkTree({ mount }: Stage): Promise<number> {
  return timed(["find", `${mount.dir}/tree`, "-printf", "%s\\n"]);
}

async function readAtRandom(stage: Stage): Promise<number> {
  const { lat_ns } = await fio(stage, "read", stage.amounts.randomReads, "--readonly");
  return lat_ns.mean / 1000;
}

/** Microseconds for one stat(2) of one file. */
async function statFile(
  { mount, amounts, statClient }: Stage,
  prefix: readonly string[] = [],
): Promise<number> {
  const [program, ...args] = [...prefix, statClient, `${mount.dir}/big`, String(amounts.stats)];
  const { stdout } = await run(program, args);
  return Number(stdout) / 1000;
}

/** Milliseconds of processor time for a second in which nobody asks for anything. */
async function idleTime({ mount, amounts }: Stage): Promise<number> {
  const pid = pidOf(mount);
  const before = processorSeconds(pid);
  await new Promise((resolve) => setTimeout(resolve, amounts.idleSeconds * 1000));
  return (processorSeconds(pid) - before) * 1000 / amounts.idleSeconds;
}
