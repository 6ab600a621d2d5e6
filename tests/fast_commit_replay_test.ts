/**
 * What is in fast commits only is shown by a read-only mount, which leaves the image alone, and is
 * made last by a writable one, whatever may happen meanwhile.
 *
 * Where the kernel's own replay goes wrong (directories that were made or removed have the wrong
 * links, blocks of attributes are not counted, a file that was deleted while open ends the mount),
 * what the mount showed before the crash is the oracle.
 */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { MemoryDevice } from "../src/block/memory_device.ts";
import { OverlayDevice } from "../src/block/overlay_device.ts";
import { readDirectory } from "../src/ext4/directory/directory.ts";
import { isDotName } from "../src/ext4/directory/directory_block.ts";
import { replayFastCommits } from "../src/ext4/recovery/fast_commit_replay.ts";
import { readBytes } from "../src/ext4/content/read.ts";
import { FileSystem } from "../src/ext4/filesystem.ts";
import { Inode } from "../src/ext4/inode/inode.ts";
import { namedInode } from "../src/ext4/directory/lookup.ts";
import { openWritableJournal } from "../src/ext4/recovery/recovery.ts";
import type { WriteOptions } from "../src/ext4/writing.ts";
import { type FastCommitOperation, scanFastCommits } from "../src/jbd2/fast_commit.ts";
import { deviceTarget, recover } from "../src/jbd2/recovery.ts";
import { FsError } from "../src/sys/fs_error.ts";
import { SILENT } from "../src/sys/log.ts";
import {
  countRecords,
  type FastCommitConfig,
  type FastCommitImage,
  makeFastCommitImage,
  prepareOneOfEach,
  syncAll,
  workByChance,
  workOneOfEach,
  writeSynced,
} from "./support/fast_commits.ts";
import { mountFuse4fs, mountKernel } from "./support/mount.ts";
import { Random } from "./support/random.ts";
import { RecordingDevice } from "./support/recording_device.ts";
import { requires } from "./support/requirements.ts";
import { digestOf, run, TempDir } from "./support/run.ts";
import { compareTrees, describeTree, type Facts, type Tree } from "./support/tree.ts";

const CONFIGS: readonly FastCommitConfig[] = [
  { name: "blocks of 1 KiB", mke2fs: ["-t", "ext4", "-b", "1024"] },
  { name: "blocks of 4 KiB", mke2fs: ["-t", "ext4", "-b", "4096"] },
  { name: "no checksums", mke2fs: ["-t", "ext4", "-O", "^metadata_csum,^64bit", "-I", "128"] },
  { name: "bigalloc", mke2fs: ["-t", "ext4", "-O", "bigalloc", "-C", "16384"] },
  { name: "inline data", mke2fs: ["-t", "ext4", "-O", "inline_data"] },
  { name: "large attributes", mke2fs: ["-t", "ext4", "-O", "ea_inode"] },
  { name: "an orphan file", mke2fs: ["-t", "ext4", "-O", "orphan_file"] },
];

const PIECES = ["root", "loop", "fuse", "e2fsprogs", "gcc", "executable"] as const;

/**
 * Without what is no part of a replay: times of access, which change with each look; what holes
 * there are, which a writable mount does not tell; times and sizes of directories.
 */
function comparable(tree: Tree): Tree {
  const result = new Map<string, Facts>();
  for (const [path, facts] of tree) {
    if (path === "%") continue;
    const kept = new Map(facts);
    for (const name of ["atime", "btime", "uuid", "order", "map"]) kept.delete(name);
    if (facts.get("type") === "d") {
      for (const name of ["mtime", "ctime", "blocks", "size", "version"]) kept.delete(name);
    }
    result.set(path, kept);
  }
  return result;
}

function assertSame(expected: Tree, actual: Tree): void {
  const differences = compareTrees(comparable(expected), comparable(actual));
  assert.equal(differences.join("\n"), "");
}

/** Mounted read-only, then writable, then by the kernel: always what was there before the crash. */
async function assertReplayed({ path, live }: FastCommitImage, folder: TempDir): Promise<void> {
  const before = digestOf(path);
  const dir = folder.mkdir("mounted");
  {
    await using mount = await mountFuse4fs(path, dir, "ro");
    assertSame(live, await describeTree(mount.dir));
  }
  assert.equal(digestOf(path), before, "the image was changed");
  {
    await using mount = await mountFuse4fs(path, dir, "rw");
    assertSame(live, await describeTree(mount.dir));
  }
  await run("e2fsck", ["-fn", path]);
  await using mount = await mountKernel(path, dir, "ro,noload");
  assertSame(live, await describeTree(mount.dir));
}

for (const config of CONFIGS) {
  Deno.test(`fast commits: one of each change, ${config.name}`, async () => {
    if (!requires(...PIECES)) return;
    using folder = new TempDir();
    const image = await makeFastCommitImage(folder, config, prepareOneOfEach, workOneOfEach);
    await assertReplayed(image, folder);
  });
}

