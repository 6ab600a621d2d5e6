/**
 * The promise of docs/crash_safety.md, by everything that a crash may leave on the medium of a file
 * system at work: whoever recovers it finds the tree as it was behind the last commit, or behind a
 * later step; nothing in between, and no content that was never in that file.
 *
 * CRASH_STATES is how many states each kind of file system is tried in, CRASH_SEED which ones.
 */

import assert from "node:assert/strict";
import type { JournalStatistics } from "../src/jbd2/journal_store.ts";
import { wrongAfterCrash } from "./support/crash_check.ts";
import { CrashFiles, openForWriting, readOnly, recoverHere } from "./support/crash_recover.ts";
import {
  type CrashEvent,
  CrashRecorder,
  type Fate,
  type Image,
  Media,
} from "./support/crash_recorder.ts";
import type { CrashTree } from "./support/crash_tree.ts";
import { CrashWorkload } from "./support/crash_workload.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

interface Config {
  readonly mke2fs: string;
  readonly megabytes?: number;
  /** Blocks of a journal on another device. */
  readonly externalJournal?: number;
  /** Memory for metadata, where it is to be short. */
  readonly cacheBytes?: number;
  /** What e2fsck has to mend after it has recovered the file system. */
  readonly alsoMended?: RegExp;
  /** The kernel here has not all of its features. */
  readonly kernelLacks?: boolean;
}

const CONFIGS: Readonly<Record<string, Config>> = {
  "ext3": { mke2fs: "-t ext3 -b 1024 -J size=1" },
  "ext4, blocks of 1 KiB": { mke2fs: "-t ext4 -b 1024 -O 64bit,metadata_csum -J size=1" },
  "ext4, blocks of 4 KiB": { mke2fs: "-t ext4 -b 4096 -J size=4", megabytes: 16 },
  "32 bits, no checksums": { mke2fs: "-t ext4 -b 1024 -O ^64bit,^metadata_csum -J size=1" },
  "64 bits, no checksums": { mke2fs: "-t ext4 -b 2048 -O 64bit,^metadata_csum -J size=2" },
  "orphan_file": { mke2fs: "-t ext4 -b 1024 -O orphan_file -J size=1" },
  "inline_data": {
    mke2fs: "-t ext4 -b 1024 -O inline_data -J size=1",
    // When e2fsck deletes an orphan with inline data, it forgets the block of its attributes.
    alsoMended: /^(Block bitmap differences: |Fix\? yes$|Free blocks count wrong )/,
  },
  "bigalloc": { mke2fs: "-t ext4 -b 1024 -O bigalloc -C 4096 -J size=1", megabytes: 16 },
  "no dir_index": { mke2fs: "-t ext4 -b 1024 -O ^dir_index -J size=1" },
  "external journal": { mke2fs: "-t ext4 -b 1024", externalJournal: 1100 },
  "fast_commit": { mke2fs: "-t ext4 -b 1024 -O fast_commit -J size=2" },
  "ea_inode, a small cache": {
    mke2fs: "-t ext4 -b 1024 -O ea_inode -J size=1",
    cacheBytes: 40 * 1024,
  },
  "quota": { mke2fs: "-t ext4 -b 1024 -O quota,project -J size=1", kernelLacks: true },
};

const SEED = Number(Deno.env.get("CRASH_SEED") ?? 1);
const WANTED = Number(Deno.env.get("CRASH_STATES") ?? 80);
/** One state of so many is recovered in each of the other ways, too. */
const ONE_IN = 7;

/** The same image each time. */
const UUID = "00000000-0000-4000-8000-000000000001";
const REPRODUCIBLE = ["-U", UUID, "-E", `hash_seed=${UUID}`];

/** Files to begin with, of which mke2fs is the author. */
function makeContent(folder: TempDir): string {
  const content = folder.mkdir("content");
  const random = new Random(1);
  for (const size of [0, 10, 100, 3000, 40_000]) {
    Deno.writeFileSync(`${content}/of ${size}`, random.bytes(size));
    Deno.chmodSync(`${content}/of ${size}`, 0o644);
  }
  Deno.mkdirSync(`${content}/folder`);
  Deno.writeFileSync(`${content}/folder/file`, random.bytes(2000), { mode: 0o600 });
  return content;
}

