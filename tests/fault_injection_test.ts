/**
 * Operations that fail in the middle: whatever call to the device, the cache or an allocator goes
 * wrong, the operation is undone, as far as anybody can see, and the file system goes on; after a
 * commit that failed, nothing is written any more, and the next mount finds what was or what was
 * to be.
 *
 * With ALL_FAILURES set, each call of a kind is made to fail, where a part of them is enough otherwise.
 */

import assert from "node:assert/strict";
import { readBytes } from "../src/ext4/content/read.ts";
import { FileSystem } from "../src/ext4/filesystem.ts";
import { fail, FsError } from "../src/sys/fs_error.ts";
import { SILENT } from "../src/sys/log.ts";
import { Actor } from "./support/crash_actor.ts";
import { wrongAfterCrash } from "./support/crash_check.ts";
import { FaultyDevice } from "./support/crash_faults.ts";
import { type Content, Model, type Snapshot } from "./support/crash_model.ts";
import { CrashFiles, openForWriting, recoverHere, writeOptions } from "./support/crash_recover.ts";
import { type CrashTree, differences, readTree } from "./support/crash_tree.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const CONFIGS: Readonly<Record<string, string>> = {
  "ext4": "-t ext4 -b 1024 -J size=1",
  "ext3": "-t ext3 -b 1024 -J size=1",
  "inline_data, orphan_file": "-t ext4 -b 1024 -J size=1 -O inline_data,orphan_file",
};
const BLOCK = 1024;
/** On ext4, each call is made to fail once; elsewhere not all, the fewer the more there are. */
const EVERY = "a call to the device";

/** A file system with something of everything. */
interface Scene {
  readonly image: Content;
  readonly model: Model;
}

async function makeScene(mke2fs: string, folder: TempDir): Promise<Scene> {
  const path = folder.join("scene");
  await run("mke2fs", ["-q", "-F", ...mke2fs.split(" "), path, "8M"]);
  const device = new FaultyDevice(Deno.readFileSync(path));
  const fs = openForWriting([device]);
  const model = new Model();
  const actor = new Actor(fs, model);
  actor.load();
  fill(actor);
  fs.stopWriting();
  return { image: device.medium.bytes, model };
}

function fill(actor: Actor): void {
  const { root } = actor.model;
  const random = new Random(1);
  actor.write(actor.create(root, "small"), 0, random.bytes(50));
  actor.write(actor.create(root, "file"), 0, random.bytes(5000));
  actor.write(actor.create(root, "large"), 0, random.bytes(300 * BLOCK));
  const holes = actor.create(root, "holes");
  for (let block = 0; block < 60; block++) {
    actor.write(holes, 2 * block * BLOCK, random.bytes(BLOCK));
  }
  actor.link(actor.model.find("/file"), root, "other");
  actor.makeSymlink(root, "symlink", "t".repeat(500));
  const attributed = actor.create(root, "attributed");
  for (const name of ["user.a", "user.b", "user.c"]) {
    actor.setXattr(attributed, name, random.bytes(200));
  }
  actor.makeDirectory(root, "empty");
  const folder = actor.makeDirectory(root, "folder");
  actor.create(folder, "inside");
  actor.makeDirectory(folder, "below");
  const many = actor.makeDirectory(root, "many");
  for (let file = 0; file < 60; file++) actor.create(many, `${file}`.padEnd(100, "m"));
}

type Operation = (actor: Actor) => void;

