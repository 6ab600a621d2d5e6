/**
 * What is measured of writing: one row a work, each on a fresh file system, for which the kernel and
 * fuse4fs have a journal and fuse2fs has none. Every work ends when what it did is durable: syncfs,
 * and fsync of the root folder for servers that the kernel does not tell of syncfs.
 */

import { fuse4fsJson } from "../support/command_line.ts";
import { fio } from "./fio.ts";
import { dropCaches, timed, warmUp } from "./measure.ts";
import { memory, processorSeconds } from "./processes.ts";
import { FILE_SYSTEMS, pidOf, PROCESSES } from "./servers.ts";
import type { Stage, Work } from "./works.ts";

const SYNC_EVERY = 64;

export const WRITING_WORKS: readonly Work[] = [
  {
    name: "untar",
    title: "untar of the tree, then syncfs",
    unit: "s",
    servers: FILE_SYSTEMS,
    image: "fresh",
    prepare: readTar,
    measure: untar,
    goal: { factor: 0.4, against: "fuse2fs" },
  },
  {
    name: "untar-cpu",
    title: "processor time of the server for it",
    unit: "s",
    servers: PROCESSES,
    image: "fresh",
    prepare: readTar,
    measure: async (stage) => {
      const pid = pidOf(stage.mount);
      const before = processorSeconds(pid);
      await untar(stage);
      return processorSeconds(pid) - before;
    },
    goal: { factor: 1, against: "fuse2fs" },
  },
  {
    name: "untar-memory",
    title: "resident memory after it",
    unit: "MiB",
    servers: PROCESSES,
    image: "fresh",
    prepare: untar,
    measure: ({ mount }) => memory(pidOf(mount)).resident,
    goal: { factor: 256 },
  },
  {
    name: "write",
    title: "sequential write of a large file, with fsync",
    unit: "MiB/s",
    servers: FILE_SYSTEMS,
    image: "fresh",
    prepare: () => warmUp(["dd"]),
    measure: async (stage) => stage.amounts.bigMiB / await writeBigFile(stage),
    goal: { factor: 0.7, against: "kernel" },
  },
  {
    name: "extents",
    title: "extents of that file",
    unit: "extents",
    servers: FILE_SYSTEMS,
    image: "fresh",
    measure: writeBigFile,
    inspect: countExtents,
    goal: { factor: 1.25, against: "kernel" },
  },
  {
    name: "remove",
    title: "rm -rf of the tree",
    unit: "s",
    servers: FILE_SYSTEMS,
    image: "fresh",
    prepare: async (stage) => {
      await untar(stage);
      await dropCaches();
      await warmUp(["rm", "sync"]);
    },
    measure: (stage) => durably(stage, 'rm -rf "$1/tree"'),
    goal: { factor: 0.3, against: "fuse2fs" },
  },
  {
    name: "create-unlink",
    title: "create and unlink empty files in one folder",
    unit: "s",
    servers: FILE_SYSTEMS,
    image: "fresh",
    measure: (stage) =>
      durably(stage, '"$2" "$1" "$3"', stage.fileClient, String(stage.amounts.emptyFiles)),
    goal: { factor: 0.4, against: "fuse2fs" },
  },
  {
    name: "overwrite",
    title: `random 4 KiB overwrite, fsync every ${SYNC_EVERY}`,
    unit: "s",
    servers: FILE_SYSTEMS,
    image: "fresh",
    prepare: async (stage) => {
      await writeBigFile(stage);
      await warmUp(["fio"]);
    },
    measure: overwrite,
    goal: { factor: 1.5, against: "kernel" },
  },
];

/** The archive is to be in memory. */
function readTar({ tree }: Stage): Promise<number> {
  return timed(["sh", "-c", 'tar -tf "$1" > /dev/null; sync --version > /dev/null', "sh", tree]);
}

function untar(stage: Stage): Promise<number> {
  return durably(stage, 'tar -xf "$2" -C "$1"', stage.tree);
}

function writeBigFile({ mount, amounts }: Stage): Promise<number> {
  const target = `of=${mount.dir}/big`;
  return timed(["dd", "if=/dev/zero", target, "bs=1M", `count=${amounts.bigMiB}`, "conv=fsync"]);
}

/** Runs a line of shell, whose first argument is the mount, and makes durable what it did. */
function durably({ mount }: Stage, line: string, ...args: readonly string[]): Promise<number> {
  return timed(["sh", "-c", `${line} && sync -f "$1" && sync "$1"`, "sh", mount.dir, ...args]);
}

async function overwrite(stage: Stage): Promise<number> {
  const args = ["--overwrite=1", `--fsync=${SYNC_EVERY}`];
  const { runtime } = await fio(stage, "write", stage.amounts.randomWrites, ...args);
  return runtime / 1000;
}

async function countExtents(image: string): Promise<number> {
  const { extents } = await fuse4fsJson(["extents", image, "/big"]) as { extents: unknown[] };
  return extents.length;
}
