/**
 * Names that come and go, on file systems of many kinds: against a model, e2fsck and the kernel.
 */

import assert from "node:assert/strict";
import { EXT4_CASEFOLD_FL } from "../src/disk/inode.ts";
import { makeDirectory } from "../src/ext4/directory/namespace.ts";
import { S_IFDIR, S_IFLNK } from "../src/sys/stat.ts";
import { complaintsAfter, openForWriting, setFlag } from "./support/allocation.ts";
import { debugfs } from "./support/images.ts";
import { mountKernel } from "./support/mount.ts";
import { NamespaceModel } from "./support/namespace_model.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";
import { describeTree } from "./support/tree.ts";

interface Layout {
  readonly mke2fs: string;
  readonly tune2fs?: string;
  readonly debugfs?: readonly string[];
  readonly megabytes?: number;
  readonly longestName?: number;
  readonly casefold?: boolean;
  /** The kernel at hand cannot mount it. */
  readonly isForeign?: boolean;
}

const UNSIGNED_HASH = ["ssv flags 2"];

const LAYOUTS: Readonly<Record<string, Layout>> = {
  "ext2-1k": { mke2fs: "-t ext2 -b 1024" },
  "ext2-linear": { mke2fs: "-t ext2 -b 1024 -O ^dir_index,^filetype" },
  "ext2-revision0": { mke2fs: "-t ext2 -r 0 -O none -b 1024" },
  "ext3-2k": { mke2fs: "-t ext3 -b 2048 -J size=4" },
  "ext4-1k": { mke2fs: "-t ext4 -b 1024" },
  "ext4-2k": { mke2fs: "-t ext4 -b 2048" },
  "ext4-4k": { mke2fs: "-t ext4 -b 4096" },
  "ext4-linear": { mke2fs: "-t ext4 -b 1024 -O ^dir_index" },
  "ext4-no-filetype": { mke2fs: "-t ext4 -b 1024 -O ^filetype" },
  "ext4-no-checksums": { mke2fs: "-t ext4 -b 1024 -O ^metadata_csum,^dir_nlink" },
  "ext4-no-extent": { mke2fs: "-t ext4 -b 1024 -O ^extent,^64bit" },
  "ext4-no-journal": { mke2fs: "-t ext4 -b 1024 -O ^has_journal" },
  "ext4-inode128": { mke2fs: "-t ext4 -b 1024 -I 128" },
  "ext4-large-dir": { mke2fs: "-t ext4 -b 1024 -O large_dir" },
  "ext4-bigalloc": { mke2fs: "-t ext4 -b 1024 -O bigalloc -C 8192", megabytes: 200 },
  "ext4-orphan-file": { mke2fs: "-t ext4 -b 1024 -O orphan_file" },
  "ext4-inline": { mke2fs: "-t ext4 -b 1024 -O inline_data", longestName: 40 },
  "ext4-inline-inode1024": { mke2fs: "-t ext4 -b 1024 -O inline_data -I 1024", longestName: 80 },
  "ext4-inline-no-checksums": {
    mke2fs: "-t ext4 -b 4096 -O inline_data,^metadata_csum,^filetype,^dir_index -I 512",
    longestName: 30,
  },
  "ext4-project": { mke2fs: "-t ext4 -b 1024 -O project,quota", isForeign: true },
  "ext4-64k": { mke2fs: "-t ext4 -b 65536 -O ^has_journal", megabytes: 300, isForeign: true },
  "ext4-casefold": {
    mke2fs: "-t ext4 -b 1024 -O casefold -E encoding=utf8",
    casefold: true,
    isForeign: true,
  },
  "ext4-casefold-inline": {
    mke2fs: "-t ext4 -b 1024 -O casefold,inline_data -E encoding=utf8",
    longestName: 40,
    casefold: true,
    isForeign: true,
  },
  "hash-legacy": { mke2fs: "-t ext4 -b 1024", tune2fs: "-E hash_alg=legacy" },
  "hash-legacy-unsigned": {
    mke2fs: "-t ext4 -b 1024",
    tune2fs: "-E hash_alg=legacy",
    debugfs: UNSIGNED_HASH,
  },
  "hash-tea": { mke2fs: "-t ext4 -b 1024", tune2fs: "-E hash_alg=tea" },
  "hash-tea-unsigned": {
    mke2fs: "-t ext4 -b 2048",
    tune2fs: "-E hash_alg=tea",
    debugfs: UNSIGNED_HASH,
  },
  "hash-half-md4-unsigned": { mke2fs: "-t ext4 -b 1024", debugfs: UNSIGNED_HASH },
};

async function makeImage(layout: Layout, folder: TempDir): Promise<string> {
  const image = folder.join("image");
  const size = `${layout.megabytes ?? 60}M`;
  await run("mke2fs", ["-q", "-F", ...layout.mke2fs.split(" "), "-N", "6000", image, size]);
  if (layout.tune2fs !== undefined) await run("tune2fs", [...layout.tune2fs.split(" "), image]);
  await debugfs(image, layout.debugfs);
  return image;
}

for (const [name, layout] of Object.entries(LAYOUTS)) {
  Deno.test(`names come and go as in a model: ${name}`, async () => {
    if (!requires("root", "loop", "e2fsprogs", "gcc")) return;
    using folder = new TempDir();
    const image = await makeImage(layout, folder);
    const random = new Random(20261001 + name.length);
    using opened = openForWriting(image);
    const { fs } = opened;
    const owned = { mode: S_IFDIR | 0o755, umask: 0, uid: 0, gid: 0 };
    const root = makeDirectory(fs, fs.root, new TextEncoder().encode("top"), owned);
    if (layout.casefold) setFlag(fs, root, EXT4_CASEFOLD_FL);
    const model = new NamespaceModel(fs, root, random, {
      names: 1500,
      longestName: layout.longestName ?? 255,
      casefold: layout.casefold,
    });
    for (let round = 0; round < 4; round++) {
      model.run(700);
      model.verify();
      if (round === 1) fs.writing.transactions.writeBack();
    }
    assert.equal(await complaintsAfter(fs, image), "");
    assert.deepEqual(opened.complaints, []);
    if (!layout.isForeign) await compareWithKernel(image, folder, model);
  });
}

/** The kernel sees the names, types, inodes and link counts of the model. */
async function compareWithKernel(
  image: string,
  folder: TempDir,
  model: NamespaceModel,
): Promise<void> {
  await using mounted = await mountKernel(image, folder.mkdir("kernel"), "ro");
  const tree = await describeTree(`${mounted.dir}/top`);
  const expected = new Map<string, string>();
  for (const [path, file] of model.paths()) {
    const size = file.type === S_IFLNK ? file.target!.length : "";
    expected.set(escaped(path), `${file.ino} ${file.links} ${size}`);
  }
  const seen = new Map<string, string>();
  for (const [path, facts] of tree) {
    if (path === "%" || path === "") continue;
    const size = facts.get("type") === "l" ? facts.get("size") : "";
    seen.set(path, `${facts.get("ino")} ${facts.get("nlink")} ${size}`);
  }
  assert.deepEqual(seen, expected);
}

/** As tree.c writes paths. */
function escaped(path: string): string {
  return path.replace(
    /[^!-$&-~]/g,
    (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
}
