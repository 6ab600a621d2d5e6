/**
 * Damaged file systems, most of them with fitting checksums, are opened for writing and worked on:
 * nothing but an FsError may come of it, damage says where it is, and time and memory have bounds.
 *
 * FUZZ_COUNT and FUZZ_SEED are as in fuzz_test.ts.
 */

import assert from "node:assert/strict";
import { makeHostileImages } from "./support/hostile_images.ts";
import type { HostileStep } from "./support/hostile_worker.ts";
import { requires } from "./support/requirements.ts";
import { TempDir } from "./support/run.ts";
import { supervise } from "./support/supervise.ts";

const USUAL = Deno.env.has("FUZZ_LONG") ? 20_000 : 400;
const COUNT = Number(Deno.env.get("FUZZ_COUNT") ?? USUAL);
const FIRST_SEED = Number(Deno.env.get("FUZZ_SEED") ?? 0);
const WORKERS = Math.min(2, navigator.hardwareConcurrency);

const MAX_MILLISECONDS = 20_000;
const MAX_MEGABYTES = 512;
/** Lines that one case may put into the log: it does some hundred things. */
const MAX_LINES = 1000;

Deno.test("FileSystem: work on mutated images is done, or gives clear errors", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  await makeHostileImages(folder.path);
  const wrong: string[] = [];
  let done = 0;
  let opened = 0;
  let damages = 0;
  const onStep = (step: HostileStep) => {
    done++;
    if (step.isOpened) opened++;
    if ((step.codes.EUCLEAN ?? 0) > 0) damages++;
    const words = complaint(step);
    if (words !== undefined) wrong.push(`seed ${step.seed} (${step.base}): ${words}`);
  };
  await Promise.all(Array.from({ length: WORKERS }, (_, index) => work(folder, index, onStep)));
  assert.equal(wrong.slice(0, 10).join("\n"), "", `${wrong.length} of ${done} cases went wrong`);
  assert.equal(done, COUNT);
  if (COUNT < 400) return;
  // Damage that nobody notices, or that ends everything at once, would test nothing.
  assert.ok(opened > COUNT / 2, `${opened} of ${COUNT} opened`);
  assert.ok(damages > COUNT / 4, `${damages} of ${COUNT} met damage`);
});

async function work(
  folder: TempDir,
  index: number,
  onStep: (step: HostileStep) => void,
): Promise<void> {
  let last: HostileStep | undefined;
  const failure = await supervise({
    worker: "hostile_worker.ts",
    args: [folder.path, FIRST_SEED + index, FIRST_SEED + COUNT, WORKERS].map(String),
    stepTime: MAX_MILLISECONDS,
    onStep: (step) => {
      last = step as HostileStep;
      onStep(last);
    },
  });
  const next = last === undefined ? FIRST_SEED + index : last.seed + WORKERS;
  assert.equal(failure, undefined, `seed ${next}: ${failure}`);
}

function complaint(step: HostileStep): string | undefined {
  if (step.uncaught !== undefined) return step.uncaught;
  if (step.milliseconds > MAX_MILLISECONDS) return `took ${step.milliseconds} ms`;
  if (step.megabytes > MAX_MEGABYTES) return `took ${Math.round(step.megabytes)} MiB`;
  if (step.lines > MAX_LINES) return `put ${step.lines} lines into the log`;
  if (step.unplaced.length > 0) return `no place in: ${step.unplaced.join("; ")}`;
  return undefined;
}
