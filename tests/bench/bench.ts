/**
 * `deno task bench`: compares fuse4fs with the kernel's ext4, with fuse2fs, and with an empty
 * server in C, on the same image in the same run. docs/benchmarks.md tells how and why.
 */

import { ensure, FOR_BENCHMARK } from "../../scripts/dependencies.ts";
import { buildIfNeeded } from "../../scripts/executable.ts";
import { drawChart } from "./chart.ts";
import { describeMachine } from "./machine.ts";
import { makePlan } from "./plan.ts";
import { formatTable, type Report } from "./report.ts";
import { runRounds } from "./rounds.ts";

/** The lines of docs/benchmarks.md between which the table stands. */
const TABLE_START = "<!-- table: written by deno task bench -->";
const TABLE_END = "<!-- end of table -->";

/** Above this load average others take part in what is measured. */
const BUSY = 0.5;

async function main(): Promise<void> {
  const plan = makePlan(Deno.args);
  if (Deno.uid() !== 0) {
    console.error("The benchmark mounts and drops caches, which takes root");
    Deno.exit(1);
  }
  ensure(FOR_BENCHMARK);
  // Whoever names another executable wants that one measured.
  if (Deno.env.get("FUSE4FS") === undefined) buildIfNeeded();
  const machine = await describeMachine();
  if (machine.load > BUSY) {
    console.log(`The machine is busy (load ${machine.load.toFixed(1)}): figures will be off`);
  }
  const works = await runRounds(plan, (step) => console.log(step));
  const { rounds, amounts, outputs } = plan;
  const date = new Date().toISOString();
  const report: Report = { date, machine, rounds, amounts, works };
  const table = formatTable(report);
  console.log(`\n${table}`);
  if (outputs.json !== undefined) {
    Deno.writeTextFileSync(outputs.json, `${JSON.stringify(report, null, 2)}\n`);
  }
  if (outputs.svg !== undefined) Deno.writeTextFileSync(outputs.svg, drawChart(report));
  if (outputs.table !== undefined) replaceTable(outputs.table, table);
}

function replaceTable(path: string, table: string): void {
  const text = Deno.readTextFileSync(path);
  const start = text.indexOf(TABLE_START);
  const end = text.indexOf(TABLE_END);
  if (start < 0 || end < start) throw new Error(`${path} has no lines around a table`);
  const before = text.slice(0, start + TABLE_START.length);
  Deno.writeTextFileSync(path, `${before}\n\n${table}\n\n${text.slice(end)}`);
}

await main();
