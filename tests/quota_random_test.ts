/**
 * Random sequences of all kinds of changes on file systems with quotas, some of which the limits
 * refuse in the middle: e2fsck, which counts by itself, must agree with the quota files, after the
 * sequence and after crashes in it.
 */

import assert from "node:assert/strict";
import { V2r1DiskDqblk as Entry } from "../src/disk/quota.ts";
import { setAttributes } from "../src/ext4/inode/attributes.ts";
import { evict } from "../src/ext4/inode/evict.ts";
import {
  FALLOC_FL_COLLAPSE_RANGE,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  fallocate,
} from "../src/ext4/content/fallocate.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import { changeFileAttributes } from "../src/ext4/inode/inode_flags.ts";
import { lookup } from "../src/ext4/directory/lookup.ts";
import {
  link,
  makeDirectory,
  makeNode,
  makeSymlink,
  makeTemporary,
  removeDirectory,
  unlink,
} from "../src/ext4/directory/namespace.ts";
import { QuotaFile, type QuotaType } from "../src/ext4/quota/quota_file.ts";
import { QuotaTree } from "../src/ext4/quota/quota_tree.ts";
import { rename } from "../src/ext4/directory/rename.ts";
import { removeXattr, setXattr } from "../src/ext4/xattr/set_xattr.ts";
import { setSize } from "../src/ext4/content/truncate.ts";
import { writeFile } from "../src/ext4/content/write.ts";
import { Ext4SuperBlock as Sb } from "../src/disk/superblock.ts";
import { FsError } from "../src/sys/fs_error.ts";
import { S_IFDIR, S_IFIFO, S_IFREG } from "../src/sys/stat.ts";
import { openForWriting } from "./support/allocation.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const STEPS = 1500;
/** Steps between two crashes. */
const LIFE = 250;
const NAMES = Array.from({ length: 40 }, (_, number) => `name-${"x".repeat(number)}`);
const IDS = [0, 5, 6, 1000, 70000, 4_000_000_000];

const LAYOUTS: Readonly<Record<string, { mke2fs: string; features?: string; megabytes?: number }>> =
  {
    "1k": { mke2fs: "-b 1024" },
    "4k, large attributes": { mke2fs: "-b 4096", features: ",ea_inode" },
    "inline data": { mke2fs: "-b 1024", features: ",inline_data" },
    "inline data, large attributes, orphan file": {
      mke2fs: "-b 2048 -I 512",
      features: ",inline_data,ea_inode,orphan_file",
    },
    "bigalloc, large attributes": {
      mke2fs: "-b 1024 -C 8192",
      features: ",bigalloc,ea_inode",
      megabytes: 200,
    },
    "pointers": { mke2fs: "-b 1024", features: ",^extent,^64bit" },
  };

const encode = (text: string) => new TextEncoder().encode(text);

class Sequence {
  readonly #fs: FileSystem;
  readonly #random: Random;
  refused = 0;

  constructor(fs: FileSystem, random: Random) {
    this.#fs = fs;
    this.#random = random;
  }

  /** One change, by a random user. What is not possible is passed over. */
  step(): void {
    const uid = this.#random.pick(IDS);
    this.#fs.writing.blocks.user = { uid, gid: uid };
    try {
      this.#change({ uid, gid: this.#random.pick(IDS) });
    } catch (error) {
      if (!(error instanceof FsError) || error.isCorruption) throw error;
      if (error.code === "EDQUOT") this.refused++;
      else assert.ok(POSSIBLE.has(error.code), error.stack);
    }
  }

  #change(owner: { uid: number; gid: number }): void {
    const fs = this.#fs;
    const random = this.#random;
    const dir = this.#directory();
    const name = encode(random.pick(NAMES));
    const found = lookup(fs, dir, name);
    if (found === undefined) return this.#make(dir, name, owner);
    const inode = fs.inode(found);
    const kind = random.below(12);
    if (kind === 0) {
      return void (inode.isDirectory
        ? this.#evict(removeDirectory(fs, dir, name))
        : this.#evict(unlink(fs, dir, name)));
    }
    if (kind === 1) {
      const replaced = rename(fs, dir, name, fs.root, encode(random.pick(NAMES)), 0, owner);
      return replaced && this.#evict(replaced);
    }
    if (kind === 2) return link(fs, inode, fs.root, encode(random.pick(NAMES)));
    if (kind === 3) return setAttributes(fs, inode, owner, { uid: 0, gid: 0 });
    if (kind === 4) return changeFileAttributes(fs, inode, { projectId: random.pick(IDS) });
    if (kind < 7) {
      const attribute = encode(`user.attribute${random.below(4)}`);
      const size = random.oneIn(3) ? random.below(9000) : random.below(200);
      if (random.oneIn(4)) return removeXattr(fs, inode, attribute);
      return setXattr(fs, inode, attribute, new Uint8Array(size).fill(random.below(3)), 0);
    }
    if (inode.isRegular) this.#content(inode);
  }

