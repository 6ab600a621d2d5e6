/**
 * Files that nobody can have any more are freed later (src/mount/unused_files.ts): nobody may notice,
 * whatever is asked of the server. And what else it must know of files that the kernel has
 * forgotten, or writes by itself.
 */

import assert from "node:assert/strict";
import { EXT4_JOURNAL_INO } from "../src/disk/inode.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import type { Caller } from "../src/fuse/handlers.ts";
import { Ext4Server } from "../src/mount/ext4_server.ts";
import { Upkeep } from "../src/mount/upkeep.ts";
import { FsError } from "../src/sys/fs_error.ts";
import { SILENT } from "../src/sys/log.ts";
import { S_IFREG } from "../src/sys/stat.ts";
import { FaultyDevice } from "./support/crash_faults.ts";
import { CrashFiles, openForWriting, recoverHere } from "./support/crash_recover.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const ROOT_NODE = 1;
const ROOT: Caller = { uid: 0, gid: 0, pid: 1 };
const FROM_CACHE = { killSetIds: false, isFromCache: true };
const PIECE = new Uint8Array(1 << 20).fill(0x5a);
const OP_WRITE = 1;

const bytes = (text: string) => new TextEncoder().encode(text);

interface Bench {
  readonly fs: FileSystem;
  readonly device: FaultyDevice;
  readonly server: Ext4Server;
  readonly folder: TempDir;
}

/** A server without a session. In the end the file system is in order. */
async function withServer(mke2fs: string, act: (bench: Bench) => void | Promise<void>) {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir(TempDir.MEMORY);
  const path = folder.join("image");
  await run("mke2fs", ["-q", "-F", "-t", "ext4", ...mke2fs.split(" "), path, "64M"]);
  const device = new FaultyDevice(Deno.readFileSync(path));
  const backed = Object.assign(device, { backing: () => ({ fd: 0, position: 0 }) });
  const fs = openForWriting([backed]);
  const upkeep = new Upkeep(fs, undefined, SILENT);
  const server = new Ext4Server(fs, {
    timeouts: { entry: 60, negativeEntry: 60, attributes: 60 },
    ...{ minixdf: false, acl: true, userXattr: true, fakeroot: false },
    ...{ accessTimes: "never", directoryAccessTimes: false, groupOfDirectory: false },
    ...{ dirsync: false, sync: false, iomap: true },
    registerDevice: () => 1,
  }, upkeep);
  await act({ fs, device, server, folder });
  upkeep.finish();
  Deno.writeFileSync(path, device.medium.bytes);
  await run("e2fsck", ["-fn", path]);
}

function create({ server }: Bench, name: string): number {
  const node = { mode: S_IFREG | 0o644, umask: 0 };
  const { nodeId } = server.changes!.mknod(ROOT_NODE, bytes(name), node, 0, ROOT);
  server.remember(nodeId);
  return nodeId;
}

/** The file is gone, and the kernel knows no more of it. */
function remove({ server }: Bench, name: string, nodeId: number): void {
  server.changes!.unlink(ROOT_NODE, bytes(name));
  server.forget(nodeId, 1);
}

/** Calls `act` with numbers from 0 on until there is no space; returns how often it succeeded. */
function untilFull(act: (index: number) => void): number {
  for (let index = 0;; index++) {
    try {
      act(index);
    } catch (error) {
      if (error instanceof FsError && error.code === "ENOSPC") return index;
      throw error;
    }
  }
}

function fill({ server }: Bench, nodeId: number): number {
  return untilFull((index) => {
    server.changes!.write(nodeId, index * PIECE.length, PIECE, FROM_CACHE, ROOT);
  });
}

Deno.test("Ext4Server, deleted files: their space is there for whoever writes, makes files, or asks", async () => {
  await withServer("-b 4096 -N 256", (bench) => {
    const { server } = bench;
    const before = server.statfs(ROOT_NODE);
    const [first, second] = ["first", "second"].map((name) => create(bench, name));
    const room = fill(bench, first);
    remove(bench, "first", first);
    assert.ok(bench.fs.unlinkedInodes.has(first), "it is freed later");
    assert.equal(fill(bench, second), room);
    remove(bench, "second", second);
    assert.deepEqual(server.statfs(ROOT_NODE), before);

    const make = (round: string) =>
      untilFull((index) => server.remember(create(bench, `${round}${index}`)));
    const count = make("a");
    for (let index = 0; index < count; index++) {
      const { nodeId } = server.lookup(ROOT_NODE, bytes(`a${index}`))!;
      server.changes!.unlink(ROOT_NODE, bytes(`a${index}`));
      server.forget(nodeId, 2);
    }
    assert.equal(make("b"), count);
  });
});

