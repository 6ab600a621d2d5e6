/**
 * Thousands of damaged images, each by its seed: reading them gives data or an FsError of the codes
 * for damage, in bounded time and memory.
 *
 * FUZZ_COUNT sets the number of cases, FUZZ_SEED the first of them: with FUZZ_COUNT=1, a case that
 * failed can be looked at alone. With FUZZ_LONG there are 20,000.
 */

import assert from "node:assert/strict";
import { MemoryDevice } from "../src/block/memory_device.ts";
import { FileSystem } from "../src/ext4/filesystem.ts";
import { SILENT } from "../src/sys/log.ts";
import { makeFuzzImages } from "./support/fuzz_images.ts";
import type { FuzzStep } from "./support/fuzz_worker.ts";
import { requires } from "./support/requirements.ts";
import { TempDir } from "./support/run.ts";
import { supervise } from "./support/supervise.ts";
import { walkEverything } from "./support/walk.ts";

const USUAL = Deno.env.has("FUZZ_LONG") ? 20_000 : 2000;
const COUNT = Number(Deno.env.get("FUZZ_COUNT") ?? USUAL);
const FIRST_SEED = Number(Deno.env.get("FUZZ_SEED") ?? 0);
const WORKERS = Math.min(2, navigator.hardwareConcurrency);

const MAX_MILLISECONDS = 20_000;
const MAX_MEGABYTES = 512;
/** EINVAL is for what is no longer ext4, or has features that nobody knows. */
const ALLOWED = ["EUCLEAN", "EBADMSG", "EIO", "ENOKEY", "EINVAL"];

Deno.test("FileSystem: mutated images give data or clear errors", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  await makeFuzzImages(folder.path);
  const wrong: string[] = [];
  const codes = new Map<string, number>();
  let done = 0;
  const onStep = (step: FuzzStep) => {
    done++;
    for (const code of step.codes) codes.set(code, (codes.get(code) ?? 0) + 1);
    const words = complaint(step);
    if (words !== undefined) wrong.push(`seed ${step.seed} (${step.base}): ${words}`);
  };
  await Promise.all(Array.from({ length: WORKERS }, (_, index) => work(folder, index, onStep)));
  assert.equal(wrong.slice(0, 10).join("\n"), "", `${wrong.length} of ${done} cases went wrong`);
  assert.equal(done, COUNT);
  if (COUNT < 1000) return;
  // Damage that nobody notices would test nothing.
  assert.ok((codes.get("EUCLEAN") ?? 0) > COUNT / 20, `${codes.get("EUCLEAN")} cases of damage`);
  assert.ok((codes.get("EBADMSG") ?? 0) > COUNT / 200, `${codes.get("EBADMSG")} bad checksums`);
});

Deno.test("FileSystem: the images to be mutated are whole", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  for (const [name, image] of await makeFuzzImages(folder.path)) {
    const fs = FileSystem.open(new MemoryDevice(Deno.readFileSync(image), name), { log: SILENT });
    const { objects, errors, messages } = walkEverything(fs);
    assert.ok(objects > 60, `${name}: ${objects} objects`);
    const expected = name === "encrypt" ? ["ENOKEY"] : [];
    const unexpected = [...errors.keys()].filter((code) => !expected.includes(code));
    assert.deepEqual(unexpected, [], `${name}: ${[...messages].join("; ")}`);
  }
});

async function work(
  folder: TempDir,
  index: number,
  onStep: (step: FuzzStep) => void,
): Promise<void> {
  let last: FuzzStep | undefined;
  const failure = await supervise({
    worker: "fuzz_worker.ts",
    args: [folder.path, FIRST_SEED + index, FIRST_SEED + COUNT, WORKERS].map(String),
    stepTime: MAX_MILLISECONDS,
    onStep: (step) => {
      last = step as FuzzStep;
      onStep(last);
    },
  });
  const next = last === undefined ? FIRST_SEED + index : last.seed + WORKERS;
  assert.equal(failure, undefined, `seed ${next}: ${failure}`);
}

function complaint(step: FuzzStep): string | undefined {
  if (step.uncaught !== undefined) return step.uncaught;
  if (step.milliseconds > MAX_MILLISECONDS) return `took ${step.milliseconds} ms`;
  if (step.megabytes > MAX_MEGABYTES) return `took ${Math.round(step.megabytes)} MiB`;
  if (step.unplaced.length > 0) return `no place in: ${step.unplaced.join("; ")}`;
  const unexpected = step.codes.filter((code) => !ALLOWED.includes(code));
  return unexpected.length === 0 ? undefined : `unexpected ${unexpected.join(" ")}`;
}
