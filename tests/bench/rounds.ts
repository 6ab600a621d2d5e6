/** The run itself: every work on every one of its servers, round after round. */

import { run } from "../support/run.ts";
import { archiveTree, FreshImage, makeImage } from "./image.ts";
import { dropCaches } from "./measure.ts";
import { type Plan, ROOT } from "./plan.ts";
import { formatNumber, reportWork, type WorkReport } from "./report.ts";
import { mountServer, type Server, type ServerName, type Target } from "./servers.ts";
import type { Amounts, Work } from "./works.ts";

// Not in /tmp, which may lie in memory, where nothing is ever cold.
const CACHE = `${ROOT}.cache`;

/** Does all that is planned. `say` is told of each step. */
export async function runRounds(
  { rounds, amounts, works, servers }: Plan,
  say: (words: string) => void,
): Promise<WorkReport[]> {
  Deno.mkdirSync(CACHE, { recursive: true });
  // Two at a time would drop each other's caches.
  using lock = Deno.openSync(`${CACHE}/bench.lock`, { write: true, create: true });
  await lock.lock(true);
  using interruption = new Interruption();
  using workshop = new Workshop();
  say("Making the image");
  const site = await workshop.prepare(amounts);
  const values = new Map(works.map((work) => [work, new Map<ServerName, number[]>()]));
  for (let round = 0; round < rounds; round++) {
    for (const [work, figures] of values) {
      const takingPart = servers.filter(({ name }) => work.servers.includes(name));
      for (const server of rotate(takingPart, round)) {
        interruption.check();
        const value = await measure(work, server, site);
        figures.set(server.name, [...figures.get(server.name) ?? [], value]);
        const step = `Round ${round + 1} of ${rounds}: ${work.title}, ${server.title}`;
        say(`${step}: ${formatNumber(value)} ${work.unit}`);
      }
    }
  }
  return works.map((work) => reportWork(work, values.get(work)!));
}

/** Each round begins with another one: nobody is always the one behind the same other. */
function rotate<Item>(items: readonly Item[], places: number): Item[] {
  const first = places % Math.max(1, items.length);
  return [...items.slice(first), ...items.slice(0, first)];
}

/** One work on one server, on a mount of its own with nothing cached. */
async function measure(work: Work, server: Server, site: Site): Promise<number> {
  await dropCaches();
  const target = await chooseTarget(work, site);
  if (work.isSecondMount) {
    await using _first = await mountServer(server, target, work.style);
  }
  const value = await measureOnMount(work, server, target, site);
  return await work.inspect?.(target.image) ?? value;
}

async function measureOnMount(
  work: Work,
  server: Server,
  target: Target,
  site: Site,
): Promise<number> {
  const style = work.image === "fresh" ? { options: "rw", ...work.style } : work.style;
  await using mount = await mountServer(server, target, style);
  const stage = { ...site, mount };
  await work.prepare?.(stage);
  return await work.measure(stage);
}

async function chooseTarget(work: Work, { target, freshImage }: Site): Promise<Target> {
  if (work.image !== "fresh") return target;
  const image = await freshImage.format();
  await dropCaches();
  return { ...target, image };
}

/** What stays the same through a run. */
interface Site {
  readonly target: Target;
  readonly amounts: Amounts;
  readonly statClient: string;
  readonly fileClient: string;
  readonly tree: string;
  readonly freshImage: FreshImage;
}

/** A folder with the image and the compiled programs; gone at the end of its scope. */
class Workshop implements Disposable {
  readonly #folder: string;

  constructor() {
    this.#folder = Deno.makeTempDirSync({ dir: CACHE, prefix: "bench_" });
  }

  async prepare(amounts: Amounts): Promise<Site> {
    const { stdout } = await run("pkg-config", ["--cflags", "--libs", "fuse3"]);
    const fuseFlags = stdout.trim().split(/\s+/);
    const emptyServer = await this.#compile("empty_server", fuseFlags);
    const statClient = await this.#compile("stat_client");
    const fileClient = await this.#compile("file_client");
    const dir = `${this.#folder}/mnt`;
    Deno.mkdirSync(dir);
    const image = await makeImage(this.#folder, amounts);
    const tree = await archiveTree(image, this.#folder);
    const freshImage = new FreshImage(`${this.#folder}/fresh`, amounts.imageMiB);
    const target = { image, dir, emptyServer };
    return { target, amounts, statClient, fileClient, tree, freshImage };
  }

  async #compile(name: string, flags: readonly string[] = []): Promise<string> {
    const executable = `${this.#folder}/${name}`;
    const source = new URL(`${name}.c`, import.meta.url).pathname;
    await run("gcc", ["-O2", "-Wall", "-Wextra", "-Werror", "-o", executable, source, ...flags]);
    return executable;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#folder, { recursive: true });
  }
}

/**
 * Control-C ends the client that runs, as ever, but not this process: it goes the way of an error,
 * so that what is mounted is unmounted.
 */
class Interruption implements Disposable {
  #happened = false;
  readonly #note = () => void (this.#happened = true);

  constructor() {
    Deno.addSignalListener("SIGINT", this.#note);
  }

  /** Throws when it has happened. */
  check(): void {
    if (this.#happened) throw new Error("Interrupted");
  }

  [Symbol.dispose](): void {
    Deno.removeSignalListener("SIGINT", this.#note);
  }
}