Deno.test("Ext4Server, deleted files: their space is there for what the kernel writes itself", async () => {
  await withServer("-b 4096", (bench) => {
    const { server } = bench;
    const count = 4 << 20;
    const fillBy = (nodeId: number) =>
      untilFull((index) => {
        let position = index * count;
        for (const end = position + count; position < end;) {
          const { offset, length } = server.iomap!
            .begin(nodeId, position, end - position, OP_WRITE, ROOT);
          position = offset + length;
        }
      });
    const [first, second] = ["first", "second"].map((name) => create(bench, name));
    const room = fillBy(first);
    assert.ok(room > 5);
    remove(bench, "first", first);
    assert.ok(bench.fs.unlinkedInodes.has(first), "it is freed later");
    assert.equal(fillBy(second), room);
  });
});

Deno.test("LOOKUP of a handle: ESTALE for what was deleted, and for what is no file", async () => {
  await withServer("-b 4096 -O ea_inode,orphan_file,quota", (bench) => {
    const { server, fs } = bench;
    const dot = bytes(".");
    const isStale = (error: unknown) => error instanceof FsError && error.code === "ESTALE";
    const nodeId = create(bench, "file");
    assert.equal(server.lookup(nodeId, dot)?.nodeId, nodeId);
    remove(bench, "file", nodeId);
    assert.ok(fs.unlinkedInodes.has(nodeId), "it is freed later");
    assert.throws(() => server.lookup(nodeId, dot), isStale);
    assert.ok(server.freeUnused());
    assert.throws(() => server.lookup(nodeId, dot), isStale);

    const named = create(bench, "with a value");
    const value = new Uint8Array(9000).fill(1);
    const flags = { flags: 0, killSetGid: false };
    server.changes!.setxattr(named, bytes("user.large"), value, flags, ROOT);
    assert.equal(server.lookup(named, dot)?.nodeId, named);
    for (const ino of [EXT4_JOURNAL_INO, 3, 4, fs.superblock.firstInode + 1, named + 1]) {
      assert.ok(fs.inode(ino).isRegular, `${ino}`);
      assert.throws(() => server.lookup(ino, dot), isStale, `${ino}`);
    }
  });
});

Deno.test("Ext4Server, deleted files: a crash leaves them to the next mount", async () => {
  await withServer("-b 4096", async (bench) => {
    const names = ["a", "b", "c"];
    const nodeIds = names.map((name) => create(bench, name));
    for (const nodeId of nodeIds) {
      bench.server.changes!.write(nodeId, 0, PIECE, FROM_CACHE, ROOT);
    }
    names.forEach((name, index) => remove(bench, name, nodeIds[index]));
    bench.server.changes!.commit();
    assert.equal(bench.fs.unlinkedInodes.size, 3);
    const image = bench.device.medium.bytes.slice();
    assert.deepEqual([...recoverHere([image]).keys()].filter((path) => path.length === 2), []);
    const files = new CrashFiles(bench.folder, [image]);
    files.write([image]);
    await files.requireClean();
  });
});

Deno.test("Upkeep.commit: flushes what the kernel overwrites without a word", async () => {
  await withServer("-b 4096", (bench) => {
    const { server, device } = bench;
    const flushes = () => {
      device.arm();
      server.changes!.commit();
      return device.calls.filter((call) => call === "flush").length;
    };
    assert.equal(flushes(), 0, "nothing was written");
    server.iomap!.configure();
    assert.equal(flushes(), 1);
  });
});

Deno.test("SETATTR of a deleted file: times of the kernel's go nowhere, privileges do", async () => {
  await withServer("-b 4096", (bench) => {
    const { server, fs } = bench;
    const nodeId = create(bench, "file");
    const capability = bytes("security.capability");
    const value = new Uint8Array(20);
    value[3] = 2;
    const flags = { flags: 0, killSetGid: false };
    server.changes!.setxattr(nodeId, capability, value, flags, ROOT);
    server.changes!.unlink(ROOT_NODE, bytes("file"));
    fs.writing.transactions.commit();
    const { mtime } = server.getattr(nodeId);
    const ctime = { sec: mtime.sec + 1000, nsec: 0 };
    server.changes!.setattr(nodeId, { mtime, ctime, killSetIds: false }, ROOT);
    assert.equal(fs.writing.transactions.isDirty, false);
    assert.notEqual(server.getxattr(nodeId, capability), undefined);
    // What is left of a chown(2) to the same owner.
    server.changes!.setattr(nodeId, { ctime, killSetIds: true }, ROOT);
    assert.equal(server.getxattr(nodeId, capability), undefined);
    server.forget(nodeId, 1);
  });
});
