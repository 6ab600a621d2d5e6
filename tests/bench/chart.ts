/**
 * The figures as a picture: a row a work, a mark a server. What a server takes is shown as a
 * multiple of what fuse4fs may take, on a logarithmic scale:
 *
 *                      0.1          1         10
 *     find             O     K     |          F      O fuse4fs  K kernel  F fuse2fs
 *     read                     K O |          F
 *
 * Left of the line means: better than the goal. The SVG needs nothing from outside and follows the
 * viewer's light or dark colors.
 */

import {
  type Figure,
  formatGoal,
  formatNumber,
  formatReached,
  isMoreBetter,
  type Report,
  titleOf,
  type WorkReport,
} from "./report.ts";
import type { ServerName } from "./servers.ts";

const WIDTH = 960;
const LEFT = 312;
const RIGHT = 700;
const TOP = 92;
const ROW = 44;
const BOTTOM = 34;

/** Each server has a shape besides its color. Paths are drawn around 0,0. */
const MARKS: Record<ServerName, { readonly path: string; readonly class: string }> = {
  kernel: { class: "kernel", path: "M0,-7 L7,6 L-7,6 Z" },
  fuse2fs: { class: "fuse2fs", path: "M-6,-6 H6 V6 H-6 Z" },
  empty: { class: "empty", path: "M0,-8 L8,0 L0,8 L-8,0 Z" },
  fuse4fs: { class: "fuse4fs", path: "M-7,0 A7,7 0 1 0 7,0 A7,7 0 1 0 -7,0 Z" },
};

const STYLE = `
  text { font: 14px system-ui, sans-serif; fill: #24292f; }
  .title { font-size: 18px; font-weight: 600; }
  .small { font-size: 12px; fill: #57606a; }
  .row { stroke: #d0d7de; }
  .tick { stroke: #d0d7de; stroke-dasharray: 2 4; }
  .goal { stroke: #1a7f37; stroke-width: 2; }
  .good { fill: #1a7f37; opacity: 0.08; }
  .kernel { fill: #6e7781; } .fuse2fs { fill: #bc4c00; }
  .empty { fill: #8250df; } .fuse4fs { fill: #0969da; }
  .missed { fill: #cf222e; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .small { fill: #8d96a0; }
    .row, .tick { stroke: #30363d; }
    .goal { stroke: #3fb950; } .good { fill: #3fb950; opacity: 0.12; }
    .kernel { fill: #8d96a0; } .fuse2fs { fill: #f0883e; }
    .empty { fill: #bc8cff; } .fuse4fs { fill: #58a6ff; }
    .missed { fill: #ff7b72; }
  }
`;

/** Where a value lies between LEFT and RIGHT. */
type Scale = (multiple: number) => number;

/** The SVG of all works that have a goal and figures. */
export function drawChart(report: Report): string {
  const works = report.works.filter(({ goal }) => goal?.bound !== undefined);
  const multiples = works.flatMap((work) => marksOf(work).map(({ multiple }) => multiple));
  const decades = {
    first: Math.min(-1, ...multiples.map((value) => Math.floor(Math.log10(value)))),
    last: Math.max(1, ...multiples.map((value) => Math.ceil(Math.log10(value)))),
  };
  const scale: Scale = (multiple) =>
    LEFT +
    (RIGHT - LEFT) * (Math.log10(multiple) - decades.first) / (decades.last - decades.first);
  const height = TOP + works.length * ROW + BOTTOM;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img">`,
    `<title>Benchmark of fuse4fs: time and memory as multiples of the goal</title>`,
    `<style>${STYLE}</style>`,
    text(16, 30, "What each server takes, beside what fuse4fs may take", "title"),
    legend(report),
    axis(scale, decades, height - BOTTOM),
    ...works.map((work, index) => row(work, TOP + index * ROW + ROW / 2, scale)),
    text(16, height - 12, footnote(report), "small"),
    "</svg>",
    "",
  ].join("\n");
}

