/** fio at random places of the large file, 4 KiB at a time, one after the other. */

import { run } from "../support/run.ts";
import type { Stage } from "./works.ts";

/** The same random numbers in every run, so that all servers are asked for the same blocks. */
const RANDOM_SEED = 4711;

/** What fio tells of one direction, as far as it is used here. */
interface Direction {
  readonly total_ios: number;
  /** Milliseconds. */
  readonly runtime: number;
  readonly lat_ns: { readonly mean: number };
}

/** @param count how many reads or writes; fails when there were fewer */
export async function fio(
  { mount, amounts }: Stage,
  direction: "read" | "write",
  count: number,
  ...args: readonly string[]
): Promise<Direction> {
  const { stdout } = await run("fio", [
    "--name=random",
    `--filename=${mount.dir}/big`,
    `--rw=rand${direction}`,
    "--bs=4k",
    "--ioengine=psync",
    `--size=${amounts.bigMiB}m`,
    `--io_size=${count * 4}k`,
    `--randseed=${RANDOM_SEED}`,
    "--thread",
    "--output-format=json",
    ...args,
  ]);
  const report: Direction = JSON.parse(stdout).jobs[0][direction];
  if (report.total_ios !== count) throw new Error(`fio: ${report.total_ios} times ${direction}`);
  return report;
}
