/**
 * `deno task soak`: an hour's worth of mixed work on one mount, in compressed form: random system
 * calls, changes of content, trees that are copied and removed, turn after turn. In the end memory
 * must have stayed flat, no inode, block or descriptor may be lost, and e2fsck must find all clean.
 *
 *     SOAK_MINUTES=30 deno task soak     10 minutes by default
 *     SOAK_SEED=5 deno task soak
 */

import { ensure, FOR_TESTING } from "../../scripts/dependencies.ts";
import { buildIfNeeded } from "../../scripts/executable.ts";
import { randomScript } from "../support/random_script.ts";
import { compileC, run, TempDir } from "../support/run.ts";
import { mountSubject } from "../support/subject.ts";
import { play } from "../support/syscalls.ts";

const MINUTES = Number(Deno.env.get("SOAK_MINUTES") ?? 10);
const SEED = Number(Deno.env.get("SOAK_SEED") ?? 1);
const MIB = 2 ** 20;
/** Until all caches are full, memory grows. */
const WARM_UP_SHARE = 1 / 3;
/** How far memory may be above what it was after that. */
const GROWTH = 1.15;
/** Files that are copied in each turn. */
const TREE = "/usr/include/linux";

interface Sample {
  readonly seconds: number;
  readonly rssMiB: number;
  readonly descriptors: number;
  readonly freeInodes: number;
  readonly freeBlocks: number;
}

async function main(): Promise<void> {
  ensure(FOR_TESTING);
  buildIfNeeded();
  using folder = new TempDir();
  const image = folder.join("image");
  const dir = folder.mkdir("mnt");
  Deno.chmodSync(folder.path, 0o755);
  await run("mke2fs", ["-q", "-t", "ext4", "-O", "quota,project", image, "1G"]);
  const samples: Sample[] = [];
  {
    await using mount = await mountSubject(image, dir, "noatime");
    const start = performance.now();
    const work = `${mount.dir}/work`;
    for (let turn = 0; performance.now() - start < MINUTES * 60_000; turn++) {
      Deno.mkdirSync(work);
      await takeTurn(work, SEED * 100_000 + turn, folder);
      await run("rm", ["-rf", work]);
      const sample = await measure(mount.pid!, mount.dir, (performance.now() - start) / 1000);
      samples.push(sample);
      console.log(describe(turn, sample));
    }
  }
  await run("e2fsck", ["-f", "-n", image]);
  const complaints = judge(samples);
  for (const complaint of complaints) console.error(complaint);
  console.log(`${samples.length} turns in ${MINUTES} minutes, ${complaints.length} complaints`);
  Deno.exit(complaints.length === 0 ? 0 : 1);
}

async function takeTurn(work: string, seed: number, folder: TempDir): Promise<void> {
  const calls = `${work}/calls`;
  const content = `${work}/content`;
  Deno.mkdirSync(calls, { mode: 0o777 });
  Deno.mkdirSync(content);
  const script = randomScript(seed, {
    count: 2000,
    largestFile: 64 * MIB,
    space: 40 * MIB,
    hasLateTimes: true,
    longestTarget: 4095,
  });
  await play(calls, script);
  const copies = folder.mkdir(`copies${seed}`);
  await run(await compileC("file_exerciser"), [content, `${seed}`, "1000", "4096", copies]);
  await Deno.remove(copies, { recursive: true });
  await run("cp", ["-a", TREE, `${work}/tree`]);
  await run("sync", ["-f", work]);
}

/** After all that was removed has been freed, which happens when the kernel forgets it. */
async function measure(pid: number, dir: string, seconds: number): Promise<Sample> {
  await run("sync", [dir]);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const rss = /^VmRSS:\s+(\d+) kB/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`));
  const { stdout } = await run("stat", ["-f", "-c", "%d %f", dir]);
  const [freeInodes, freeBlocks] = stdout.trim().split(" ").map(Number);
  const descriptors = [...Deno.readDirSync(`/proc/${pid}/fd`)].length;
  return { seconds, rssMiB: Number(rss?.[1]) / 1024, descriptors, freeInodes, freeBlocks };
}

function describe(turn: number, sample: Sample): string {
  const { seconds, rssMiB, descriptors, freeInodes, freeBlocks } = sample;
  return `turn ${turn}, ${seconds.toFixed(0)} s: ${rssMiB.toFixed(1)} MiB, ` +
    `${descriptors} descriptors, ${freeInodes} inodes and ${freeBlocks} blocks free`;
}

function judge(samples: readonly Sample[]): string[] {
  if (samples.length < 6) return ["too few turns to tell anything: more minutes, please"];
  const warm = Math.ceil(samples.length * WARM_UP_SHARE);
  const [first] = samples;
  const last = samples[samples.length - 1];
  const complaints: string[] = [];
  const rss = (part: readonly Sample[]) => Math.max(...part.map(({ rssMiB }) => rssMiB));
  const [before, after] = [rss(samples.slice(0, warm)), rss(samples.slice(-warm))];
  if (after > before * GROWTH) complaints.push(`memory grew from ${before} to ${after} MiB`);
  for (const what of ["descriptors", "freeInodes", "freeBlocks"] as const) {
    if (first[what] === last[what]) continue;
    complaints.push(`${what}: ${first[what]} after the first turn, ${last[what]} after the last`);
  }
  return complaints;
}

await main();