/** Prepares images: of the file system, and of its journal, if that is apart. */
async function makeImages(
  { mke2fs, megabytes = 8, externalJournal }: Config,
  folder: TempDir,
): Promise<Image[]> {
  const path = folder.join("image");
  const args = ["-q", "-F", ...mke2fs.split(" "), ...REPRODUCIBLE, "-d", makeContent(folder)];
  if (externalJournal === undefined) {
    await run("mke2fs", [...args, path, `${megabytes}M`]);
    // mke2fs does not count in the quotas what it copies.
    if (mke2fs.includes("quota")) await run("e2fsck", ["-fy", path], { codes: [0, 1] });
    return [Deno.readFileSync(path)];
  }
  const log = folder.join("log");
  await run("mke2fs", ["-q", "-F", "-b", "1024", "-O", "journal_dev", log, `${externalJournal}`]);
  const { stdout } = await run("losetup", ["--find", "--show", log]);
  const device = stdout.trim();
  try {
    await run("mke2fs", [...args, "-J", `device=${device}`, path, `${megabytes}M`]);
  } finally {
    await run("losetup", ["-d", device]);
  }
  return [Deno.readFileSync(path), Deno.readFileSync(log)];
}

interface Recording {
  readonly recorder: CrashRecorder;
  readonly work: CrashWorkload;
  readonly statistics: JournalStatistics;
  /** Events of the start of the mount, and those before the part that is looked at. */
  readonly startEnd: number;
  readonly partStart: number;
}

/** How much of the ring is used before the part that is looked at, in which it is gone around. */
const BEFORE = 0.85;

/** A mount from its start to its end. */
function record(images: readonly Image[], { cacheBytes }: Config, seed: number): Recording {
  const recorder = new CrashRecorder(...images);
  const fs = openForWriting(recorder.devices, { cacheBytes });
  const { statistics, maxBlocks } = fs.writing.parts.journal!;
  const startEnd = recorder.events.length;
  const work = new CrashWorkload(fs, {
    seed,
    hasExtents: fs.superblock.features.has("extent"),
    events: () => recorder.events.length,
  });
  const random = new Random(seed + 1000);
  const round = () => {
    for (let left = random.below(20); left >= 0; left--) work.step();
    if (random.oneIn(6)) work.burst();
    if (random.oneIn(20)) work.writeBack();
    else work.commit();
  };
  // A transaction may fill a quarter of the ring.
  while (statistics.logBlocks < BEFORE * 4 * maxBlocks) round();
  const partStart = recorder.events.length;
  while (flushesIn(recorder.events.slice(partStart)) < WANTED / 3) round();
  work.verify();
  fs.stopWriting();
  return { recorder, work, statistics, startEnd, partStart };
}

function flushesIn(events: readonly CrashEvent[]): number {
  return events.filter(({ kind }) => kind === "flush").length;
}

/** Points of a record and what becomes of unflushed writes there: three for each flush. */
function* crashes(
  { recorder: { events }, startEnd, partStart }: Recording,
  random: Random,
): Generator<[number, Fate]> {
  let start = 0;
  for (const [index, { kind }] of events.entries()) {
    if (kind !== "flush" || (index >= startEnd && index < partStart)) continue;
    const inside = start + random.below(index - start + 1);
    yield [inside, random.pick(["all", "some", "torn", "scattered"])];
    // The writes are there, and the flush may have begun.
    if (inside !== index) yield [index, random.pick(["some", "torn", "scattered"])];
    yield [index + 1, "none"];
    start = index + 1;
  }
}

let total = 0;

