/**
 * Reads damaged images and prints how each of them went.
 *
 *     fuzz_worker.ts FOLDER FIRST COUNT STEP: cases FIRST, FIRST + STEP, ... below COUNT
 */

import { type FuzzBase, fuzzBase, damage, readDamaged } from "./fuzz.ts";
import { peakMegabytes, resetPeak } from "./memory.ts";

/** One or more cases, as the test gets them. */
export interface FuzzStep {
  /** The last case that was done. */
  readonly seed: number;
  readonly base: string;
  readonly codes: readonly string[];
  readonly milliseconds: number;
  readonly megabytes: number;
  readonly uncaught?: string;
}

/** Memory is looked at only now and then: it takes a collection of garbage. */
const MEASURE_EVERY = 50;

function runCase(base: FuzzBase, seed: number): Omit<FuzzStep, "megabytes"> {
  const start = performance.now();
  let codes: string[] = [];
  let uncaught: string | undefined;
  try {
    codes = [...readDamaged(base.name, damage(base, seed))];
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    uncaught = `${error}\n${cause instanceof Error ? cause.stack : cause}`;
  }
  return { seed, base: base.name, codes, milliseconds: performance.now() - start, uncaught };
}

if (import.meta.main) {
  const [folder, first, count, step] = Deno.args;
  const bases = [...Deno.readDirSync(folder)].map(({ name }) => name).sort()
    .map((name) => fuzzBase(name, Deno.readFileSync(`${folder}/${name}`)));
  resetPeak();
  for (let seed = Number(first), done = 1; seed < Number(count); seed += Number(step), done++) {
    const outcome = runCase(bases[Math.floor(seed / Number(step)) % bases.length], seed);
    const megabytes = peakMegabytes();
    if (done % MEASURE_EVERY === 0) resetPeak();
    console.log(JSON.stringify({ ...outcome, megabytes } satisfies FuzzStep));
  }
}