Deno.test("fast commits: the images have records of all kinds", async () => {
  if (!requires(...PIECES)) return;
  using folder = new TempDir();
  const image = await makeFastCommitImage(folder, CONFIGS[1], prepareOneOfEach, workOneOfEach);
  const counts = await countRecords(image.path);
  for (const tag of ["ADD_RANGE", "DEL_RANGE", "CREAT_DENTRY", "ADD_ENTRY", "DEL_ENTRY", "INODE"]) {
    assert.ok((counts.get(tag) ?? 0) >= 3, `${tag}: ${counts.get(tag)}`);
  }
});

for (const seed of [1, 2]) {
  Deno.test(`fast commits: changes by chance, seed ${seed}`, async () => {
    if (!requires(...PIECES)) return;
    using folder = new TempDir();
    const random = new Random(seed);
    const image = await makeFastCommitImage(
      folder,
      CONFIGS[seed % 2],
      (dir) => {
        Deno.mkdirSync(`${dir}/before`);
        workByChance(`${dir}/before`, random, 40);
      },
      (dir) => workByChance(`${dir}/before`, random, 80),
    );
    await assertReplayed(image, folder);
  });
}

Deno.test("fast commits: files are as the kernel's own replay has them", async () => {
  if (!requires(...PIECES)) return;
  using folder = new TempDir();
  const { path } = await makeFastCommitImage(folder, CONFIGS[1], prepareOneOfEach, workOneOfEach);
  const copy = folder.join("replayed");
  Deno.copyFileSync(path, copy);
  const kernel = await treeOf(await mountKernel(copy, folder.mkdir("kernel"), "rw"));
  const ours = await treeOf(await mountFuse4fs(path, folder.mkdir("ours"), "ro"));
  for (const tree of [kernel, ours]) {
    for (const facts of tree.values()) {
      // Directories that were made or removed: see above. Blocks of attributes it does not count.
      if (facts.get("type") === "d") (facts as Map<string, string>).delete("nlink");
      (facts as Map<string, string>).delete("blocks");
    }
  }
  assertSame(kernel, ours);
});

async function treeOf(mounted: AsyncDisposable & { readonly dir: string }): Promise<Tree> {
  await using mount = mounted;
  return await describeTree(mount.dir);
}

Deno.test("fast commits: a file that was deleted while it was open is gone", async () => {
  if (!requires(...PIECES)) return;
  using folder = new TempDir();
  let open: Deno.FsFile | undefined;
  const image = await makeFastCommitImage(folder, CONFIGS[1], prepareOneOfEach, (dir) => {
    open = Deno.openSync(`${dir}/gone`, { write: true });
    Deno.removeSync(`${dir}/gone`);
    open.writeSync(new Uint8Array(5000));
    open.syncSync();
    open.close();
    syncAll(dir);
  });
  await assertReplayed(image, folder);
});

// ---------------------------------------------------------------- on bytes in memory

const WRITE: WriteOptions = {
  now: () => ({ sec: 2e9, nsec: 0 }),
  monotonic: () => 0,
  commitInterval: 5000,
  random: () => 1,
};

async function smallImage(folder: TempDir): Promise<Uint8Array<ArrayBuffer>> {
  const config = { name: "", mke2fs: ["-t", "ext4", "-b", "1024"], size: "24M" };
  const { path } = await makeFastCommitImage(folder, config, prepareOneOfEach, (dir) => {
    writeSynced(`${dir}/new`, 0, new Uint8Array(10_000).fill(1));
    Deno.mkdirSync(`${dir}/fresh`);
    for (let file = 0; file < 20; file++) {
      writeSynced(`${dir}/fresh/${"n".repeat(100)}${file}`, 0, new Uint8Array(2000).fill(file));
    }
    Deno.removeSync(`${dir}/gone`);
  });
  return Deno.readFileSync(path);
}

Deno.test("recoverOnDevice: fast commits survive a crash at any point of their replay", async () => {
  if (!requires(...PIECES)) return;
  using folder = new TempDir();
  const image = await smallImage(folder);
  const device = new RecordingDevice(image);
  FileSystem.open(device, { log: SILENT, write: WRITE }).stopWriting();
  const expected = contentOf(device.current.bytes);
  const random = new Random(5);
  const checked = new Set<string>();
  for (let index = 0; index <= device.log.length; index++) {
    for (let round = 0; round < 4; round++) {
      const crashed = device.imageAt(index, (write) => {
        if (round === 0 || random.oneIn(2)) return true;
        // The superblock is written as a whole, as it is by the kernel's replay.
        return random.oneIn(2) ? false : random.below(write.bytes.length / 1024) * 1024;
      });
      const after = new MemoryDevice(crashed, "crashed");
      FileSystem.open(after, { log: SILENT, write: WRITE }).stopWriting();
      assert.equal(contentOf(after.bytes), expected, `crash behind write ${index}`);
      const digest = createHash("sha256").update(after.bytes).digest("hex");
      if (checked.has(digest) || checked.size > 8) continue;
      checked.add(digest);
      const path = folder.join("recovered");
      Deno.writeFileSync(path, after.bytes);
      await run("e2fsck", ["-fn", path]);
    }
  }
});

