/**
 * Content of files that is changed in every way there is, and compared with what it should be all
 * the time (support/file_exerciser.c); in the end by the kernel's ext4 as well.
 *
 *     deno task test tests/fsx_test.ts             a few thousand operations
 *     FSX=full deno task test tests/fsx_test.ts    126,000
 */

import assert from "node:assert/strict";
import { mountKernel } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { compileC, run, TempDir } from "./support/run.ts";
import { mountSubject, SUBJECT_IS_KERNEL } from "./support/subject.ts";

const COUNT = Number(Deno.env.get("FSX_COUNT") ?? (Deno.env.get("FSX") === "full" ? 14_000 : 1000));
const SEED = Number(Deno.env.get("FSX_SEED") ?? 1);

interface Kind {
  readonly blockSize: number;
  readonly mke2fs: string;
  /** Of the mount. */
  readonly options?: string;
  /** Files that are mapped by pointers cannot have allocated blocks that are not written yet. */
  readonly hasPointers?: boolean;
}

const KINDS: Record<string, Kind> = {
  "ext4": { blockSize: 4096, mke2fs: "-t ext4" },
  "ext4, blocks of 1 KiB": { blockSize: 1024, mke2fs: "-t ext4" },
  "ext4, O_DIRECT": { blockSize: 4096, mke2fs: "-t ext4", options: "direct" },
  "ext4, blocks of 2 KiB, O_DIRECT": { blockSize: 2048, mke2fs: "-t ext4", options: "direct" },
  "inline data": { blockSize: 1024, mke2fs: "-t ext4 -O inline_data -I 512" },
  "bigalloc": { blockSize: 1024, mke2fs: "-t ext4 -O bigalloc -C 8192" },
  "bigalloc, blocks of 4 KiB": { blockSize: 4096, mke2fs: "-t ext4 -O bigalloc -C 16384" },
  "ext3": { blockSize: 4096, mke2fs: "-t ext3", hasPointers: true },
  "ext2, blocks of 1 KiB": { blockSize: 1024, mke2fs: "-t ext2", hasPointers: true },
};

/** What is not to be had: the kernel does not let FUSE servers have the first two. */
function missing({ hasPointers }: Kind): string {
  const without = [
    ...(hasPointers ? ["allocate", "zero"] : []),
    ...(hasPointers || !SUBJECT_IS_KERNEL ? ["collapse", "insert"] : []),
  ];
  return without.map((name) => `${name} `).join("");
}

for (const [name, kind] of Object.entries(KINDS)) {
  Deno.test(`content: ${COUNT} random changes on ${name}`, async () => {
    if (!requires("root", "loop", "fuse", "executable", "e2fsprogs", "gcc")) return;
    using folder = new TempDir();
    const [image, dir, copies] = [
      folder.join("image"),
      folder.mkdir("mnt"),
      folder.mkdir("copies"),
    ];
    const { blockSize, mke2fs, options } = kind;
    await run("mke2fs", ["-q", "-F", "-b", `${blockSize}`, ...mke2fs.split(" "), image, "64M"]);
    const grain = blockSize * (mke2fs.includes("bigalloc") ? clusterBlocks(kind) : 1);
    {
      await using mount = await mountSubject(image, dir, options);
      const args = [mount.dir, `${SEED}`, `${COUNT}`, `${grain}`, copies];
      const { stdout } = await run(await compileC("file_exerciser"), args);
      const [, absent] = stdout.split("\n");
      assert.equal(absent, missing(kind));
    }
    await run("e2fsck", ["-f", "-n", image]);
    await using kernel = await mountKernel(image, dir, "ro");
    for (const file of ["0", "1"]) {
      assert.deepEqual(
        Deno.readFileSync(`${kernel.dir}/${file}`),
        Deno.readFileSync(`${copies}/${file}`),
      );
    }
  });
}

/** Ranges are collapsed and inserted by clusters. */
function clusterBlocks({ mke2fs, blockSize }: Kind): number {
  return Number(/-C (\d+)/.exec(mke2fs)![1]) / blockSize;
}
