/**
 * File systems to be damaged and then written to: those of the reading fuzz test, and what only
 * writing uses: journals, quotas, orphans, multiple mount protection, with checksums everywhere.
 */

import { fill, makeFilled, makeFuzzImages } from "./fuzz_images.ts";
import { debugfs } from "./images.ts";
import { run, TempDir } from "./run.ts";

interface WritableBase {
  readonly mke2fs: string;
  readonly kilobytes: number;
  readonly debugfs?: readonly string[];
  readonly indexed?: boolean;
}

/** Room for what is written, in KiB. */
const SPARE = 2048;

/** As a crash leaves them: a list of orphans, with and without links. */
const ORPHANS = [
  "sif /data links_count 0",
  "sif /sparse links_count 0",
  "sif /data dtime 0",
  "sif /sparse dtime 12",
];

const BASES: Record<string, WritableBase> = {
  "all-checksums": {
    mke2fs: "-t ext4 -b 1024 -O metadata_csum,64bit,quota,project -J size=1",
    kilobytes: 4096,
    indexed: true,
  },
  "checksums-4k": { mke2fs: "-t ext4 -b 4096 -O metadata_csum -J size=4", kilobytes: 12288 },
  "checksums-inline": {
    mke2fs: "-t ext4 -b 1024 -I 512 -O metadata_csum,inline_data -J size=1",
    kilobytes: 3072,
    indexed: true,
  },
  "checksums-ea-inode": {
    mke2fs: "-t ext4 -b 1024 -O metadata_csum,ea_inode,^has_journal",
    kilobytes: 2048,
  },
  "checksums-bigalloc": {
    mke2fs: "-t ext4 -b 1024 -O metadata_csum,bigalloc -C 4096 -J size=4",
    kilobytes: 10240,
    indexed: true,
  },
  "checksums-casefold": {
    mke2fs: "-t ext4 -b 1024 -O metadata_csum,casefold,^has_journal -E encoding=utf8",
    kilobytes: 2048,
    debugfs: ["sif /names flags 0x40080000"],
    indexed: true,
  },
  "checksums-orphan-file": {
    mke2fs: "-t ext4 -b 1024 -O metadata_csum,orphan_file,quota -J size=1",
    kilobytes: 4096,
  },
  "groups": {
    mke2fs: "-t ext4 -b 1024 -g 256 -N 256 -O metadata_csum,^resize_inode,^has_journal",
    kilobytes: 2048,
  },
  "mmp": { mke2fs: "-t ext4 -b 1024 -O metadata_csum,mmp -J size=1", kilobytes: 3072 },
  "ext3": { mke2fs: "-t ext3 -b 1024 -J size=1", kilobytes: 3072, indexed: true },
  "fast-commit": {
    mke2fs: "-t ext4 -b 1024 -O fast_commit -J size=2,fast_commit_size=256",
    kilobytes: 8192,
  },
  "orphans": {
    mke2fs: "-t ext4 -b 1024 -O ^metadata_csum,^has_journal",
    kilobytes: 2048,
    debugfs: ORPHANS,
  },
};

/** Makes the images in a folder; gives their paths by name. */
export async function makeHostileImages(folder: string): Promise<Map<string, string>> {
  const images = await makeFuzzImages(folder, SPARE);
  using source = new TempDir();
  fill(source.path);
  for (const [name, base] of Object.entries(BASES)) {
    const image = `${folder}/${name}.img`;
    await makeFilled(image, source.path, base.mke2fs, base.kilobytes + SPARE);
    if (base.debugfs !== undefined) await debugfs(image, base.debugfs);
    // 1: directories were indexed, or quotas counted.
    if (base.indexed || base.mke2fs.includes("quota")) {
      await run("e2fsck", [base.indexed ? "-fyD" : "-fy", image], { codes: [0, 1] });
    }
    images.set(name, image);
  }
  return images;
}