/** Names, records of inodes and content of all files, as a digest. */
function contentOf(bytes: Uint8Array<ArrayBuffer>): string {
  const fs = FileSystem.open(new MemoryDevice(bytes, "image", true), { log: SILENT });
  const hash = createHash("sha256");
  const visit = (dir: Inode, path: string) => {
    for (const { name, ino } of readDirectory(fs, dir, 0)) {
      if (isDotName(name)) continue;
      const inode = fs.inode(ino);
      const below = `${path}/${new TextDecoder().decode(name)}`;
      hash.update(`${below} ${inode.mode} ${inode.size} ${inode.linksCount} ${inode.mtime.sec}`);
      if (inode.isRegular) hash.update(readBytes(fs, inode, 0, inode.size));
      if (inode.isDirectory) visit(inode, below);
    }
  };
  visit(fs.root, "");
  return hash.digest("hex");
}

Deno.test("replayFastCommits: records that make no sense are FsErrors, and nothing else", async () => {
  if (!requires(...PIECES)) return;
  using folder = new TempDir();
  const image = await smallImage(folder);
  const { bytes, operations } = afterLog(image);
  const random = new Random(9);
  let refused = 0;
  for (let round = 0; round < 400; round++) {
    const device = new OverlayDevice(new MemoryDevice(bytes, "fuzzed", true), 1024);
    const fs = FileSystem.open(device, { log: SILENT, norecovery: true });
    try {
      replayFastCommits(fs, mutate(operations, random));
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      refused++;
    }
  }
  assert.ok(refused > 20 && refused < 400, `${refused} refused`);
});

/** The image with its log replayed, and the fast commits behind it. */
function afterLog(image: Uint8Array<ArrayBuffer>) {
  const bytes = image.slice();
  const device = new MemoryDevice(bytes, "image");
  const fs = FileSystem.open(device, { log: SILENT, norecovery: true });
  const journal = openWritableJournal(fs, undefined);
  const { nextTid } = recover(journal, deviceTarget(device, fs.blockSize));
  const { operations } = scanFastCommits(journal, nextTid);
  assert.ok(operations.length > 50);
  return { bytes, operations };
}

function mutate(operations: readonly FastCommitOperation[], random: Random): FastCommitOperation[] {
  const result = [...operations];
  for (let left = 1 + random.below(3); left > 0; left--) {
    const at = random.below(result.length);
    const operation = result[at];
    if (random.oneIn(4)) {
      result.splice(at, 1);
      continue;
    }
    if (operation.kind === "inode") {
      const record = operation.record.slice();
      record[random.below(record.length)] = random.below(256);
      result[at] = { ...operation, record };
      continue;
    }
    const fields = Object.entries(operation).filter(([, value]) => typeof value === "number");
    const [name, value] = random.pick(fields) as [string, number];
    const changed = random.pick([0, 1, value + 1, value * 2, random.uint32(), random.below(3000)]);
    result[at] = { ...operation, [name]: changed } as FastCommitOperation;
  }
  return result;
}

Deno.test("replayFastCommits: quotas count what files use afterwards", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const path = folder.join("image");
  const source = folder.mkdir("source");
  Deno.writeFileSync(`${source}/given`, new Uint8Array(9000));
  Deno.writeFileSync(`${source}/gone`, new Uint8Array(20_000));
  const features = [
    "-O",
    "quota,project,fast_commit",
    "-E",
    "quotatype=usrquota:grpquota:prjquota",
  ];
  await run("mke2fs", ["-q", "-F", "-t", "ext4", ...features, "-d", source, path, "32M"]);
  // mke2fs does not count the files that it copies.
  await run("e2fsck", ["-fy", path], { codes: [0, 1] });
  const device = new MemoryDevice(Deno.readFileSync(path), "image");
  const fs = FileSystem.open(device, { log: SILENT });
  const [given, gone] = ["given", "gone"].map((name) =>
    namedInode(fs, fs.root, new TextEncoder().encode(name))!
  );
  const record = (ino: number, uid: number): FastCommitOperation => {
    const { bytes } = given;
    const copy = new Inode(ino, bytes.slice(), 0, fs.superblock.features);
    copy.uid = uid;
    copy.gid = uid + 1;
    return { kind: "inode", ino, record: copy.bytes.slice(0, 160) };
  };
  const fresh = 40;
  const name = (text: string, ino: number) => ({
    parentIno: fs.root.ino,
    ino,
    name: new TextEncoder().encode(text),
  });
  const start = fs.superblock.blocksCount - 20;
  replayFastCommits(fs, [
    record(given.ino, 1000),
    record(fresh, 2000),
    { kind: "add_range", ino: fresh, fileBlock: 0, length: 9, start, unwritten: false },
    { kind: "creat", ...name("fresh", fresh) },
    { kind: "link", ...name("other", fresh) },
    { kind: "unlink", ...name("gone", gone.ino) },
  ]);
  Deno.writeFileSync(path, device.bytes);
  await run("e2fsck", ["-fn", path]);
});
