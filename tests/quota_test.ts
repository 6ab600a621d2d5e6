/** Quotas: use by debugfs and e2fsck, growth of the files, limits, damage, and undone operations. */

import assert from "node:assert/strict";
import { V2r1DiskDqblk as Entry } from "../src/disk/quota.ts";
import { Ext4SuperBlock as Sb } from "../src/disk/superblock.ts";
import { EXT4_PROJINHERIT_FL, EXT4_VISIBLE_FLAGS } from "../src/disk/inode.ts";
import { changeOwners } from "../src/ext4/quota/accounting.ts";
import { mapNewBlocks, unmapBlocks } from "../src/ext4/map/block_map_write.ts";
import { createInode } from "../src/ext4/inode/create_inode.ts";
import { evict } from "../src/ext4/inode/evict.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import type { Inode } from "../src/ext4/inode/inode.ts";
import { changeFileAttributes } from "../src/ext4/inode/inode_flags.ts";
import { makeDirectory } from "../src/ext4/directory/namespace.ts";
import { usage, usageIn } from "../src/ext4/superblock/statfs.ts";
import { mapBlocks } from "../src/ext4/map/block_map.ts";
import { keepUnlinked } from "../src/ext4/orphans/orphans_write.ts";
import { QuotaFile, type QuotaType } from "../src/ext4/quota/quota_file.ts";
import { QuotaTree } from "../src/ext4/quota/quota_tree.ts";
import { S_IFDIR, S_IFREG } from "../src/sys/stat.ts";
import { complaintsAfter, openForWriting } from "./support/allocation.ts";
import { throwsFsError } from "./support/errors.ts";
import { debugfs } from "./support/images.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const TYPES = ["user", "group", "project"] as const;
const ALL: ReadonlySet<QuotaType> = new Set(TYPES);
const FIELDS = {
  user: Sb.s_usr_quota_inum,
  group: Sb.s_grp_quota_inum,
  project: Sb.s_prj_quota_inum,
} as const;

/** By id: bytes and inodes. */
type Uses = Map<number, { space: number; inodes: number }>;
type Model = Record<QuotaType, Uses>;

async function makeImage(
  folder: TempDir,
  mke2fs = "-b 1024",
  { features = "", megabytes = 64 } = {},
): Promise<string> {
  const image = folder.join("quota.img");
  await run("mke2fs", [
    ...["-q", "-F", "-t", "ext4", "-N", "4000", ...mke2fs.split(" ")],
    ...["-O", `quota,project${features}`, "-E", "quotatype=usrquota:grpquota:prjquota"],
    ...[image, `${megabytes}M`],
  ]);
  return image;
}

/** What the quota files say, by debugfs. */
async function listedUses(image: string, type: QuotaType): Promise<Uses> {
  const { stdout } = await run("debugfs", ["-R", `list_quota ${type}`, image]);
  const rows = stdout.matchAll(/^ *(\d+) +(\d+) +\d+ +\d+ +(\d+) +\d+ +\d+$/mg);
  return new Map(
    [...rows].map(([, id, space, inodes]) => [
      Number(id),
      { space: Number(space), inodes: Number(inodes) },
    ]),
  );
}

async function listedModel(image: string): Promise<Model> {
  const [user, group, project] = await Promise.all(TYPES.map((type) => listedUses(image, type)));
  return { user, group, project };
}

/** Those who have something. */
function inUse(uses: Uses): unknown {
  return [...uses].filter(([, { space, inodes }]) => space > 0 || inodes > 0)
    .sort(([a], [b]) => a - b);
}

async function requireListed(image: string, model: Model): Promise<void> {
  const listed = await listedModel(image);
  for (const type of TYPES) assert.deepEqual(inUse(listed[type]), inUse(model[type]), type);
}

function idOf(inode: Inode, type: QuotaType): number {
  return { user: inode.uid, group: inode.gid, project: inode.projectId }[type];
}

