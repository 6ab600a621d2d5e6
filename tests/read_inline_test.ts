/** Inline data that no kernel writes, but that the kernel reads. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { pattern, writeFile } from "./support/populate_data.ts";
import { mountFuse4fs, mountKernel } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

/**
 * mke2fs -d takes the inline data of a file that is one hole for all of its content. (SEEK_DATA
 * fails with ENOENT on those in the kernel, so that they are not compared by tree.c.)
 */
Deno.test("mount: inline files that are larger than their room end in zeros", async () => {
  if (!requires("root", "loop", "fuse", "e2fsprogs", "executable")) return;
  using folder = new TempDir();
  const source = folder.mkdir("source");
  for (const size of [1, 61, 4096, 1_000_003]) {
    using file = Deno.openSync(`${source}/hole-${size}`, { write: true, create: true });
    file.truncateSync(size);
  }
  for (const size of [60, 100, 150, 200]) writeFile(`${source}/data-${size}`, pattern(size, size));
  const image = folder.join("image");
  const options = ["-O", "inline_data,^has_journal", "-d", source];
  await run("mke2fs", ["-q", "-F", "-t", "ext4", ...options, image, "8M"]);
  await using kernel = await mountKernel(image, folder.mkdir("kernel"), "ro");
  await using mount = await mountFuse4fs(image, folder.mkdir("mount"), "ro");
  const facts = (root: string) =>
    [...Deno.readDirSync(root)].filter(({ isFile }) => isFile).map(({ name }) => {
      const { size, blocks } = Deno.lstatSync(`${root}/${name}`);
      const content = createHash("sha1").update(Deno.readFileSync(`${root}/${name}`)).digest("hex");
      return { name, size, blocks, content };
    }).sort((a, b) => a.name < b.name ? -1 : 1);
  const expected = facts(kernel.dir);
  assert.equal(expected.length, 8);
  assert.deepEqual(facts(mount.dir), expected);
});
