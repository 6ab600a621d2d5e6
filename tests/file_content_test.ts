/**
 * Writing, cutting, fallocate and copying, in random order, against bytes in memory; what is on the
 * disk afterwards, against e2fsck, debugfs, and the
 * kernel.
 */

import assert from "node:assert/strict";
import { complaintsAfter, makeLayout, openForWriting } from "./support/allocation.ts";
import { ContentTrial, equal, FileModel } from "./support/file_model.ts";
import { mountKernel } from "./support/mount.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const STEPS = Number(Deno.env.get("CONTENT_STEPS") ?? 300);
const SEEDS = Number(Deno.env.get("CONTENT_SEEDS") ?? 2);

const NAMES = [
  "ext2-1k",
  "ext2-revision0",
  "ext3-2k",
  "ext4-1k",
  "ext4-4k",
  "ext4-64k",
  "ext4-no-extent",
  "ext4-no-checksums",
  "ext4-inode128",
  "ext4-bigalloc-1k",
  "ext4-bigalloc-4k",
  "ext4-inline",
];

for (const name of NAMES) {
  for (let seed = 1; seed <= SEEDS; seed++) {
    Deno.test(`content of files, changed at random: ${name}, seed ${seed}`, async () => {
      if (!requires("e2fsprogs")) return;
      using folder = new TempDir();
      const image = await makeLayout(name, folder);
      const files = ["first", "second"].map((file) =>
        new FileModel(file, new TextEncoder().encode(file))
      );
      const random = new Random(seed);
      for (let round = 0; round < 2; round++) {
        using opened = openForWriting(image);
        const { fs, complaints } = opened;
        const trial = new ContentTrial(fs, random, files);
        for (let step = 0; step < STEPS; step++) trial.step();
        trial.checkAll();
        if (Deno.env.has("CONTENT_COUNTS")) console.log(trial.counts);
        assert.equal(await complaintsAfter(fs, image), "");
        assert.deepEqual(complaints, []);
      }
      for (const { name: file, content } of files) {
        const copy = folder.join(file);
        await run("debugfs", ["-R", `dump /${file} ${copy}`, image]);
        assert(equal(Deno.readFileSync(copy), content), `${file}, read by debugfs`);
      }
      if (name.endsWith("64k") || !requires("root", "loop")) return;
      const dir = folder.mkdir("mnt");
      await using _mount = await mountKernel(image, dir, "ro");
      for (const { name: file, content } of files) {
        assert(equal(Deno.readFileSync(`${dir}/${file}`), content), `${file}, read by the kernel`);
      }
    });
  }
}