/** Adds to what the owners of an inode have. */
function add(model: Model, inode: Inode, space: number, inodes: number): void {
  for (const type of TYPES) {
    const id = idOf(inode, type);
    const before = model[type].get(id) ?? { space: 0, inodes: 0 };
    model[type].set(id, { space: before.space + space, inodes: before.inodes + inodes });
  }
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

function randomOwners(random: Random) {
  return { uid: randomId(random), gid: randomId(random), projectId: randomId(random) };
}

function create(fs: FileSystem, uid = 0, gid = 0, projectId = 0): Inode {
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

function bytesOf(fs: FileSystem, inode: Inode): number {
  return inode.blocks512(fs.blockSize) * 512;
}

/** Gives blocks to a hole of a file, as many as it gets at once. */
function grow(fs: FileSystem, inode: Inode, fileBlock: number, count: number): void {
  fs.change((handle) => {
    const { kind, count: room } = mapBlocks(fs, inode, fileBlock, count);
    if (kind !== "hole") return;
    fs.modifyInode(handle, inode);
    const given = mapNewBlocks(fs, handle, inode, { fileBlock, count: room, purpose: "data" });
    const end = (given.fileBlock + given.count) * fs.blockSize;
    if (inode.size < end) inode.size = end;
  });
}

function cut(fs: FileSystem, inode: Inode, fileBlock: number): void {
  fs.change((handle) => {
    fs.modifyInode(handle, inode);
    if (inode.size > fileBlock * fs.blockSize) inode.size = fileBlock * fs.blockSize;
    assert.equal(unmapBlocks(fs, handle, inode, fileBlock, 2 ** 32), fileBlock);
  });
}

for (const blockSize of [1024, 4096, 65536]) {
  Deno.test(`quotas: inodes come, go, and change their owners, blocks of ${blockSize}`, async () => {
    if (!requires("e2fsprogs")) return;
    using folder = new TempDir();
    const image = await makeImage(folder, `-b ${blockSize}`);
    const model = await listedModel(image);
    using opened = openForWriting(image);
    const { fs } = opened;
    const random = new Random(3);
    const files: Inode[] = [];
    for (let step = 0; step < 3000; step++) {
      const owners = randomOwners(random);
      if (files.length < 20 || random.oneIn(3)) {
        const inode = create(fs, owners.uid, owners.gid, owners.projectId);
        files.push(inode);
        add(model, inode, 0, 1);
      } else if (random.oneIn(2)) {
        const inode = random.pick(files);
        const change = (fails: boolean) => () =>
          fs.change((handle) => {
            changeOwners(fs, handle, inode, owners);
            if (fails) throw new Error("undone");
          });
        assert.throws(change(true), { message: "undone" });
        add(model, inode, 0, -1);
        change(false)();
        add(model, inode, 0, 1);
      } else {
        const [inode] = files.splice(random.below(files.length), 1);
        add(model, inode, 0, -1);
        discard(fs, inode);
      }
    }
    fs.stopWriting();
    await requireListed(image, model);
  });
}

const LAYOUTS: Readonly<Record<string, { mke2fs: string; features?: string; megabytes?: number }>> =
  {
    "1k": { mke2fs: "-b 1024" },
    "4k": { mke2fs: "-b 4096" },
    "64k": { mke2fs: "-b 65536", features: ",^has_journal", megabytes: 300 },
    "pointers": { mke2fs: "-b 1024", features: ",^extent,^64bit" },
    "bigalloc": { mke2fs: "-b 1024 -C 8192", features: ",bigalloc", megabytes: 200 },
    "orphan file": { mke2fs: "-b 2048", features: ",orphan_file" },
    "no journal": { mke2fs: "-b 1024", features: ",^has_journal" },
  };

for (const [name, { mke2fs, ...layout }] of Object.entries(LAYOUTS)) {
  Deno.test(`quotas: files grow, are cut, change their owners and go: ${name}`, async () => {
    if (!requires("e2fsprogs")) return;
    using folder = new TempDir();
    const image = await makeImage(folder, mke2fs, layout);
    const model = await listedModel(image);
    using opened = openForWriting(image);
    const { fs } = opened;
    const random = new Random(11);
    const files: Inode[] = [];
    const counted = (inode: Inode, act: () => void) => {
      add(model, inode, -bytesOf(fs, inode), 0);
      act();
      add(model, inode, bytesOf(fs, inode), 0);
    };
    for (let step = 0; step < 1500; step++) {
      const inode = files.length < 3 ? undefined : random.pick(files);
      const choice = random.below(10);
      if (inode === undefined || (choice === 0 && files.length < 12)) {
        const { uid, gid, projectId } = randomOwners(random);
        const made = create(fs, uid, gid, projectId);
        files.push(made);
        add(model, made, 0, 1);
      } else if (choice === 1) {
        files.splice(files.indexOf(inode), 1);
        add(model, inode, -bytesOf(fs, inode), -1);
        discard(fs, inode);
      } else if (choice === 2) {
        add(model, inode, -bytesOf(fs, inode), -1);
        fs.change((handle) => changeOwners(fs, handle, inode, randomOwners(random)));
        add(model, inode, bytesOf(fs, inode), 1);
      } else if (choice < 5) {
        const at = random.below(300);
        assert.throws(() =>
          fs.change((handle) => {
            fs.modifyInode(handle, inode);
            unmapBlocks(fs, handle, inode, at, 2 ** 32);
            throw new Error("undone");
          }), { message: "undone" });
        counted(inode, () => cut(fs, inode, at));
      } else {
        counted(inode, () => grow(fs, inode, random.below(400), 1 + random.below(20)));
      }
    }
    fs.stopWriting();
    await requireListed(image, model);
    await debugfs(image, files.map(({ ino }) => `ln <${ino}> file-${ino}`));
    assert.equal(await complaintsAfter(fs, image), "");
    assert.deepEqual(opened.complaints, []);
  });
}

/** Changes an entry of a quota file. */
function setEntry(
  fs: FileSystem,
  type: QuotaType,
  id: number,
  fields: Partial<Record<Exclude<keyof typeof Entry, "fieldNames" | "structName">, number>>,
): void {
  const tree = treeOf(fs, type);
  fs.change((handle) => {
    const place = tree.find(id) ?? tree.insert(handle, id);
    const block = tree.blockOf(place);
    handle.modify(block);
    for (const [name, value] of Object.entries(fields)) {
      Entry[name as "dqb_id"].set(block.view, place.at, value);
    }
  });
}

function treeOf(fs: FileSystem, type: QuotaType): QuotaTree {
  return new QuotaTree(fs, new QuotaFile(fs, type, FIELDS[type].get(fs.superblock.view, 0)));
}

function getField(fs: FileSystem, type: QuotaType, id: number, name: "dqb_btime"): number {
  const tree = treeOf(fs, type);
  const place = tree.find(id)!;
  return Entry[name].get(tree.blockOf(place).view, place.at);
}

/** A file system with a clock that the test sets. */
async function openWithLimits(folder: TempDir, limited = ALL) {
  const image = await makeImage(folder);
  const clock = { now: 1_800_000_000 };
  const opened = openForWriting(image, {
    quotaLimits: limited,
    now: () => ({ sec: clock.now, nsec: 0 }),
  });
  return { image, clock, opened, fs: opened.fs };
}

for (const type of TYPES) {
  Deno.test(`quotas: hard limits of a ${type} are limits, but not for root`, async () => {
    if (!requires("e2fsprogs")) return;
    using folder = new TempDir();
    const { image, opened, fs } = await openWithLimits(folder);
    using _ = opened;
    const ids = [5, 6, 7];
    const id = ids[TYPES.indexOf(type)];
    setEntry(fs, type, id, { dqb_bhardlimit: 10, dqb_ihardlimit: 2 });
    fs.writing.blocks.user = { uid: 5, gid: 6 };
    const file = create(fs, 5, 6, 7);
    create(fs, 5, 6, 7);
    throwsFsError("EDQUOT", () => create(fs, 5, 6, 7));
    grow(fs, file, 0, 8);
    assert.equal(bytesOf(fs, file), 8192);
    grow(fs, file, 8, 8);
    grow(fs, file, 8, 8);
    grow(fs, file, 9, 8);
    assert.equal(bytesOf(fs, file), 10240);
    throwsFsError("EDQUOT", () => grow(fs, file, 20, 1));
    const other = create(fs, 15, 16, 17);
    const toLimited = () =>
      fs.change((handle) => changeOwners(fs, handle, other, { uid: 5, gid: 6, projectId: 7 }));
    throwsFsError("EDQUOT", toLimited);
    assert.deepEqual([other.uid, other.gid, other.projectId], [15, 16, 17]);
    cut(fs, file, 4);
    grow(fs, file, 20, 6);
    throwsFsError("EDQUOT", () => grow(fs, file, 40, 1));

    fs.writing.blocks.user = { uid: 0, gid: 0 };
    toLimited();
    grow(fs, file, 40, 5);
    fs.writing.blocks.user = { uid: 5, gid: 6 };
    throwsFsError("EDQUOT", () => grow(fs, file, 50, 1));
    fs.stopWriting();
    const listed = await listedUses(image, type);
    assert.deepEqual(listed.get(id), { space: 15 * 1024, inodes: 3 });
  });
}

Deno.test("usageIn: in a project's folder its limits are the size of the file system", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const { opened, fs } = await openWithLimits(folder);
  using _ = opened;
  setEntry(fs, "project", 7, { dqb_bhardlimit: 50, dqb_bsoftlimit: 40, dqb_ihardlimit: 9 });
  const dir = makeDirectory(fs, fs.root, new TextEncoder().encode("folder"), {
    ...{ mode: S_IFDIR | 0o755, uid: 0, gid: 0, umask: 0 },
  });
  const whole = usage(fs, false);
  assert.deepEqual(usageIn(fs, () => dir, false), whole);
  changeFileAttributes(fs, dir, {
    flags: (dir.flags & EXT4_VISIBLE_FLAGS) | EXT4_PROJINHERIT_FL,
    projectId: 7,
  });
  const usedByDir = bytesOf(fs, dir) / 1024;
  grow(fs, create(fs, 5, 6, 7), 0, 10);
  const expected = { blocks: 40, freeBlocks: 30 - usedByDir, inodes: 9, freeInodes: 7 };
  assert.deepEqual(usageIn(fs, () => dir, false), {
    ...expected,
    availableBlocks: expected.freeBlocks,
  });
  assert.deepEqual(usageIn(fs, () => fs.root, false), usage(fs, false));
});

Deno.test("quotas: without a mount option, limits are no limits", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const { opened, fs } = await openWithLimits(folder, new Set<QuotaType>(["group"]));
  using _ = opened;
  setEntry(fs, "user", 5, { dqb_bhardlimit: 1, dqb_bsoftlimit: 1, dqb_ihardlimit: 1 });
  fs.writing.blocks.user = { uid: 5, gid: 6 };
  create(fs, 5, 6);
  grow(fs, create(fs, 5, 6), 0, 10);
  assert.equal(getField(fs, "user", 5, "dqb_btime"), 0);
});