for (const [index, [name, config]] of Object.entries(CONFIGS).entries()) {
  const seed = 100 * SEED + index;
  Deno.test(`crash states: ${name}`, async () => {
    if (!requires("root", "loop", "e2fsprogs")) return;
    using folder = new TempDir(TempDir.MEMORY);
    const recording = record(await makeImages(config, folder), config, seed);
    const { recorder, work, statistics } = recording;
    const media = new Media(recorder.before, recorder.events);
    const files = new CrashFiles(folder, recorder.before);
    const random = new Random(seed);
    const counts = { states: 0, "by e2fsck": 0, "by the kernel": 0 };
    for (const [events, fate] of crashes(recording, random)) {
      media.goTo(events);
      const images = media.crash(fate, random);
      const what =
        `crash at ${events} of ${recorder.events.length}, ${fate} of ${media.pending} writes`;
      const check = (by: string, tree: CrashTree) =>
        assert.equal(wrongAfterCrash(work, events, tree), undefined, `${what}, recovered by ${by}`);

      const crashed = images.map((image) => image.slice());
      check("fuse4fs", recoverHere(images));
      files.write(images);
      await files.requireClean();
      counts.states++;

      const others = random.below(ONE_IN);
      if (others === 0) check("fuse4fs, in memory", readOnly(crashed));
      if (others === 1) {
        files.write(crashed);
        const mended = await files.recoverByE2fsck();
        assert.deepEqual(mended.filter((line) => !config.alsoMended?.test(line)), [], what);
        await files.requireClean();
        check("e2fsck", files.tree());
        counts["by e2fsck"]++;
      }
      if (others === 2 && !config.kernelLacks) {
        files.write(crashed);
        await files.recoverByKernel();
        await files.requireClean();
        check("the kernel", files.tree());
        counts["by the kernel"]++;
      }
    }
    const { commits, writeBacks, logBlocks, revokes } = statistics;
    console.log(
      `${counts.states} states (${counts["by e2fsck"]} also by e2fsck, ` +
        `${
          counts["by the kernel"]
        } by the kernel), ${work.steps.length} steps, ${commits} commits ` +
        `of ${logBlocks} blocks with ${revokes} revokes, ${writeBacks} times written back`,
    );
    total += counts.states;
  });
}

Deno.test("crash states: all together", () => {
  console.log(`${total} crash states in all`);
});

/** The name of the folder was lost, as the folder above it was being changed. */
function isSaved(place: string, path: string): boolean {
  return place.replace(/^\/lost\+found\/#\d+\//, "/kept/") === path;
}

/** Without a journal, e2fsck mends, and a file that nothing was done to since it was synced is whole. */
for (const mke2fs of ["-t ext2 -b 1024", "-t ext4 -b 1024 -O ^has_journal"]) {
  Deno.test(`crash states without a journal: ${mke2fs}`, async () => {
    if (!requires("e2fsprogs")) return;
    using folder = new TempDir(TempDir.MEMORY);
    const recorder = new CrashRecorder(...await makeImages({ mke2fs }, folder));
    const fs = openForWriting(recorder.devices);
    const work = new CrashWorkload(fs, {
      seed: SEED,
      hasExtents: fs.superblock.features.has("extent"),
      events: () => recorder.events.length,
    });
    const kept = work.keepUntouched();
    const start = recorder.events.length;
    while (flushesIn(recorder.events) < WANTED / 2) {
      for (let count = 0; count < 8; count++) work.step();
      work.commit();
    }
    const random = new Random(SEED);
    const media = new Media(recorder.before, recorder.events);
    const files = new CrashFiles(folder, recorder.before);
    let states = 0;
    for (let events = start; events <= recorder.events.length; events += 3) {
      media.goTo(events);
      files.write(media.crash(random.pick(["some", "torn", "scattered"]), random));
      await files.repairByE2fsck();
      await files.requireClean();
      const tree = files.tree();
      for (const [path, content] of kept) {
        const found = [...tree].find(([place]) => place === path || isSaved(place, path));
        assert.deepEqual(found?.[1].content, content, `${path} after a crash at ${events}`);
      }
      states++;
    }
    console.log(`${states} states`);
  });
}
