/** The benchmark: what it makes of figures, and that it runs. */

import assert from "node:assert/strict";
import { drawChart } from "./bench/chart.ts";
import { median } from "./bench/measure.ts";
import { formatTable, type Report, reportWork } from "./bench/report.ts";
import type { ServerName } from "./bench/servers.ts";
import { type Work, WORKS } from "./bench/works.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

function work(name: string): Work {
  const found = WORKS.find((row) => row.name === name);
  assert.ok(found, `no work ${name}`);
  return found;
}

function values(figures: Partial<Record<ServerName, readonly number[]>>) {
  return new Map(Object.entries(figures)) as Map<ServerName, readonly number[]>;
}

function report(...works: Report["works"]): Report {
  return {
    date: "2026-01-02T03:04:05.678Z",
    machine: {
      processor: "A <fast> one",
      processors: 2,
      memoryMiB: 1024,
      kernel: "6.0",
      load: 0,
      versions: { fuse4fs: "1.0", fuse2fs: "1.47.0", fio: "3.33" },
    },
    rounds: 3,
    amounts: {
      ...{ imageMiB: 1, files: 1, bigMiB: 1, randomReads: 1, stats: 1, idleSeconds: 1 },
      ...{ emptyFiles: 1, randomWrites: 1 },
    },
    works,
  };
}

Deno.test("median: the middle of odd and of even numbers of values", () => {
  assert.equal(median([3]), 3);
  assert.equal(median([10, 1, 2]), 2);
  assert.equal(median([10, 1, 4, 2]), 3);
});

Deno.test("reportWork: time is judged against a multiple of the other's", () => {
  const slow = reportWork(work("find"), values({ fuse2fs: [1, 9, 4], fuse4fs: [1.1, 1.2, 1.3] }));
  assert.deepEqual(slow.goal, {
    factor: 0.25,
    against: "fuse2fs",
    bound: 1,
    reached: 1.2 / 4,
    met: false,
  });
  const fast = reportWork(work("find"), values({ fuse2fs: [4], fuse4fs: [1] }));
  assert.equal(fast.goal?.met, true);
});

Deno.test("reportWork: of throughput, more is better", () => {
  const slow = reportWork(work("read"), values({ kernel: [1000], fuse4fs: [699] }));
  assert.equal(slow.goal?.met, false);
  const fast = reportWork(work("read"), values({ kernel: [1000], fuse4fs: [701] }));
  assert.equal(fast.goal?.met, true);
});

Deno.test("reportWork: without the other's figure there is no verdict", () => {
  const { goal } = reportWork(work("find"), values({ fuse4fs: [1] }));
  assert.deepEqual(goal, { factor: 0.25, against: "fuse2fs" });
});

Deno.test("formatTable: a column for each server that took part", () => {
  const table = formatTable(
    report(reportWork(work("find"), values({ kernel: [0.5], fuse2fs: [4], fuse4fs: [1] }))),
  );
  const [head, rule, row] = table.split("\n").map((line) => line.split("|").map((s) => s.trim()));
  assert.deepEqual(head.slice(3, 6), ["kernel ext4", "fuse2fs", "fuse4fs"]);
  assert.match(rule[3], /^-+:$/);
  assert.deepEqual(row.slice(2, 9), [
    ...["s", "0.500", "4.00", "1.00"],
    ...["0.250 x fuse2fs", "at most 0.25 x fuse2fs", "yes"],
  ]);
});

Deno.test("drawChart: less than the goal is left of its line, for time and for throughput", () => {
  const svg = drawChart(report(
    reportWork(work("find"), values({ fuse2fs: [4], fuse4fs: [0.5] })),
    reportWork(work("read"), values({ kernel: [1000], fuse4fs: [100] })),
  ));
  const goal = Number(/class="goal" x1="([0-9.]+)"/.exec(svg)?.[1]);
  const marks = [...svg.matchAll(/translate\(([0-9.]+),[0-9.]+\)"><title>fuse4fs: (\S+)/g)]
    .map(([, x, value]) => ({ left: Number(x) < goal, value }));
  assert.deepEqual(marks, [{ left: true, value: "0.500" }, { left: false, value: "100" }]);
  assert.ok(svg.includes("A &lt;fast> one"));
});

Deno.test("bench: a quick run on the kernel and on fuse4fs gives figures", async () => {
  if (!requires("root", "loop", "fuse", "executable", "e2fsprogs", "gcc")) return;
  using folder = new TempDir();
  const json = folder.join("results.json");
  await run(Deno.execPath(), [
    ...["run", "--allow-all", "--no-check", new URL("bench/bench.ts", import.meta.url).pathname],
    ...["--quick", "--only", "find", "--only", "memory", "--json", json],
    ...["--server", "kernel", "--server", "fuse4fs"],
  ]);
  const { works, rounds } = JSON.parse(Deno.readTextFileSync(json)) as Report;
  assert.equal(rounds, 1);
  assert.deepEqual(works.map(({ name }) => name), ["find", "memory"]);
  const [find, memory] = works.map(({ servers }) => servers);
  assert.ok(find.kernel!.median > 0);
  assert.ok(find.fuse4fs!.median > 0);
  assert.equal(memory.kernel, undefined);
  assert.ok(memory.fuse4fs!.median > 1);
});
