/**
 * Images whose newest changes are in fast commits only: the kernel's ext4 works on a mount, syncs
 * after each step, and the image is copied while it is mounted, as a crash would leave it. All is
 * synced then, so that the mount, as it was at that time, shows what a replay has to bring back.
 */

import { setXattr } from "./libc.ts";
import { mountKernel } from "./mount.ts";
import type { Random } from "./random.ts";
import { run, type TempDir } from "./run.ts";
import { describeTree, type Tree } from "./tree.ts";

export interface FastCommitImage {
  readonly path: string;
  /** What the kernel's mount showed when the image was copied. */
  readonly live: Tree;
}

/** Works in a mounted folder; every change must be synced when it returns. */
export type Work = (dir: string) => void;

export interface FastCommitConfig {
  readonly name: string;
  /** Arguments of mke2fs beside `-O fast_commit`. */
  readonly mke2fs: readonly string[];
  /** As mke2fs takes it. */
  readonly size?: string;
}

/** Room for so many fast commits that the kernel need not make a full one meanwhile. */
const JOURNAL = ["-J", "size=4,fast_commit_size=2048"];

/**
 * @param prepare what is there before, in a full commit
 * @param work what happens in fast commits, as far as the kernel makes such
 */
export async function makeFastCommitImage(
  folder: TempDir,
  config: FastCommitConfig,
  prepare: Work,
  work: Work,
): Promise<FastCommitImage> {
  const image = folder.join("image");
  const path = folder.join("copy");
  const { mke2fs, size = "64M" } = config;
  await run("mke2fs", ["-q", "-F", ...JOURNAL, ...mke2fs, "-O", "fast_commit", image, size]);
  // The kernel makes a full commit every so many seconds, after which there is nothing to replay.
  await using mount = await mountKernel(image, folder.mkdir("live"), "rw,commit=300");
  prepare(mount.dir);
  await run("sync", ["-f", mount.dir]);
  syncAll(mount.dir);
  work(mount.dir);
  syncAll(mount.dir);
  Deno.copyFileSync(image, path);
  return { path, live: await describeTree(mount.dir) };
}

let syncs = 0;

/** Makes all names durable that there are, in a fast commit if the kernel can. */
export function syncAll(dir: string): void {
  const path = `${dir}/sync${syncs++ % 3}`;
  writeSynced(path, 0, new Uint8Array([syncs % 256]));
}

/** Writes into a file at a position, making it first if need be, and syncs it. */
export function writeSynced(path: string, position: number, bytes: Uint8Array): void {
  using file = Deno.openSync(path, { write: true, create: true });
  file.seekSync(position, Deno.SeekMode.Start);
  for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
  file.syncSync();
}

function cutSynced(path: string, size: number): void {
  using file = Deno.openSync(path, { write: true });
  file.truncateSync(size);
  file.syncSync();
}

/** What e2fsck says of the fast commits of an image: records of each kind. */
export async function countRecords(image: string): Promise<Map<string, number>> {
  const { stdout } = await run("debugfs", ["-R", "logdump -c", image]);
  const counts = new Map<string, number>();
  for (const [, tag] of stdout.matchAll(/^tag (\w+)/gm)) {
    counts.set(tag, (counts.get(tag) ?? 0) + 1);
  }
  return counts;
}

/** One of everything that the kernel makes fast commits of. */
export function prepareOneOfEach(dir: string): void {
  Deno.mkdirSync(`${dir}/old`);
  Deno.mkdirSync(`${dir}/old/inside`);
  Deno.mkdirSync(`${dir}/empty`);
  for (const name of ["kept", "gone", "moved", "over", "old/file", "cut", "mode"]) {
    Deno.writeFileSync(`${dir}/${name}`, new Uint8Array(50_000).fill(name.length));
  }
  // Larger than any block, where the file system has inodes for them.
  setXattr(`${dir}/kept`, "user.small", new Uint8Array(100).fill(1));
  try {
    setXattr(`${dir}/kept`, "user.large", new Uint8Array(9000).fill(2));
  } catch {
    setXattr(`${dir}/kept`, "user.large", new Uint8Array(700).fill(2));
  }
}