/** Each may consist of several calls: after a failure, those before it have happened. */
const OPERATIONS: Readonly<Record<string, Operation>> = {
  "create": (actor) => actor.create(actor.model.root, "new"),
  "create many": (actor) => {
    const dir = actor.model.find("/many");
    for (let file = 0; file < 12; file++) actor.create(dir, `new${file}`.padEnd(200, "x"));
  },
  "mkdir": (actor) => actor.makeDirectory(actor.model.find("/folder"), "new"),
  "symlink": (actor) => actor.makeSymlink(actor.model.root, "new", "short"),
  "long symlink": (actor) => actor.makeSymlink(actor.model.root, "new", "l".repeat(900)),
  "link": (actor) => actor.link(actor.model.find("/small"), actor.model.find("/empty"), "new"),
  "tmpfile": (actor) => actor.link(actor.makeTemporary(actor.model.root), actor.model.root, "new"),
  "unlink": (actor) => actor.unlink(actor.model.root, "large"),
  "delete holes": (actor) => actor.close(actor.unlink(actor.model.root, "holes")),
  "delete attributes": (actor) => actor.close(actor.unlink(actor.model.root, "attributed")),
  "delete symlink": (actor) => actor.close(actor.unlink(actor.model.root, "symlink")),
  "rmdir": (actor) => actor.close(actor.removeDirectory(actor.model.root, "empty")),
  "rmdir of many": (actor) => {
    const { root } = actor.model;
    const many = actor.model.find("/many");
    for (const [name] of [...many.children!]) actor.close(actor.unlink(many, name));
    actor.close(actor.removeDirectory(root, "many"));
  },
  "rename": (actor) => actor.rename(actor.model.root, "file", actor.model.find("/many"), "new"),
  "rename over": (actor) => {
    actor.close(actor.rename(actor.model.root, "small", actor.model.root, "large")!);
  },
  "rename of a folder": (actor) => {
    actor.rename(actor.model.find("/folder"), "below", actor.model.find("/empty"), "new");
  },
  "exchange": (actor) => {
    actor.exchange(actor.model.root, "empty", actor.model.find("/folder"), "inside");
  },
  "append": (actor) => actor.write(actor.model.find("/file"), 5000, bytes(20_000)),
  "write to a small file": (actor) => actor.write(actor.model.find("/small"), 50, bytes(700)),
  "overwrite": (actor) => actor.write(actor.model.find("/large"), 1000, bytes(50_000)),
  "overwrite, from a cache": (actor) => {
    actor.write(actor.model.find("/large"), 1000, bytes(50_000), "kept");
  },
  "fill holes": (actor) => actor.write(actor.model.find("/holes"), 0, bytes(120 * BLOCK)),
  "truncate": (actor) => actor.resize(actor.model.find("/holes"), 5 * BLOCK + 100),
  "extend": (actor) => actor.resize(actor.model.find("/file"), 90_000),
  "chmod": (actor) => actor.setMode(actor.model.find("/file"), 0o400),
  "setxattr": (actor) => actor.setXattr(actor.model.find("/file"), "user.new", bytes(300)),
  "setxattr, one more": (actor) => {
    actor.setXattr(actor.model.find("/attributed"), "user.new", bytes(100));
  },
  "removexattr": (actor) => actor.removeXattr(actor.model.find("/attributed"), "user.b"),
  "removexattr of all": (actor) => {
    for (const name of ["user.a", "user.b", "user.c"]) {
      actor.removeXattr(actor.model.find("/attributed"), name);
    }
  },
  "copy": (actor) => {
    actor.copy(actor.model.find("/holes"), 100, actor.model.find("/file"), 900, 60 * BLOCK);
  },
};

/** Operations on files with extents. */
const WITH_EXTENTS: Readonly<Record<string, Operation>> = {
  "fallocate": (actor) => actor.allocate(actor.model.find("/holes"), 0, 130 * BLOCK),
  "write to what was allocated": (actor) => {
    const node = actor.create(actor.model.root, "new");
    actor.allocate(node, 0, 20 * BLOCK);
    for (let block = 1; block < 20; block += 3) actor.write(node, block * BLOCK, bytes(BLOCK));
  },
  "punch holes": (actor) => actor.punchHole(actor.model.find("/large"), 10_000, 100_000),
  "zero a range": (actor) => actor.zeroRange(actor.model.find("/large"), 10_000, 100_000),
  "collapse": (actor) => actor.collapse(actor.model.find("/holes"), 20 * BLOCK, 30 * BLOCK),
  "insert": (actor) => actor.insert(actor.model.find("/holes"), 20 * BLOCK, 30 * BLOCK),
};

/** Those that write data over data, which may be zeros of what was allocated. */
const REWRITING = new Set([
  ...["overwrite", "overwrite, from a cache", "fill holes", "copy"],
  ...["write to what was allocated", "punch holes", "zero a range"],
]);

function bytes(length: number): Content {
  return new Random(length).bytes(length);
}

/** A mount of the scene. */
interface Trial {
  readonly device: FaultyDevice;
  readonly fs: FileSystem;
  readonly actor: Actor;
  readonly before: Snapshot;
}

function begin({ image, model }: Scene): Trial {
  const device = new FaultyDevice(image.slice());
  const fs = openForWriting([device]);
  const actor = new Actor(fs, model.clone());
  return { device, fs, actor, before: actor.model.snapshot() };
}

/** Ends a fault, and tells whether anything failed. */
type End = () => boolean;

/** Makes something fail: the call of a number, counted from 0. */
type Saboteur = (trial: Trial, call: number) => End;