interface Mark {
  readonly server: ServerName;
  readonly figure: Figure;
  /** Of the goal; less is better, also for throughput. */
  readonly multiple: number;
}

/** The marks of a row, the one of fuse4fs last and so on top. Zero has no place on the scale. */
function marksOf({ servers, goal, unit }: WorkReport): Mark[] {
  return (Object.keys(MARKS) as ServerName[]).flatMap((server) => {
    const figure = servers[server];
    if (figure === undefined || goal?.bound === undefined || figure.median === 0) return [];
    const quotient = figure.median / goal.bound;
    return [{ server, figure, multiple: isMoreBetter(unit) ? 1 / quotient : quotient }];
  });
}

function row(work: WorkReport, y: number, scale: Scale): string {
  const { title, unit } = work;
  const goal = work.goal!;
  const verdict = goal.met === false ? "missed" : "fuse4fs";
  return [
    `<line class="row" x1="16" x2="${WIDTH - 16}" y1="${y + ROW / 2}" y2="${y + ROW / 2}"/>`,
    text(16, y - 2, title),
    text(16, y + 14, `wanted: ${formatGoal(goal, unit)}`, "small"),
    ...marksOf(work).map(({ server, figure, multiple }) => {
      const { path, class: style } = MARKS[server];
      const words = `${titleOf(server)}: ${formatNumber(figure.median)} ${unit}`;
      const place = `translate(${scale(multiple).toFixed(1)},${y})`;
      return `<path class="${style}" d="${path}" transform="${place}"><title>${words}</title></path>`;
    }),
    text(RIGHT + 24, y + 5, formatReached(goal, unit), verdict),
  ].join("\n");
}

function axis(scale: Scale, decades: { first: number; last: number }, bottom: number): string {
  const lines = [
    `<rect class="good" x="${LEFT}" y="${TOP}" width="${(scale(1) - LEFT).toFixed(1)}" ` +
    `height="${bottom - TOP}"/>`,
  ];
  for (let decade = decades.first; decade <= decades.last; decade++) {
    const x = scale(10 ** decade).toFixed(1);
    const style = decade === 0 ? "goal" : "tick";
    const words = decade === 0 ? "goal" : nameOfDecade(decade);
    lines.push(
      `<line class="${style}" x1="${x}" x2="${x}" y1="${TOP}" y2="${bottom}"/>`,
      text(x, TOP - 8, words, "small", "middle"),
    );
  }
  return lines.join("\n");
}

/** One hundredth, one tenth, ten times, ... of the goal. */
function nameOfDecade(decade: number): string {
  return decade < 0 ? `goal / ${10 ** -decade}` : `goal x ${10 ** decade}`;
}

function legend(report: Report): string {
  const servers = (["fuse4fs", "kernel", "fuse2fs", "empty"] as const)
    .filter((name) => report.works.some((work) => work.servers[name] !== undefined));
  return servers.map((name, index) => {
    const x = 24 + index * 140;
    const { path, class: style } = MARKS[name];
    return `<path class="${style}" d="${path}" transform="translate(${x},54)"/>` +
      text(x + 14, 59, titleOf(name));
  }).join("\n");
}

function footnote({ rounds, machine, date }: Report): string {
  const { processors, processor, kernel, versions } = machine;
  const runs = rounds === 1 ? "one round" : `medians of ${rounds} rounds`;
  return `${runs}, cold caches; ${processors} processors (${processor}), Linux ${kernel}, ` +
    `fuse2fs ${versions.fuse2fs}; ${date.slice(0, 10)}`;
}

function text(
  x: number | string,
  y: number,
  words: string,
  style = "",
  anchor: "start" | "middle" = "start",
): string {
  const escaped = words.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${x}" y="${y}" class="${style}" text-anchor="${anchor}">${escaped}</text>`;
}
