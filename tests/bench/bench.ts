/**
 * `deno task bench`: compares fuse4fs with the kernel's ext4, with fuse2fs, and with an empty
 * server in C, on the same image in the same run. docs/benchmarks.md tells how and why.
 */

import { parseArgs } from "node:util";
import { ensure, FOR_BENCHMARK } from "../../scripts/dependencies.ts";
import { buildIfNeeded } from "../../scripts/executable.ts";
import { run } from "../support/run.ts";
import { drawChart } from "./chart.ts";
import { makeImage } from "./image.ts";
import { describeMachine } from "./machine.ts";
import { dropCaches } from "./measure.ts";
import { formatTable, type Report, reportWork } from "./report.ts";
import { mountServer, type Server, type ServerName, SERVERS, type Target } from "./servers.ts";
import { type Amounts, type Work, WORKS } from "./works.ts";

const USAGE = `usage: deno task bench [options]

  --rounds N      how often each work is done (5)
  --only WORK     this work only; may be given several times
  --server NAME   this server only; may be given several times
  --quick         one round of less work, to see that all runs: no figures to quote
  --json FILE     write the results here, and the chart beside them as FILE.svg
  --save          write docs/bench/ and the table in docs/benchmarks.md

works: ${WORKS.map(({ name }) => name).join(" ")}
servers: ${SERVERS.map(({ name }) => name).join(" ")}`;

const FULL: Amounts = {
  imageMiB: 2048,
  files: 8000,
  bigMiB: 512,
  randomReads: 16384,
  stats: 20_000,
  idleSeconds: 5,
};

const QUICK: Amounts = {
  imageMiB: 256,
  files: 1000,
  bigMiB: 64,
  randomReads: 1024,
  stats: 2000,
  idleSeconds: 1,
};

const ROOT = new URL("../../", import.meta.url).pathname;

interface Plan {
  readonly rounds: number;
  readonly amounts: Amounts;
  readonly works: readonly Work[];
  readonly servers: readonly Server[];
  readonly json: string | undefined;
  readonly save: boolean;
}
