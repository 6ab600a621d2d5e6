/** What comes out of a run: figures, what they say about the goals, and the table of them. */

import type { Machine } from "./machine.ts";
import { median } from "./measure.ts";
import { type ServerName, SERVERS } from "./servers.ts";
import type { Amounts, Goal, Unit, Work } from "./works.ts";

/** All of a run, as it stands in the JSON file. */
export interface Report {
  /** ISO 8601, the time at which the run ended. */
  readonly date: string;
  readonly machine: Machine;
  readonly rounds: number;
  readonly amounts: Amounts;
  readonly works: readonly WorkReport[];
}

export interface WorkReport {
  readonly name: string;
  readonly title: string;
  readonly unit: Unit;
  readonly servers: Partial<Record<ServerName, Figure>>;
  readonly goal?: GoalReport;
}

export interface Figure {
  readonly median: number;
  /** One a round. */
  readonly values: readonly number[];
}

export interface GoalReport extends Goal {
  /** What fuse4fs has, in the terms of the goal: as a multiple of the other's, or in units. */
  readonly reached?: number;
  /** The bound in the unit of the work. */
  readonly bound?: number;
  readonly met?: boolean;
}

/** The values of one work, one a round for each server. */
export type Values = ReadonlyMap<ServerName, readonly number[]>;

export function reportWork(work: Work, values: Values): WorkReport {
  const servers: Partial<Record<ServerName, Figure>> = {};
  for (const [name, rounds] of values) servers[name] = { median: median(rounds), values: rounds };
  const { name, title, unit, goal } = work;
  return { name, title, unit, servers, goal: goal && judge(goal, unit, servers) };
}

/** Without the figure of fuse4fs or of the other one, the goal stands alone. */
function judge(goal: Goal, unit: Unit, servers: WorkReport["servers"]): GoalReport {
  const own = servers.fuse4fs?.median;
  const reference = goal.against === undefined ? 1 : servers[goal.against]?.median;
  if (reference === undefined) return goal;
  const bound = goal.factor * reference;
  if (own === undefined) return { ...goal, bound };
  const met = isMoreBetter(unit) ? own >= bound : own <= bound;
  return { ...goal, reached: own / reference, bound, met };
}

export function isMoreBetter(unit: Unit): boolean {
  return unit === "MiB/s";
}

export function titleOf(name: ServerName): string {
  return SERVERS.find((server) => server.name === name)!.title;
}

/** Three significant digits, and no fraction from 100 on. */
export function formatNumber(value: number): string {
  if (value === 0) return "0";
  const digits = 2 - Math.floor(Math.log10(Math.abs(value)));
  return value.toFixed(Math.min(3, Math.max(0, digits)));
}

export function formatGoal({ factor, against }: Goal, unit: Unit): string {
  const bound = isMoreBetter(unit) ? "at least" : "at most";
  if (against === undefined) return `${bound} ${factor} ${unit}`;
  return `${bound} ${factor} x ${titleOf(against)}`;
}

export function formatReached({ against, reached }: GoalReport, unit: Unit): string {
  if (reached === undefined) return "";
  return against === undefined
    ? `${formatNumber(reached)} ${unit}`
    : `${formatNumber(reached)} x ${titleOf(against)}`;
}

/** The table in Markdown, its columns aligned for reading as it is. */
export function formatTable(report: Report): string {
  const servers = SERVERS.filter(({ name }) => report.works.some((work) => work.servers[name]));
  const rows = [
    ["work", "unit", ...servers.map(({ title }) => title), "fuse4fs has", "wanted", "met"],
    ...report.works.map(({ title, unit, servers: figures, goal }) => [
      title,
      unit,
      ...servers.map(({ name }) => {
        const figure = figures[name];
        return figure === undefined ? "" : formatNumber(figure.median);
      }),
      goal === undefined ? "" : formatReached(goal, unit),
      goal === undefined ? "" : formatGoal(goal, unit),
      goal?.met === undefined ? "" : goal.met ? "yes" : "no",
    ]),
  ];
  const isFigure = (column: number) => column >= 2 && column < 2 + servers.length;
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const line = (row: readonly string[]) =>
    `| ${
      row.map((cell, column) =>
        isFigure(column) ? cell.padStart(widths[column]) : cell.padEnd(widths[column])
      ).join(" | ")
    } |`;
  const rule = widths.map((width, column) =>
    isFigure(column) ? `${"-".repeat(width - 1)}:` : "-".repeat(width)
  );
  return [line(rows[0]), line(rule), ...rows.slice(1).map(line)].join("\n");
}