/** What can fail in an operation, and in the commit behind it. */
const SABOTEURS: Readonly<Record<string, Saboteur>> = {
  [EVERY]: ({ device }, after) => {
    device.arm({ after, forGood: false });
    return () => disarm(device);
  },
  "the device from a call on": ({ device }, after) => {
    device.arm({ after, forGood: true });
    return () => disarm(device);
  },
  "a metadata block that is read": ({ fs }, call) => {
    const { cache } = fs;
    const read = cache.read;
    let left = call;
    cache.read = (number) => {
      if (left-- === 0) throw fail("EIO", "no block");
      return read.call(cache, number);
    };
    return () => {
      cache.read = read;
      return left < 0;
    };
  },
  "space": (trial, call) => refuse(trial, call, "ENOSPC"),
  "a quota": (trial, call) => refuse(trial, call, "EDQUOT"),
};

/** Nothing is allocated from a call on. */
function refuse({ fs }: Trial, call: number, code: "ENOSPC" | "EDQUOT"): End {
  const { blocks, inodes } = fs.writing;
  const { allocate, allocateUncharged } = blocks;
  const allocateInode = inodes.allocate;
  let left = call;
  const count = () => {
    if (left-- <= 0) throw fail(code, "none");
  };
  blocks.allocate = (...args) => (count(), allocate.apply(blocks, args));
  blocks.allocateUncharged = (...args) => (count(), allocateUncharged.apply(blocks, args));
  inodes.allocate = (...args) => (count(), allocateInode.apply(inodes, args));
  return () => {
    blocks.allocate = allocate;
    blocks.allocateUncharged = allocateUncharged;
    inodes.allocate = allocateInode;
    return left < 0;
  };
}

function disarm(device: FaultyDevice): boolean {
  const { hasFailed } = device;
  device.arm();
  return hasFailed;
}

/** The tree behind an operation that does not fail. */
function intendedBy(scene: Scene, operation: Operation): CrashTree {
  const { actor } = begin(scene);
  assert.equal(act(actor, operation), undefined);
  return actor.model.snapshot().tree;
}

/** The operation and a commit. Returns the error, if there was any. */
function act(actor: Actor, operation: Operation): FsError | undefined {
  try {
    operation(actor);
    actor.fs.writing.transactions.commit();
    return undefined;
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    return error;
  }
}

/**
 * File data go to their places at once: where an operation failed, some of them may be what it was
 * to write. The model takes them over, if they are nothing else.
 */
function acceptNewData({ fs, actor }: Trial, intended: CrashTree): void {
  for (const { path, node } of actor.model.places()) {
    const before = node.content;
    if (before === undefined) continue;
    const after = intended.get(path)?.content ?? before;
    const found = readBytes(fs, actor.inode(node), 0, before.length);
    if (found.every((byte, at) => byte === before[at] || byte === (after[at] ?? 0))) {
      node.content = found;
    }
  }
}

/** After a failure that is over: everything is as it was, and goes on. */
async function checkGoesOn({ fs, actor, device }: Trial, files: CrashFiles): Promise<void> {
  const { model } = actor;
  const requireModel = (tree: CrashTree, where: string) =>
    assert.deepEqual(differences(model.snapshot().tree, tree), [], where);
  requireModel(readTree(fs), "in memory");
  for (const node of model.unlinked) actor.close(node);
  actor.write(actor.create(model.root, "next"), 0, bytes(3000));
  fs.writing.transactions.commit();
  requireModel(readTree(fs), "in memory, later");
  fs.stopWriting();
  files.write([device.medium.bytes]);
  await files.requireClean();
  requireModel(files.tree(), "on the disk");
}

/** After a commit that failed: nothing is written any more, and the next mount recovers. */
async function checkStopped(
  { fs, actor, device, before }: Trial,
  files: CrashFiles,
): Promise<void> {
  const after = actor.model.snapshot();
  assert.deepEqual(differences(after.tree, readTree(fs)), [], "in memory");
  device.arm();
  assert.throws(() => fs.change(() => {}), /Nothing is written any more/);
  assert.deepEqual(device.calls.filter((call) => call !== "read"), []);
  const image = device.medium.bytes.slice();
  const found = recoverHere([image], { mayComplain: OF_ERRORS });
  const steps = [before, after].map((state, begin) => ({ what: "", begin, after: state }));
  assert.equal(wrongAfterCrash({ steps, marks: [{ events: 0, steps: 1 }] }, 1, found), undefined);
  files.write([image]);
  await files.recoverByE2fsck();
  await files.requireClean();
  assert.deepEqual(differences(found, files.tree()), [], "after e2fsck");
}

/** What a mount says after an error, when orphans are left to e2fsck. */
const OF_ERRORS = /an earlier mount ended with an error|errors were found in it before/;