export function workOneOfEach(dir: string): void {
  writeSynced(`${dir}/new`, 0, new Uint8Array(10_000).fill(1));
  writeSynced(`${dir}/kept`, 45_000, new Uint8Array(20_000).fill(2));
  for (let piece = 0; piece < 40; piece++) {
    writeSynced(`${dir}/sparse`, piece * 12_288, new Uint8Array(4096).fill(piece + 1));
  }
  cutSynced(`${dir}/sparse`, 300_000);
  cutSynced(`${dir}/sparse`, 400_000);
  cutSynced(`${dir}/cut`, 7000);
  Deno.mkdirSync(`${dir}/fresh`);
  Deno.mkdirSync(`${dir}/fresh/deeper`);
  writeSynced(`${dir}/fresh/deeper/file`, 0, new Uint8Array(3000).fill(3));
  Deno.linkSync(`${dir}/kept`, `${dir}/fresh/link`);
  Deno.removeSync(`${dir}/gone`);
  Deno.removeSync(`${dir}/empty`);
  Deno.renameSync(`${dir}/moved`, `${dir}/fresh/moved`);
  Deno.renameSync(`${dir}/over`, `${dir}/old/file`);
  Deno.chmodSync(`${dir}/mode`, 0o4711);
  Deno.chownSync(`${dir}/mode`, 70_000, 80_000);
  Deno.utimeSync(`${dir}/mode`, 4e9, -1e6);
  syncAll(dir);
  for (let file = 0; file < 60; file++) {
    writeSynced(`${dir}/fresh/${"n".repeat(150)}${file}`, 0, new Uint8Array(file * 100).fill(4));
  }
  writeSynced(`${dir}/passing`, 0, new Uint8Array(9000));
  Deno.removeSync(`${dir}/passing`);
}

/** Work by chance, in a folder of its own, whose files all are synced. */
export function workByChance(dir: string, random: Random, steps: number): void {
  let number = 0;
  const files: string[] = [];
  const folders = [dir];
  const take = (list: string[]) => list.splice(random.below(list.length), 1)[0];
  const fresh = () => `${random.pick(folders)}/${"x".repeat(random.below(120))}${number++}`;
  const makeFile = () => {
    const path = fresh();
    writeSynced(path, random.below(5) * 5000, new Uint8Array(random.below(30_000)).fill(number));
    files.push(path);
  };
  const acts: (() => void)[] = [
    makeFile,
    makeFile,
    () => writeSynced(random.pick(files), random.below(200_000), random.bytes(random.below(9000))),
    () => cutSynced(random.pick(files), random.below(100_000)),
    () => {
      const path = fresh();
      Deno.linkSync(random.pick(files), path);
      files.push(path);
    },
    () => Deno.removeSync(take(files)),
    () => {
      const path = fresh();
      Deno.renameSync(take(files), path);
      files.push(path);
    },
    () => {
      const target = random.pick(files);
      const source = random.pick(files);
      if (Deno.statSync(target).ino === Deno.statSync(source).ino) return;
      Deno.renameSync(source, target);
      files.splice(files.indexOf(source), 1);
    },
    () => {
      const path = fresh();
      Deno.mkdirSync(path);
      folders.push(path);
    },
    () => {
      const path = fresh();
      Deno.mkdirSync(path);
      syncAll(dir);
      Deno.removeSync(path);
    },
    () => Deno.chmodSync(random.pick(files), 0o400 + random.below(0o377)),
  ];
  while (files.length < 5) makeFile();
  for (let step = 0; step < steps; step++) {
    if (files.length < 3) makeFile();
    random.pick(acts)();
    if (random.oneIn(4)) syncAll(dir);
  }
  for (const file of files) writeSynced(file, 0, new Uint8Array([number % 256]));
}