Deno.test("quotas: a soft limit becomes a hard one after the time of grace", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const { opened, fs, clock } = await openWithLimits(folder);
  using _ = opened;
  const week = 7 * 86400;
  setEntry(fs, "user", 5, { dqb_bsoftlimit: 4, dqb_bhardlimit: 9, dqb_isoftlimit: 1 });
  fs.writing.blocks.user = { uid: 5, gid: 6 };
  const file = create(fs, 5, 6);
  grow(fs, file, 0, 4);
  assert.equal(getField(fs, "user", 5, "dqb_btime"), 0);
  grow(fs, file, 4, 1);
  assert.equal(getField(fs, "user", 5, "dqb_btime"), clock.now + week);
  clock.now += week - 1;
  grow(fs, file, 5, 1);
  const second = create(fs, 5, 6);
  clock.now++;
  throwsFsError("EDQUOT", () => grow(fs, file, 6, 1));
  create(fs, 5, 6);
  cut(fs, file, 4);
  assert.equal(getField(fs, "user", 5, "dqb_btime"), 0);
  grow(fs, file, 4, 1);
  assert.equal(getField(fs, "user", 5, "dqb_btime"), clock.now + week);
  clock.now += week;
  throwsFsError("EDQUOT", () => create(fs, 5, 6));
  throwsFsError("EDQUOT", () => grow(fs, file, 5, 1));
  discard(fs, second);
  throwsFsError("EDQUOT", () => create(fs, 5, 6));
});

