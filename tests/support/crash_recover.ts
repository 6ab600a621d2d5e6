/** Recoveries from a crash, by the code under test and by others, and what they find. */

import assert from "node:assert/strict";
import { MemoryDevice } from "../../src/block/memory_device.ts";
import type { Device } from "../../src/block/device.ts";
import { FileSystem } from "../../src/ext4/filesystem.ts";
import type { WriteOptions } from "../../src/ext4/writing.ts";
import type { Log } from "../../src/sys/log.ts";
import type { Image } from "./crash_recorder.ts";
import { type CrashTree, readTree } from "./crash_tree.ts";
import { writeAndSync } from "./dirty_image.ts";
import { attachLoop, mountKernel } from "./mount.ts";
import { run, type TempDir } from "./run.ts";

/** Options for writing, with clocks and numbers that are the same each time. */
export function writeOptions(): WriteOptions {
  let clock = 0;
  return {
    now: () => ({ sec: 1_700_000_000 + clock++, nsec: 0 }),
    monotonic: () => clock,
    commitInterval: 1e9,
    random: () => (clock++ * 0x9e3779b1) >>> 0,
  };
}

/** What the file system complained of when it was opened. */
function collecting(complaints: string[]): Log {
  const note = (message: string) => void complaints.push(message);
  return { error: note, warn: note, info() {}, debug() {} };
}

export interface OpenHereOptions {
  readonly cacheBytes?: number;
  /** Complaints that are no failure. */
  readonly mayComplain?: RegExp;
}

/** Opens devices, the second of which has the journal, if there is one; fails on complaints. */
export function openForWriting(
  [device, externalJournal]: readonly Device[],
  { cacheBytes, mayComplain }: OpenHereOptions = {},
): FileSystem {
  const complaints: string[] = [];
  const log = collecting(complaints);
  const fs = FileSystem.open(device, { log, externalJournal, cacheBytes, write: writeOptions() });
  assert.deepEqual(complaints.filter((complaint) => !mayComplain?.test(complaint)), []);
  return fs;
}

/** Recovery by the code under test. The images are as after an unmount then. */
export function recoverHere(images: readonly Image[], options?: OpenHereOptions): CrashTree {
  const fs = openForWriting(images.map((image) => new MemoryDevice(image)), options);
  const tree = readTree(fs);
  fs.stopWriting();
  return tree;
}

/** What a mount for reading shows; the images stay as they are. */
export function readOnly(images: readonly Image[]): CrashTree {
  const [device, externalJournal] = images.map((image) => new MemoryDevice(image, "image", true));
  const complaints: string[] = [];
  const fs = FileSystem.open(device, { log: collecting(complaints), externalJournal });
  const tree = readTree(fs);
  assert.deepEqual(complaints, []);
  return tree;
}

/** Images as files, for others. */
export class CrashFiles {
  readonly #paths: readonly string[];
  readonly #mountpoint: string;

  constructor(folder: TempDir, images: readonly Image[]) {
    this.#paths = images.map((_, index) => folder.join(`crashed${index}`));
    this.#mountpoint = folder.join("crash_mount");
    Deno.mkdirSync(this.#mountpoint, { recursive: true });
  }

  write(images: readonly Image[]): void {
    for (const [index, image] of images.entries()) overwrite(this.#paths[index], image);
  }

  /** What the files hold, found by the code under test, for reading. */
  tree(): CrashTree {
    return readOnly(this.#paths.map((path) => Deno.readFileSync(path)));
  }

  /** Throws unless e2fsck finds everything in order. */
  async requireClean(): Promise<void> {
    await run("e2fsck", ["-fn", ...this.#journal, this.#paths[0]]);
  }

  /** Lets e2fsck recover, and returns what it mended beyond what a crash makes necessary. */
  async recoverByE2fsck(): Promise<string[]> {
    const args = ["-fy", ...this.#journal, this.#paths[0]];
    const { stdout } = await run("e2fsck", args, { codes: [0, 1] });
    return stdout.split("\n").filter((line) => line !== "" && !EXPECTED.some((e) => e.test(line)));
  }

  /**
   * The same without a journal. e2fsck needs a second run where of a root that got its index only
   * the block arrived: it makes lost+found anew, in a block whose checksum it does not renew.
   */
  async repairByE2fsck(): Promise<void> {
    const repair = (...codes: number[]) => run("e2fsck", ["-fy", this.#paths[0]], { codes });
    if ((await repair(0, 1, 4)).code === 4) await repair(1);
  }

  /** Lets the kernel recover. */
  async recoverByKernel(): Promise<void> {
    const [path, journalPath] = this.#paths;
    await using device = await attachLoop(path);
    if (journalPath === undefined) return await this.#workInKernel(device.path, "rw");
    await using journal = await attachLoop(journalPath);
    await this.#workInKernel(device.path, `journal_path=${journal.path}`);
  }

  /** The kernel does not only mount it, but can go on with its journal. */
  async #workInKernel(device: string, options: string): Promise<void> {
    await using mounted = await mountKernel(device, this.#mountpoint, options);
    for (let count = 0; count < 3; count++) {
      writeAndSync(`${mounted.dir}/new`, new Uint8Array(1000));
      Deno.removeSync(`${mounted.dir}/new`);
    }
  }

  get #journal(): string[] {
    return this.#paths.length > 1 ? ["-j", this.#paths[1]] : [];
  }
}

/** To give a file's memory back and take it anew each time would cost more than all the rest. */
function overwrite(path: string, bytes: Image): void {
  using file = Deno.openSync(path, { write: true, create: true });
  for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
}

/** What e2fsck says when it replays a journal and cleans up orphans, and finds all well. */
const EXPECTED: readonly RegExp[] = [
  /: recovering journal$/,
  /^Pass \d/,
  /^(Clearing|Truncating) orphaned inode \d+ \(/,
  /^Orphan file \(inode \d+\) block \d+ is not clean\.$/,
  /^Feature orphan_present is set but orphan file is clean\.$/,
  /^Clear\? yes$/,
  /^Setting free (inodes|blocks) count to \d+ \(was \d+\)$/,
  /\*\*\*\*\* FILE SYSTEM WAS MODIFIED \*\*\*\*\*$/,
  /: \d+\/\d+ files .*, \d+\/\d+ blocks$/,
];
