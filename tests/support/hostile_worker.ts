/**
 * Works on damaged images and prints how each of them went.
 *
 *     hostile_worker.ts FOLDER FIRST END STEP: cases FIRST, FIRST + STEP, ... below END
 */

import {
  type HostileBase,
  hostileBase,
  hostileImage,
  type HostileOutcome,
  workOn,
} from "./hostile.ts";
import { peakMegabytes, resetPeak } from "./memory.ts";

/** One case, as the test gets it. */
export interface HostileStep extends HostileOutcome {
  readonly seed: number;
  readonly base: string;
  readonly milliseconds: number;
  readonly megabytes: number;
  readonly uncaught?: string;
}

/** Memory is looked at only now and then: it takes a collection of garbage. */
const MEASURE_EVERY = 10;
const NOTHING: HostileOutcome = { codes: {}, unplaced: [], lines: 0, isOpened: false };

function runCase(base: HostileBase, seed: number): Omit<HostileStep, "megabytes"> {
  const start = performance.now();
  let outcome = NOTHING;
  let uncaught: string | undefined;
  try {
    outcome = workOn(base.name, hostileImage(base, seed), seed);
  } catch (error) {
    uncaught = error instanceof Error ? `${error.stack}` : `${error}`;
  }
  return { ...outcome, seed, base: base.name, milliseconds: performance.now() - start, uncaught };
}

if (import.meta.main) {
  const [folder, first, end, step] = Deno.args;
  const bases = [...Deno.readDirSync(folder)].map(({ name }) => name).sort()
    .map((name) => hostileBase(name, Deno.readFileSync(`${folder}/${name}`)));
  resetPeak();
  for (let seed = Number(first), done = 1; seed < Number(end); seed += Number(step), done++) {
    const outcome = runCase(bases[Math.floor(seed / Number(step)) % bases.length], seed);
    const megabytes = peakMegabytes();
    if (done % MEASURE_EVERY === 0) resetPeak();
    console.log(JSON.stringify({ ...outcome, megabytes } satisfies HostileStep));
  }
}
