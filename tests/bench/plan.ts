/** What to measure and where to write it: the command line of the benchmark. */

import { parseArgs } from "node:util";
import { type Server, SERVERS } from "./servers.ts";
import { type Amounts, type Work, WORKS } from "./works.ts";

export const ROOT = new URL("../../", import.meta.url).pathname;

const USAGE = `usage: deno task bench [options]

  --rounds N      how often each work is done (5)
  --only WORK     this work only; may be given several times
  --server NAME   this server only; may be given several times
  --quick         one round of less work, to see that all runs: no figures to quote
  --json FILE     write the results here
  --svg FILE      write the chart here

A complete run writes docs/bench/results.json, docs/bench/chart.svg and the table in
docs/benchmarks.md, unless --json or --svg name other files.

works: ${WORKS.map(({ name }) => name).join(" ")}
servers: ${SERVERS.map(({ name }) => name).join(" ")}`;

const FULL: Amounts = {
  imageMiB: 2048,
  files: 8000,
  bigMiB: 512,
  randomReads: 16384,
  stats: 20_000,
  idleSeconds: 5,
  emptyFiles: 20_000,
  randomWrites: 16384,
};

const QUICK: Amounts = {
  imageMiB: 256,
  files: 1000,
  bigMiB: 64,
  randomReads: 1024,
  stats: 2000,
  idleSeconds: 1,
  emptyFiles: 1000,
  randomWrites: 512,
};

/** Files to write, each if it is named. */
export interface Outputs {
  readonly json?: string;
  readonly svg?: string;
  /** A Markdown file whose table is replaced. */
  readonly table?: string;
}

/** What is committed for readers of the repository. */
const COMMITTED: Outputs = {
  json: `${ROOT}docs/bench/results.json`,
  svg: `${ROOT}docs/bench/chart.svg`,
  table: `${ROOT}docs/benchmarks.md`,
};

export interface Plan {
  readonly rounds: number;
  readonly amounts: Amounts;
  readonly works: readonly Work[];
  readonly servers: readonly Server[];
  readonly outputs: Outputs;
}

/** The plan that arguments ask for. Ends the process on --help and on what makes no sense. */
export function makePlan(args: readonly string[]): Plan {
  const values = readOptions(args);
  if (values.help) {
    console.log(USAGE);
    Deno.exit(0);
  }
  const { json, svg, quick } = values;
  const rounds = Number(values.rounds ?? (quick ? 1 : 5));
  if (!Number.isInteger(rounds) || rounds < 1) stop(`--rounds ${values.rounds}: not a number`);
  const isComplete = !quick && values.only === undefined && values.server === undefined;
  const isElsewhere = json !== undefined || svg !== undefined;
  return {
    rounds,
    amounts: quick ? QUICK : FULL,
    works: choose("--only", WORKS, values.only),
    servers: choose("--server", SERVERS, values.server),
    outputs: isComplete && !isElsewhere ? COMMITTED : { json, svg },
  };
}

function readOptions(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        rounds: { type: "string" },
        only: { type: "string", multiple: true },
        server: { type: "string", multiple: true },
        quick: { type: "boolean" },
        json: { type: "string" },
        svg: { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (error) {
    return stop(`${(error as Error).message}\n\n${USAGE}`);
  }
}

/** The rows that are asked for by name, in the order of the table; all when none is. */
function choose<Row extends { readonly name: string }>(
  option: string,
  rows: readonly Row[],
  names: readonly string[] | undefined,
): readonly Row[] {
  const unknown = names?.find((name) => !rows.some((row) => row.name === name));
  if (unknown !== undefined) {
    stop(`${option} ${unknown}: not one of ${rows.map(({ name }) => name).join(" ")}`);
  }
  return rows.filter(({ name }) => names === undefined || names.includes(name));
}

function stop(message: string): never {
  console.error(message);
  Deno.exit(2);
}