for (const [name, mke2fs] of Object.entries(CONFIGS)) {
  for (const [what, sabotage] of Object.entries(SABOTEURS)) {
    Deno.test(`failures: ${name}: ${what}`, async () => {
      if (!requires("e2fsprogs")) return;
      using folder = new TempDir(TempDir.MEMORY);
      const scene = await makeScene(mke2fs, folder);
      const files = new CrashFiles(folder, [scene.image]);
      const isForAll = (what === EVERY && name === "ext4") ||
        Deno.env.get("ALL_FAILURES") !== undefined;
      const sparse = name === "ext4" ? 3 : 1;
      const counts = { failed: 0, stopped: 0 };
      const operations = { ...OPERATIONS, ...(mke2fs.includes("ext3") ? {} : WITH_EXTENTS) };
      for (const [doing, operation] of Object.entries(operations)) {
        const intended = intendedBy(scene, operation);
        for (let call = 0;; call += isForAll ? 1 : 1 + Math.floor(call / sparse)) {
          const trial = begin(scene);
          const end = sabotage(trial, call);
          const error = act(trial.actor, operation);
          const hasFailed = end();
          if (hasFailed && REWRITING.has(doing)) acceptNewData(trial, intended);
          const isStopped = trial.fs.writing.transactions.failure !== undefined;
          try {
            if (trial.fs.writing.transactions.failure === undefined) {
              await checkGoesOn(trial, files);
            } else await checkStopped(trial, files);
          } catch (failure) {
            throw new Error(`${doing}, call ${call} (${error})`, { cause: failure });
          }
          if (!hasFailed) break;
          counts[isStopped ? "stopped" : "failed"]++;
        }
      }
      console.log(JSON.stringify(counts));
    });
  }
}

/** A crash of the scene, with a log to be replayed, and a file to be deleted. */
function crashed(scene: Scene): { readonly image: Content; readonly expected: CrashTree } {
  const { device, fs, actor } = begin(scene);
  for (const name of ["create many", "delete holes", "long symlink"]) OPERATIONS[name](actor);
  actor.unlink(actor.model.root, "large");
  fs.writing.transactions.commit();
  return { image: device.medium.bytes, expected: actor.model.snapshot().tree };
}

for (const forGood of [false, true]) {
  const manner = forGood ? "from a call on" : "once";
  Deno.test(`failures: a mount that recovers, whose device fails ${manner}`, async () => {
    if (!requires("e2fsprogs")) return;
    using folder = new TempDir(TempDir.MEMORY);
    const { image, expected } = crashed(await makeScene(CONFIGS.ext4, folder));
    const files = new CrashFiles(folder, [image]);
    let failures = 0;
    for (let after = 0, hasFailed = true; hasFailed; after++) {
      const device = new FaultyDevice(image.slice());
      device.arm({ after, forGood });
      try {
        FileSystem.open(device, { log: SILENT, write: writeOptions() });
      } catch (error) {
        assert.ok(error instanceof FsError && error.code === "EIO", `${error}`);
      }
      hasFailed = disarm(device);
      const found = recoverHere([device.medium.bytes], { mayComplain: OF_ERRORS });
      assert.deepEqual(differences(expected, found), [], `call ${after}`);
      files.write([device.medium.bytes]);
      await files.recoverByE2fsck();
      await files.requireClean();
      failures++;
    }
    console.log(`${failures} failures`);
  });

  Deno.test(`failures: the end of a mount whose device fails ${manner}`, async () => {
    if (!requires("e2fsprogs")) return;
    using folder = new TempDir(TempDir.MEMORY);
    const scene = await makeScene(CONFIGS.ext4, folder);
    const files = new CrashFiles(folder, [scene.image]);
    let failures = 0;
    for (let after = 0, hasFailed = true; hasFailed; after++) {
      const { device, fs, actor } = begin(scene);
      OPERATIONS["create many"](actor);
      fs.writing.transactions.commit();
      device.arm({ after, forGood });
      let error: unknown;
      try {
        fs.stopWriting();
      } catch (thrown) {
        error = thrown;
      }
      hasFailed = disarm(device);
      assert.equal(error instanceof FsError, hasFailed, `call ${after}: ${error}`);
      assert.ok(fs.isReadOnly);
      const found = recoverHere([device.medium.bytes], { mayComplain: OF_ERRORS });
      assert.deepEqual(differences(actor.model.snapshot().tree, found), [], `call ${after}`);
      files.write([device.medium.bytes]);
      await files.requireClean();
      failures++;
    }
    console.log(`${failures} failures`);
  });
}
