/**
 * A crash while an earlier crash is being recovered from: whoever recovers in the end finds what the
 * first recovery would have found.
 *
 * CRASH_STATES is how many first crashes each kind of file system is tried with, CRASH_SEED which ones.
 */

import assert from "node:assert/strict";
import { CrashFiles, openForWriting, recoverHere } from "./support/crash_recover.ts";
import { CrashRecorder, type Fate, type Image, Media } from "./support/crash_recorder.ts";
import { differences } from "./support/crash_tree.ts";
import { CrashWorkload } from "./support/crash_workload.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const CONFIGS: Readonly<Record<string, string>> = {
  "ext3": "-t ext3 -b 1024 -J size=1",
  "ext4": "-t ext4 -b 1024 -J size=1",
  "ext4, blocks of 4 KiB, orphan_file": "-t ext4 -b 4096 -J size=4 -O orphan_file",
  "quota, inline_data": "-t ext4 -b 1024 -J size=1 -O quota,inline_data",
  "bigalloc": "-t ext4 -b 1024 -O bigalloc -C 4096 -J size=1",
};

const SEED = Number(Deno.env.get("CRASH_SEED") ?? 1);
const FIRST_CRASHES = Number(Deno.env.get("CRASH_STATES") ?? 6);
/** Crashes in each of the recoveries. */
const SECOND_CRASHES = 12;
const FATES: readonly Fate[] = ["all", "none", "some", "torn", "scattered"];

/** Images that crashes in the middle of random work leave. */
function crashedImages(image: Image, seed: number): Image[] {
  const recorder = new CrashRecorder(image);
  const fs = openForWriting(recorder.devices);
  const work = new CrashWorkload(fs, {
    seed,
    hasExtents: fs.superblock.features.has("extent"),
    events: () => recorder.events.length,
  });
  const random = new Random(seed);
  const rounds = 12 * FIRST_CRASHES;
  for (let round = 0; round < rounds; round++) {
    for (let left = random.below(12); left >= 0; left--) work.step();
    if (random.oneIn(6)) work.burst();
    work.commit();
  }
  const media = new Media(recorder.before, recorder.events);
  const images: Image[] = [];
  for (let count = 1; count <= FIRST_CRASHES; count++) {
    media.goTo(Math.floor(count * recorder.events.length / FIRST_CRASHES));
    images.push(media.crash(random.pick(FATES), random)[0]);
  }
  return images;
}

for (const [index, [name, mke2fs]] of Object.entries(CONFIGS).entries()) {
  const seed = 100 * SEED + index;
  Deno.test(`crash in the middle of a recovery: ${name}`, async () => {
    if (!requires("e2fsprogs")) return;
    using folder = new TempDir(TempDir.MEMORY);
    const path = folder.join("image");
    await run("mke2fs", ["-q", "-F", ...mke2fs.split(" "), path, "16M"]);
    if (mke2fs.includes("quota")) await run("e2fsck", ["-fy", path], { codes: [0, 1] });
    const files = new CrashFiles(folder, [Deno.readFileSync(path)]);
    const random = new Random(seed);
    let states = 0;
    for (const crashed of crashedImages(Deno.readFileSync(path), seed)) {
      const expected = recoverHere([crashed.slice()]);
      const recorder = new CrashRecorder(crashed);
      const fs = openForWriting(recorder.devices);
      fs.stopWriting();
      const { length } = recorder.events;
      const media = new Media(recorder.before, recorder.events);
      const points = Array.from({ length: SECOND_CRASHES }, () => random.below(length + 1));
      for (const point of points.sort((a, b) => a - b)) {
        media.goTo(point);
        const fate = random.pick(FATES);
        const images = media.crash(fate, random);
        const what = `crash at ${point} of ${length}, ${fate} of ${media.pending} writes`;
        if (random.oneIn(4)) {
          files.write(images);
          await files.recoverByE2fsck();
          await files.requireClean();
          assert.deepEqual(differences(expected, files.tree()), [], `${what}, by e2fsck`);
        }
        assert.deepEqual(differences(expected, recoverHere(images)), [], what);
        files.write(images);
        await files.requireClean();
        states++;
      }
    }
    console.log(`${states} states`);
  });
}