  #directory() {
    const fs = this.#fs;
    if (this.#random.oneIn(2)) return fs.root;
    const found = lookup(fs, fs.root, encode(this.#random.pick(NAMES)));
    const inode = found === undefined ? fs.root : fs.inode(found);
    return inode.isDirectory ? inode : fs.root;
  }

  #make(dir: FileSystem["root"], name: Uint8Array, owner: { uid: number; gid: number }): void {
    const fs = this.#fs;
    const random = this.#random;
    const file = { ...owner, umask: 0o022, mode: S_IFREG | 0o666 };
    const kind = random.below(8);
    if (kind === 0) makeDirectory(fs, dir, name, { ...file, mode: S_IFDIR | 0o777 });
    else if (kind === 1) {
      makeSymlink(fs, dir, name, encode("t".repeat(1 + random.below(900))), owner);
    } else if (kind === 2) makeNode(fs, dir, name, { ...file, mode: S_IFIFO | 0o666 });
    else if (kind === 3) {
      const inode = makeTemporary(fs, dir, file);
      writeFile(fs, inode, random.below(9000), random.bytes(3000));
      if (random.oneIn(2)) link(fs, inode, dir, name);
    } else makeNode(fs, dir, name, file);
  }

  #content(inode: FileSystem["root"]): void {
    const fs = this.#fs;
    const random = this.#random;
    const at = random.below(60_000);
    const length = 1 + random.below(20_000);
    switch (random.below(6)) {
      case 0:
        return setSize(fs, inode, at);
      case 1:
        return fallocate(fs, inode, FALLOC_FL_KEEP_SIZE, at, length);
      case 2:
        return fallocate(fs, inode, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, length);
      case 3:
        return fallocate(fs, inode, FALLOC_FL_COLLAPSE_RANGE, 8192, 8192);
      default:
        return void writeFile(fs, inode, at, random.bytes(length));
    }
  }

  #evict(inode: FileSystem["root"]): void {
    // Some stay open.
    if (inode.linksCount === 0 && this.#random.below(4) > 0) evict(this.#fs, inode);
  }
}

/** What a random change may be told. */
const POSSIBLE = new Set([
  ...["ENOSPC", "ENOTEMPTY", "EEXIST", "ENOTDIR", "EISDIR", "EINVAL", "EPERM", "ENODATA"],
  ...["EOPNOTSUPP", "EXDEV", "EMLINK", "EBUSY"],
]);

function setLimits(fs: FileSystem): void {
  const limits: readonly (readonly [QuotaType, number])[] = [["user", 5], ["group", 6], [
    "project",
    1000,
  ]];
  const fields = {
    user: Sb.s_usr_quota_inum,
    group: Sb.s_grp_quota_inum,
    project: Sb.s_prj_quota_inum,
  };
  for (const [type, id] of limits) {
    fs.change((handle) => {
      const tree = new QuotaTree(
        fs,
        new QuotaFile(fs, type, fields[type].get(fs.superblock.view, 0)),
      );
      const place = tree.find(id) ?? tree.insert(handle, id);
      const block = tree.blockOf(place);
      handle.modify(block);
      Entry.dqb_bhardlimit.set(block.view, place.at, 120);
      Entry.dqb_ihardlimit.set(block.view, place.at, 9);
    });
  }
}

for (const [name, { mke2fs, features = "", megabytes = 32 }] of Object.entries(LAYOUTS)) {
  Deno.test(`quotas: random changes of all kinds, limits and crashes: ${name}`, async () => {
    if (!requires("e2fsprogs")) return;
    using folder = new TempDir();
    const image = folder.join("random.img");
    await run("mke2fs", [
      ...["-q", "-F", "-t", "ext4", ...mke2fs.split(" ")],
      ...["-O", `quota,project${features}`, "-E", "quotatype=usrquota:grpquota:prjquota"],
      ...[image, `${megabytes}M`],
    ]);
    const quotaLimits = new Set<QuotaType>(["user", "group", "project"]);
    const random = new Random(name.length);
    let refused = 0;
    for (let steps = 0; steps < STEPS; steps += LIFE) {
      using opened = openForWriting(image, { quotaLimits });
      const { fs } = opened;
      if (steps === 0) setLimits(fs);
      const sequence = new Sequence(fs, random);
      for (let step = 0; step < LIFE; step++) sequence.step();
      refused += sequence.refused;
      if (steps + LIFE < STEPS) fs.writing.transactions.commit();
      else {
        for (const ino of [...fs.unlinkedInodes]) evict(fs, fs.inode(ino));
        fs.stopWriting();
      }
      assert.deepEqual(opened.complaints, []);
      await checkCrashed(image, folder.join("copy.img"));
    }
    await run("e2fsck", ["-fn", image]);
    assert.ok(refused > 20, `${refused} were refused`);
  });
}

/**
 * A copy is replayed and its orphans cleaned up by fuse4fs, after which e2fsck finds nothing to
 * mend. e2fsck can do the first, too, but does not know how orphans let go of large attributes.
 */
async function checkCrashed(image: string, copy: string): Promise<void> {
  Deno.copyFileSync(image, copy);
  {
    using opened = openForWriting(copy);
    opened.fs.stopWriting();
    assert.deepEqual(opened.complaints, []);
  }
  await run("e2fsck", ["-fn", copy]);
  Deno.copyFileSync(image, copy);
  await run("e2fsck", ["-fy", copy], { codes: [0, 1] });
  await run("e2fsck", ["-fn", copy]);
}
