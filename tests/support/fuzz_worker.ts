/**
 * Reads damaged images and prints how each of them went.
 *
 *     fuzz_worker.ts FOLDER FIRST COUNT STEP: cases FIRST, FIRST + STEP, ... below COUNT
 */

import { damage, type FuzzBase, fuzzBase, type FuzzOutcome, readDamaged } from "./fuzz.ts";
import { peakMegabytes, resetPeak } from "./memory.ts";

/** One case, as the test gets it. */
export interface FuzzStep extends FuzzOutcome {
  readonly seed: number;
  readonly base: string;
  readonly milliseconds: number;
  readonly megabytes: number;
  readonly uncaught?: string;
}

/** Memory is looked at only now and then: it takes a collection of garbage. */
const MEASURE_EVERY = 50;

function runCase(base: FuzzBase, seed: number): Omit<FuzzStep, "megabytes"> {
  const start = performance.now();
  let outcome: FuzzOutcome = { codes: [], unplaced: [] };
  let uncaught: string | undefined;
  try {
    outcome = readDamaged(base.name, damage(base, seed));
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    uncaught = `${error}\n${cause instanceof Error ? cause.stack : cause}`;
  }
  return { ...outcome, seed, base: base.name, milliseconds: performance.now() - start, uncaught };
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
