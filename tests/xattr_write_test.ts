/** Extended attributes written, compared with a model, the kernel's ext4 and e2fsck. */

import assert from "node:assert/strict";
import { complaintsAfter, openForWriting } from "./support/allocation.ts";
import { mountKernel } from "./support/mount.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";
import {
  normalized,
  randomSteps,
  stepInModel,
  stepOnFileSystem,
  stepOnMount,
  type XattrModel,
  type XattrRanges,
  xattrsOnFileSystem,
  xattrsOnMount,
} from "./support/xattr_steps.ts";

interface Layout extends XattrRanges {
  readonly mke2fs: string;
  readonly steps: number;
}

const LAYOUTS: Readonly<Record<string, Layout>> = {
  "ext2, 128": { mke2fs: "-t ext2 -b 1024 -I 128", blockSize: 1024, large: false, steps: 500 },
  "ext3, 256": { mke2fs: "-t ext3 -b 1024 -I 256", blockSize: 1024, large: false, steps: 500 },
  "no checksums": {
    mke2fs: "-t ext4 -b 2048 -I 512 -O ^metadata_csum,^64bit",
    blockSize: 2048,
    large: false,
    steps: 500,
  },
  "checksums": { mke2fs: "-t ext4 -b 4096 -I 256", blockSize: 4096, large: false, steps: 800 },
  "large inodes": { mke2fs: "-t ext4 -b 4096 -I 1024", blockSize: 4096, large: false, steps: 500 },
  "inline data": {
    mke2fs: "-t ext4 -b 1024 -I 256 -O inline_data",
    blockSize: 1024,
    large: false,
    steps: 500,
  },
  "ea_inode": {
    mke2fs: "-t ext4 -b 1024 -O ea_inode -J size=32",
    blockSize: 1024,
    large: true,
    steps: 500,
  },
  "ea_inode, 4k, inline": {
    mke2fs: "-t ext4 -b 4096 -O ea_inode,inline_data -I 512 -J size=32",
    blockSize: 4096,
    large: true,
    steps: 500,
  },
  "ea_inode, no extents": {
    mke2fs: "-t ext4 -b 1024 -I 128 -O ea_inode,^extent,^64bit,^metadata_csum -J size=32",
    blockSize: 1024,
    large: true,
    steps: 500,
  },
  "bigalloc": {
    mke2fs: "-t ext4 -b 1024 -O bigalloc,ea_inode -C 8192 -J size=32",
    blockSize: 1024,
    large: true,
    steps: 500,
  },
};

/** Regular files, directories, links of this length, a pipe. Only the first two take `user.`. */
const FILES = ["f0", "f1", "f2", "f3", "f4", "f5", "f6", "d0", "d1", "s20", "s70", "p0"];

/**
 * e2fsck 1.47 does not count the attribute blocks of links with inline data, and takes the target of
 * a short link for block numbers when its attributes have values in inodes.
 */
function filesOf({ mke2fs }: Layout): readonly string[] {
  const withoutLong = mke2fs.includes("inline_data");
  const withoutShort = mke2fs.includes("ea_inode");
  return FILES.filter((file) =>
    !(withoutLong && file === "s70") && !(withoutShort && file === "s20")
  );
}

async function makeImage(folder: TempDir, layout: Layout): Promise<string> {
  const image = folder.join("image");
  const content = folder.mkdir("content");
  for (const [index, file] of filesOf(layout).entries()) {
    const path = `${content}/${file}`;
    if (file.startsWith("f")) Deno.writeTextFileSync(path, "x".repeat(index * 20));
    if (file.startsWith("d")) Deno.mkdirSync(path);
    if (file.startsWith("s")) Deno.symlinkSync("t".repeat(Number(file.slice(1))), path);
    if (file.startsWith("p")) await run("mkfifo", [path]);
  }
  await run("mke2fs", ["-q", "-F", ...layout.mke2fs.split(" "), "-d", content, image, "96M"]);
  return image;
}

for (const [name, layout] of Object.entries(LAYOUTS)) {
  Deno.test(`setXattr and removeXattr do what the kernel's ext4 does: ${name}`, async () => {
    if (!requires("root", "loop", "e2fsprogs")) return;
    using folder = new TempDir();
    const image = await makeImage(folder, layout);
    const files = filesOf(layout);
    const theirs = folder.join("theirs");
    const dir = folder.mkdir("mnt");
    const steps = randomSteps(new Random(name.length), files, layout.steps, layout);
    await Deno.copyFile(image, theirs);
    let expected: string[];
    {
      await using _mount = await mountKernel(theirs, dir, "user_xattr,acl");
      expected = steps.map((step) => stepOnMount(dir, step));
    }
    const model: XattrModel = new Map();
    {
      using opened = openForWriting(image);
      const { fs } = opened;
      for (const [index, step] of steps.entries()) {
        const words = `${index}: ${step.file} ${step.name} ${step.value?.length} ${step.flags}`;
        assert.equal(stepOnFileSystem(fs, step), expected[index], words);
        if (expected[index] === "") stepInModel(model, step);
        if (index % 50 === 0) fs.writing.transactions.commit();
      }
      assert.deepEqual(xattrsOnFileSystem(fs, files), normalized(model));
      assert.equal(await complaintsAfter(fs, image), "");
      assert.deepEqual(opened.complaints, []);
    }
    await using _mount = await mountKernel(image, dir, "ro");
    assert.deepEqual(xattrsOnMount(dir, files), normalized(model));
    for (const file of files) {
      assert.equal(await blocksOf(image, file), await blocksOf(theirs, file), file);
      if (!file.startsWith("s")) continue;
      assert.equal(Deno.readLinkSync(`${dir}/${file}`).length, Number(file.slice(1)));
    }
  });
}

async function blocksOf(image: string, file: string): Promise<string> {
  const { stdout } = await run("debugfs", ["-R", `stat /${file}`, image]);
  return /Blockcount: \d+/.exec(stdout)![0];
}