Deno.test("quotas: damaged quota files are not written to", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await makeImage(folder);
  const good = Deno.readFileSync(image);
  const { stdout } = await run("debugfs", ["-R", "blocks <3>", image]);
  const blocks = stdout.trim().split(/\s+/).map(Number);
  const damage = (block: number, byte: number, value: number) => {
    const bytes = good.slice();
    new DataView(bytes.buffer).setUint32(block * 1024 + byte, value, true);
    Deno.writeFileSync(image, bytes);
  };
  const refused: readonly (readonly [number, number])[] = [
    [0, 0xd9c01f12],
    [4, 0],
    [20, 1],
    [20, 7],
    [24, 6],
    [28, 1],
  ];
  for (const [byte, value] of refused) {
    damage(blocks[0], byte, value);
    throwsFsError("EROFS", () => openForWriting(image));
  }
  // Links of the tree, to nothing and to the root; a leaf without the entry; a full leaf.
  const met: readonly (readonly [number, number, number, number])[] = [
    [1, 0, 77, 1],
    [2, 0, 1, 1],
    [5, 16, 9, 0],
    [5, 8, 14, 1],
  ];
  for (const [index, byte, value, uid] of met) {
    damage(blocks[index], byte, value);
    using opened = openForWriting(image);
    const { fs } = opened;
    const free = fs.writing.inodes.freeInodes;
    throwsFsError("EUCLEAN", () => create(fs, uid, 1, 1));
    assert.equal(fs.writing.inodes.freeInodes, free);
  }
});

Deno.test("quotas: orphans of a crash give back what they had", async () => {
  if (!requires("e2fsprogs")) return;
  for (const by of ["fuse4fs", "e2fsck"]) {
    using folder = new TempDir();
    const image = await makeImage(folder);
    const model = await listedModel(image);
    {
      using opened = openForWriting(image);
      const { fs } = opened;
      for (let count = 0; count < 20; count++) {
        const inode = create(fs, 5, 6, 7);
        grow(fs, inode, 10 * count, 20);
        fs.change((handle) => {
          fs.modifyInode(handle, inode);
          inode.linksCount = 0;
          keepUnlinked(fs, handle, inode);
        });
      }
      fs.writing.transactions.writeBack();
      assert.equal((await listedUses(image, "user")).get(5)?.inodes, 20);
    }
    if (by === "fuse4fs") {
      using opened = openForWriting(image);
      opened.fs.stopWriting();
    } else {
      await run("e2fsck", ["-fy", image], { codes: [0, 1] });
    }
    await requireListed(image, model);
    assert.equal((await run("e2fsck", ["-fn", image])).code, 0);
  }
});
