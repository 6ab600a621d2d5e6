/**
 * A server that is killed in the middle of its work: whoever mounts the image next finds everything
 * that a program had synced, and a file system in order.
 *
 * KILL_ROUNDS and KILL_MILLISECONDS make it more than 25 rounds of about a second.
 */

import assert from "node:assert/strict";
import { mountAt } from "../src/mount/mountinfo.ts";
import { readWriterLog, wrongFiles } from "./support/crash_writer_log.ts";
import { mountFuse4fs, mountKernel } from "./support/mount.ts";
import { exists, requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";
import { Random } from "./support/random.ts";
import { serverOf } from "./support/server_of.ts";
import { waitUntil } from "./support/wait.ts";

const ROUNDS = Number(Deno.env.get("KILL_ROUNDS") ?? 25);
const MILLISECONDS = Number(Deno.env.get("KILL_MILLISECONDS") ?? 1000);
/** Programs that work at the same time. */
const WRITERS = 2;
/** Rounds whose files stay, to be looked at again. */
const KEPT = 3;

const KINDS: readonly string[] = [
  "-t ext4",
  "-t ext4 -b 1024 -J size=1",
  "-t ext3",
  "-t ext4 -b 4096 -O bigalloc,inline_data,orphan_file",
];

/** What a program gets to work with (support/crash_writer.ts). */
interface Writer {
  readonly folder: string;
  readonly log: string;
  readonly seed: number;
  /** A folder to be removed. */
  readonly old?: string;
}

function spawnWriter({ folder, log, seed, old }: Writer): Deno.ChildProcess {
  const writer = new URL("support/crash_writer.ts", import.meta.url).pathname;
  return new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--allow-all", "--no-check", writer],
      ...[folder, log, `${seed}`, ...(old === undefined ? [] : [old])],
    ],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
}

/** Work on a mount whose server is killed after a while. Returns what the writers complained of. */
async function workAndKill(
  image: string,
  dir: string,
  writers: readonly Writer[],
  milliseconds: number,
): Promise<string[]> {
  await mountFuse4fs(image, dir, "commit=1");
  const ends = writers.map((writer) => spawnWriter(writer).output());
  try {
    // On a busy machine programs take long to start.
    await waitUntil(() => writers.every(({ log }) => exists(log)), "the writers have begun");
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    const server = serverOf(image);
    assert.ok(server !== undefined, "the server is still there");
    Deno.kill(server, "SIGKILL");
    return (await Promise.all(ends)).map(({ stderr }) => new TextDecoder().decode(stderr));
  } finally {
    // Where that went wrong, the mount goes all the same, or the folder could not be removed.
    while (mountAt(dir) !== undefined) await run("umount", ["-l", dir]);
  }
}

for (const [index, kind] of KINDS.entries()) {
  const rounds = Math.floor((ROUNDS + index) / KINDS.length);
  Deno.test(`kill -9 of the server, ${rounds} times: ${kind}`, async () => {
    if (!requires("root", "loop", "fuse", "executable", "e2fsprogs")) return;
    using folder = new TempDir(TempDir.MEMORY);
    const image = folder.join("image");
    const dir = folder.mkdir("mnt");
    await run("mke2fs", ["-q", "-F", ...kind.split(" "), image, "256M"]);
    const random = new Random(index);
    let synced = 0;
    for (let round = 0; round < rounds; round++) {
      const writers = Array.from({ length: WRITERS }, (_, writer) => {
        const name = (of: number) => `${dir}/${of}.${writer}`;
        const log = folder.join(`log.${round}.${writer}`);
        const old = round < KEPT ? undefined : name(round - KEPT);
        return { folder: name(round), log, seed: random.uint32(), old };
      });
      const time = MILLISECONDS / 2 + random.below(MILLISECONDS);
      const complaints = await workAndKill(image, dir, writers, time);
      for (const text of complaints) {
        assert.match(text, /ENOTCONN|os error 107|ECONNABORTED|os error 103/);
      }

      {
        await using kernel = await mountKernel(image, dir, "rw");
        for (let of = Math.max(0, round - KEPT + 1); of <= round; of++) {
          for (let writer = 0; writer < WRITERS; writer++) {
            const text = Deno.readTextFileSync(folder.join(`log.${of}.${writer}`));
            const expected = readWriterLog(text);
            const wrong = wrongFiles(expected, `${kernel.dir}/${of}.${writer}`);
            assert.deepEqual(wrong, [], `round ${round}: files of round ${of}`);
            if (of === round) synced += text.match(/^\{"is"/gm)?.length ?? 0;
          }
        }
      }
      await run("e2fsck", ["-fn", image]);
    }
    console.log(`${synced} changes had been synced`);
    assert.ok(synced > rounds * 5, "too few to prove anything");
  });
}
