/** Quotas: use by debugfs and e2fsck, growth of the files, limits, and undone operations. */

import assert from "node:assert/strict";
import { changeOwners } from "../src/ext4/accounting.ts";
import { createInode } from "../src/ext4/create_inode.ts";
import { evict } from "../src/ext4/evict.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import type { Inode } from "../src/ext4/inode.ts";
import { keepUnlinked } from "../src/ext4/orphans_write.ts";
import { S_IFREG } from "../src/sys/stat.ts";
import { openForWriting } from "./support/allocation.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const TYPES = ["user", "group", "project"] as const;
type Type = typeof TYPES[number];

/** By id: bytes and inodes. */
type Uses = Map<number, { space: number; inodes: number }>;

async function makeImage(
  folder: TempDir,
  blockSize: number,
  megabytes = 64,
  features = "",
): Promise<string> {
  const image = folder.join(`quota-${blockSize}.img`);
  await run("mke2fs", [
    ...["-q", "-F", "-t", "ext4", "-b", `${blockSize}`, "-N", "4000"],
    ...["-O", `quota,project${features}`, "-E", "quotatype=usrquota:grpquota:prjquota"],
    ...[image, `${megabytes}M`],
  ]);
  return image;
}

/** What the quota files say, by debugfs. */
async function listedUses(image: string, type: Type): Promise<Uses> {
  const { stdout } = await run("debugfs", ["-R", `list_quota ${type}`, image]);
  const rows = stdout.matchAll(/^ *(\d+) +(\d+) +\d+ +\d+ +(\d+) +\d+ +\d+$/mg);
  return new Map(
    [...rows].map(([, id, space, inodes]) => [
      Number(id),
      { space: Number(space), inodes: Number(inodes) },
    ]),
  );
}

/** Those who have something. */
function inUse(uses: Uses): unknown {
  return [...uses].filter(([, { space, inodes }]) => space > 0 || inodes > 0)
    .sort(([a], [b]) => a - b);
}

function idOf(inode: Inode, type: Type): number {
  return { user: inode.uid, group: inode.gid, project: inode.projectId }[type];
}

function add(uses: Uses, id: number, space: number, inodes: number): void {
  const before = uses.get(id) ?? { space: 0, inodes: 0 };
  uses.set(id, { space: before.space + space, inodes: before.inodes + inodes });
}

/** Ids that share all, some and none of the nodes of the tree. */
function randomId(random: Random): number {
  switch (random.below(4)) {
    case 0:
      return random.below(40);
    case 1:
      return random.below(3) * 256 + random.below(256);
    case 2:
      return random.below(3) * 2 ** 24 + random.below(3) * 2 ** 16 + random.below(20);
    default:
      return random.below(2 ** 32 - 1);
  }
}

function create(fs: FileSystem, uid: number, gid: number, projectId: number): Inode {
  return fs.change((handle) => {
    const inode = createInode(fs, handle, fs.root, { mode: S_IFREG | 0o644, uid, gid });
    changeOwners(fs, handle, inode, { uid, gid, projectId });
    return inode;
  });
}

function discard(fs: FileSystem, inode: Inode): void {
  fs.change((handle) => {
    fs.modifyInode(handle, inode);
    inode.linksCount = 0;
    keepUnlinked(fs, handle, inode);
  });
  evict(fs, inode);
}

for (const blockSize of [1024, 4096, 65536]) {
  Deno.test(`quotas: inodes come, go, and change their owners, blocks of ${blockSize}`, async () => {
    if (!requires("e2fsprogs")) return;
    using folder = new TempDir();
    const image = await makeImage(folder, blockSize);
    const model = Object.fromEntries(
      await Promise.all(TYPES.map(async (type) => [type, await listedUses(image, type)])),
    ) as Record<Type, Uses>;
    using opened = openForWriting(image);
    const { fs } = opened;
    const random = new Random(3);
    const files: Inode[] = [];
    for (let step = 0; step < 3000; step++) {
      const ids = [0, 1, 2].map(() => randomId(random));
      if (files.length < 20 || random.below(3) === 0) {
        const inode = create(fs, ids[0], ids[1], ids[2]);
        files.push(inode);
        for (const type of TYPES) add(model[type], idOf(inode, type), 0, 1);
      } else if (random.below(2) === 0) {
        const inode = random.pick(files);
        const owners = { uid: ids[0], gid: ids[1], projectId: ids[2] };
        const change = (fails: boolean) => () =>
          fs.change((handle) => {
            changeOwners(fs, handle, inode, owners);
            if (fails) throw new Error("undone");
          });
        assert.throws(change(true), { message: "undone" });
        for (const type of TYPES) add(model[type], idOf(inode, type), 0, -1);
        change(false)();
        for (const type of TYPES) add(model[type], idOf(inode, type), 0, 1);
      } else {
        const [inode] = files.splice(random.below(files.length), 1);
        for (const type of TYPES) add(model[type], idOf(inode, type), 0, -1);
        discard(fs, inode);
      }
    }
    fs.stopWriting();
    for (const type of TYPES) {
      assert.deepEqual(inUse(await listedUses(image, type)), inUse(model[type]), type);
    }
  });
}
