/**
 * Damage that somebody made with care: each case is a structure that is sound by itself, and says
 * what cannot be. Errors are FsErrors, what belongs to the file system itself stays as it is, and
 * nothing takes time or memory that the image has no room for.
 */

import assert from "node:assert/strict";
import { MemoryDevice } from "../src/block/memory_device.ts";
import { DxEntry, Ext4DirEntry2 as Entry } from "../src/disk/directory.ts";
import { Ext4Extent as Extent, EXT_INIT_MAX_LEN } from "../src/disk/extent.ts";
import { INCOMPAT } from "../src/disk/features.ts";
import { Ext4GroupDesc as Desc } from "../src/disk/group_desc.ts";
import { EXT4_INDEX_FL, EXT4_ROOT_INO, EXT4_TIND_BLOCK, Ext4Inode } from "../src/disk/inode.ts";
import {
  EXT4_SUPER_MAGIC,
  Ext4SuperBlock as Sb,
  SUPERBLOCK_OFFSET,
} from "../src/disk/superblock.ts";
import { groupChecksum } from "../src/ext4/allocation/groups.ts";
import { seekData, seekHole } from "../src/ext4/content/read.ts";
import { setSize } from "../src/ext4/content/truncate.ts";
import { writeFile } from "../src/ext4/content/write.ts";
import { readDirectory } from "../src/ext4/directory/directory.ts";
import { ROOT_INDEX_OFFSET } from "../src/ext4/directory/htree.ts";
import { lookup, namedInode } from "../src/ext4/directory/lookup.ts";
import { makeDirectory, makeNode, unlink } from "../src/ext4/directory/namespace.ts";
import { FileSystem } from "../src/ext4/filesystem.ts";
import { evict } from "../src/ext4/inode/evict.ts";
import type { Inode } from "../src/ext4/inode/inode.ts";
import { mapBlocks } from "../src/ext4/map/block_map.ts";
import { listOrphans } from "../src/ext4/orphans/orphans.ts";
import { FsError } from "../src/sys/fs_error.ts";
import { SILENT } from "../src/sys/log.ts";
import { S_IFREG } from "../src/sys/stat.ts";
import { openDeviceForWriting } from "./support/allocation.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const FILE = { mode: S_IFREG | 0o644, uid: 0, gid: 0, umask: 0o22 };
const PLAIN = "-t ext4 -b 1024 -O ^metadata_csum,^uninit_bg,^has_journal,^resize_inode";
/** Time that any request may take, in milliseconds. */
const LONGEST = 20_000;

const bytes = (text: string) => new TextEncoder().encode(text);

async function sound(mke2fs: string, size = "4M"): Promise<Uint8Array<ArrayBuffer>> {
  using folder = new TempDir();
  const image = folder.join("image");
  await run("mke2fs", ["-q", "-F", ...mke2fs.split(" "), image, size]);
  return Deno.readFileSync(image);
}

/** Does something to the file system, and leaves it in order. */
function write(image: Uint8Array<ArrayBuffer>, act: (fs: FileSystem) => void): void {
  const { fs } = openDeviceForWriting(new MemoryDevice(image));
  act(fs);
  fs.stopWriting();
}

function reader(image: Uint8Array<ArrayBuffer>): FileSystem {
  return FileSystem.open(new MemoryDevice(image, "image", true), { log: SILENT });
}

/** Changes the bytes of the image. */
function edit(
  image: Uint8Array<ArrayBuffer>,
  act: (view: DataView<ArrayBuffer>, fs: FileSystem) => void,
): void {
  act(new DataView(image.buffer), reader(image.slice()));
}

/** The byte at which the record of an inode begins. */
function recordOf(fs: FileSystem, ino: number): number {
  const { inodesPerGroup, inodeSize, blockSize } = fs.superblock;
  const { inodeTable } = fs.groups.get(Math.floor((ino - 1) / inodesPerGroup));
  return inodeTable * blockSize + ((ino - 1) % inodesPerGroup) * inodeSize;
}

function inodeOf(fs: FileSystem, name: string): Inode {
  const inode = namedInode(fs, fs.root, bytes(name));
  assert.ok(inode !== undefined, name);
  return inode;
}

/** The byte at which a block of a file begins. */
function blockOf(fs: FileSystem, inode: Inode, fileBlock = 0): number {
  return mapBlocks(fs, inode, fileBlock, 1).physicalBlock * fs.blockSize;
}

function code(act: () => unknown): string {
  const start = performance.now();
  try {
    act();
    return "";
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    return error.code;
  } finally {
    assert.ok(performance.now() - start < LONGEST, "took too long");
  }
}

Deno.test("unlink: more names than links: they go, and the inode is freed once", async () => {
  if (!requires("e2fsprogs")) return;
  const image = await sound(PLAIN);
  write(image, (fs) => {
    const file = makeNode(fs, fs.root, bytes("a"), FILE);
    makeNode(fs, fs.root, bytes("b"), FILE);
    writeFile(fs, file, 0, new Uint8Array(5000));
  });
  edit(image, (view, fs) => {
    const at = blockOf(fs, fs.root);
    const [a, b] = ["a", "b"].map((name) => inodeOf(fs, name).ino);
    for (let entry = at; entry < at + 1024; entry += Entry.rec_len.get(view, entry)) {
      if (Entry.inode.get(view, entry) === b) Entry.inode.set(view, entry, a);
    }
  });
  write(image, (fs) => {
    const file = unlink(fs, fs.root, bytes("a"));
    assert.equal(unlink(fs, fs.root, bytes("b")), file);
    assert.equal(file.linksCount, 0);
    evict(fs, file);
    assert.equal(fs.unlinkedInodes.size, 0);
  });
});

Deno.test("unlink: a name of a quota file leads nowhere", async () => {
  if (!requires("e2fsprogs")) return;
  const image = await sound(`${PLAIN},quota,project -I 256`);
  write(image, (fs) => void makeNode(fs, fs.root, bytes("a"), FILE));
  edit(image, (view, fs) => {
    const { ino } = inodeOf(fs, "a");
    Sb.s_prj_quota_inum.set(view, SUPERBLOCK_OFFSET, ino);
  });
  assert.equal(code(() => inodeOf(reader(image), "a")), "EUCLEAN");
});

Deno.test("makeNode: blocks that are not written yet are no place for names", async () => {
  if (!requires("e2fsprogs")) return;
  const image = await sound(PLAIN);
  const name = (index: number) => bytes(`${index}`.padEnd(200, "n"));
  write(image, (fs) => {
    for (let index = 0; index < 12; index++) makeNode(fs, fs.root, name(index), FILE);
  });
  edit(image, (view, fs) => {
    const at = recordOf(fs, EXT4_ROOT_INO);
    const flags = Ext4Inode.i_flags.get(view, at);
    Ext4Inode.i_flags.set(view, at, flags & ~EXT4_INDEX_FL);
    const extent = at + Ext4Inode.i_block.offset + 12;
    Extent.ee_len.set(view, extent, Extent.ee_len.get(view, extent) + EXT_INIT_MAX_LEN);
  });
  write(image, (fs) => {
    for (let index = 20; index < 30; index++) {
      assert.match(code(() => makeNode(fs, fs.root, name(index), FILE)), /^(EUCLEAN|)$/);
    }
  });
});

Deno.test("makeNode: a descriptor with more unused inodes than there are has none", async () => {
  if (!requires("e2fsprogs")) return;
  const image = await sound(
    "-t ext4 -b 1024 -O ^metadata_csum,uninit_bg,^has_journal -g 2048",
    "8M",
  );
  const before: Uint8Array[] = [];
  const bitmapsOf = (fs: FileSystem, group: number) => {
    const { blockBitmap, inodeTable } = fs.groups.get(group);
    return image.slice(blockBitmap * 1024, inodeTable * 1024);
  };
  edit(image, (view, fs) => {
    const { superblock, groups } = fs;
    for (let group = 1; group < superblock.groupCount; group++) {
      const at = groups.descriptorBlock(group) * 1024 + group * superblock.groupDescSize;
      Desc.bg_itable_unused_lo.set(view, at, superblock.inodesPerGroup + 24);
      Desc.bg_checksum.set(view, at, groupChecksum(superblock, image, at, group)!);
    }
    // No room in the first group.
    const { inodeBitmap } = groups.get(0);
    image.fill(0xff, inodeBitmap * 1024, (inodeBitmap + 1) * 1024);
    const at = groups.descriptorBlock(0) * 1024;
    Desc.bg_free_inodes_count_lo.set(view, at, 0);
    Desc.bg_itable_unused_lo.set(view, at, 0);
    Desc.bg_checksum.set(view, at, groupChecksum(superblock, image, at, 0)!);
    before.push(bitmapsOf(fs, 1));
  });
  write(image, (fs) => {
    assert.equal(code(() => makeNode(fs, fs.root, bytes("a"), FILE)), "ENOSPC");
  });
  assert.deepEqual(bitmapsOf(reader(image), 1), before[0]);
});

Deno.test("makeNode: an inode in use that the bitmap calls free is given to nobody", async () => {
  if (!requires("e2fsprogs")) return;
  const image = await sound(PLAIN);
  write(image, (fs) => void makeDirectory(fs, fs.root, bytes("dir"), FILE));
  edit(image, (view, fs) => {
    const { ino } = inodeOf(fs, "dir");
    const { inodeBitmap } = fs.groups.get(0);
    const byte = inodeBitmap * 1024 + Math.floor((ino - 1) / 8);
    view.setUint8(byte, view.getUint8(byte) & ~(1 << (ino - 1) % 8));
    const at = fs.groups.descriptorBlock(0) * 1024;
    Desc.bg_free_inodes_count_lo.set(view, at, Desc.bg_free_inodes_count_lo.get(view, at) + 1);
  });
  write(image, (fs) => {
    const dir = inodeOf(fs, "dir");
    assert.equal(code(() => makeNode(fs, dir, bytes("file"), FILE)), "ENOSPC");
    assert.ok(fs.inode(dir.ino).isDirectory);
  });
});

Deno.test("makeNode: blocks in use that the bitmap calls free are given to nobody", async () => {
  if (!requires("e2fsprogs")) return;
  const image = await sound(PLAIN);
  const name = (index: number) => bytes(`${index}`.padEnd(200, "n"));
  write(image, (fs) => {
    const dir = makeDirectory(fs, fs.root, bytes("dir"), FILE);
    for (let index = 0; index < 4; index++) makeNode(fs, dir, name(index), FILE);
  });
  edit(image, (view, fs) => {
    // Only the directory's own block is left.
    const { blockBitmap, freeClusters } = fs.groups.get(0);
    assert.ok(freeClusters > 0);
    image.fill(0xff, blockBitmap * 1024, (blockBitmap + 1) * 1024);
    const bit = blockOf(fs, inodeOf(fs, "dir")) / 1024 - 1;
    const byte = blockBitmap * 1024 + Math.floor(bit / 8);
    view.setUint8(byte, 0xff & ~(1 << bit % 8));
    Desc.bg_free_blocks_count_lo.set(view, fs.groups.descriptorBlock(0) * 1024, 1);
    Sb.s_r_blocks_count_lo.set(view, SUPERBLOCK_OFFSET, 0);
    const incompat = Sb.s_feature_incompat.get(view, SUPERBLOCK_OFFSET);
    // Nothing is held back then.
    Sb.s_feature_incompat.set(view, SUPERBLOCK_OFFSET, incompat & ~INCOMPAT.extent);
  });
  write(image, (fs) => {
    const dir = inodeOf(fs, "dir");
    for (let index = 10; index < 14; index++) {
      assert.match(code(() => makeNode(fs, dir, name(index), FILE)), /^(ENOSPC|EUCLEAN|)$/);
    }
    assert.equal([...readDirectory(fs, dir, 0)].length, 6);
  });
});

Deno.test("makeNode: names are not written over the file system's own blocks", async () => {
  if (!requires("e2fsprogs")) return;
  const image = await sound(PLAIN);
  write(image, (fs) => void makeDirectory(fs, fs.root, bytes("dir"), FILE));
  edit(image, (view, fs) => {
    const dir = inodeOf(fs, "dir");
    const { inodesPerGroup, inodeSize } = fs.superblock;
    // The last block of the table, of which no inode is in use.
    const last = fs.groups.get(0).inodeTable + inodesPerGroup * inodeSize / 1024 - 1;
    const at = blockOf(fs, dir);
    image.copyWithin(last * 1024, at, at + 1024);
    Extent.ee_start_lo.set(view, recordOf(fs, dir.ino) + Ext4Inode.i_block.offset + 12, last);
  });
  const readable = reader(image);
  assert.equal([...readDirectory(readable, inodeOf(readable, "dir"), 0)].length, 2);
  write(image, (fs) => {
    assert.equal(code(() => makeNode(fs, inodeOf(fs, "dir"), bytes("a"), FILE)), "EUCLEAN");
  });
});

Deno.test("FileSystem.open: magic numbers everywhere do not make the search for backups long", () => {
  const view = new DataView(new ArrayBuffer(256 << 20));
  for (let at = 0; at < view.byteLength; at += 1024) {
    Sb.s_magic.set(view, at, EXT4_SUPER_MAGIC);
  }
  assert.equal(code(() => reader(new Uint8Array(view.buffer))), "EUCLEAN");
});

Deno.test("FileSystem.open: groups smaller than mke2fs makes them are for reading only", async () => {
  if (!requires("e2fsprogs")) return;
  const image = await sound(`${PLAIN} -g 256`);
  edit(image, (view, fs) => {
    const groups = Math.ceil((fs.superblock.blocksCount - 1) / 128);
    Sb.s_blocks_per_group.set(view, SUPERBLOCK_OFFSET, 128);
    Sb.s_clusters_per_group.set(view, SUPERBLOCK_OFFSET, 128);
    Sb.s_inodes_per_group.set(view, SUPERBLOCK_OFFSET, 8);
    Sb.s_inodes_count.set(view, SUPERBLOCK_OFFSET, groups * 8);
  });
  assert.equal(code(() => openDeviceForWriting(new MemoryDevice(image))), "EROFS");
});

Deno.test("readDirectory: an index that leads to one leaf again and again is damage", async () => {
  if (!requires("e2fsprogs")) return;
  const image = await sound(PLAIN, "16M");
  write(image, (fs) => {
    const dir = makeDirectory(fs, fs.root, bytes("dir"), FILE);
    const file = makeNode(fs, dir, bytes("first"), FILE);
    assert.ok(file.linksCount === 1);
    for (let index = 0; index < 900; index++) makeNode(fs, dir, bytes(`n${index}`), FILE);
  });
  edit(image, (view, fs) => {
    const dir = inodeOf(fs, "dir");
    const root = blockOf(fs, dir) + ROOT_INDEX_OFFSET;
    const limit = view.getUint16(root, true);
    view.setUint16(root + 2, limit, true);
    for (let entry = 1; entry < limit; entry++) {
      DxEntry.hash.set(view, root + entry * DxEntry.byteLength, 1);
      DxEntry.block.set(view, root + entry * DxEntry.byteLength, 1);
    }
    Ext4Inode.i_size_lo.set(view, recordOf(fs, dir.ino), 8 << 20);
  });
  const fs = reader(image);
  const dir = inodeOf(fs, "dir");
  assert.equal(code(() => [...readDirectory(fs, dir, 0)]), "EUCLEAN");
  assert.match(code(() => lookup(fs, dir, bytes("missing"))), /^(EUCLEAN|)$/);
});

Deno.test("listOrphans: a list as long as there are inodes", async () => {
  if (!requires("e2fsprogs")) return;
  const image = await sound(`${PLAIN} -I 128 -N 160000`, "40M");
  let count = 0;
  edit(image, (view, fs) => {
    const { firstInode, inodesCount } = fs.superblock;
    Sb.s_last_orphan.set(view, SUPERBLOCK_OFFSET, firstInode);
    for (let ino = firstInode; ino < inodesCount; ino++) {
      Ext4Inode.i_dtime.set(view, recordOf(fs, ino), ino + 1);
    }
    count = inodesCount - firstInode + 1;
  });
  assert.equal(listOrphans(reader(image)).length, count);
});

Deno.test("seekHole and seekData: pointers to themselves end", async () => {
  if (!requires("e2fsprogs")) return;
  const image = await sound("-t ext2 -b 4096", "8M");
  write(image, (fs) => {
    const file = makeNode(fs, fs.root, bytes("a"), FILE);
    writeFile(fs, file, 0, new Uint8Array(4096));
  });
  edit(image, (view, fs) => {
    const file = inodeOf(fs, "a");
    const at = recordOf(fs, file.ino);
    const table = blockOf(fs, file);
    for (let pointer = 0; pointer < 1024; pointer++) {
      view.setUint32(table + pointer * 4, table / 4096, true);
    }
    for (let slot = 0; slot <= EXT4_TIND_BLOCK; slot++) {
      view.setUint32(at + Ext4Inode.i_block.offset + slot * 4, table / 4096, true);
    }
    Ext4Inode.i_size_high.set(view, at, 0x3ff);
  });
  const fs = reader(image);
  const file = inodeOf(fs, "a");
  assert.equal(code(() => seekHole(fs, file, 0)), "");
  assert.equal(code(() => seekData(fs, file, 0)), "");
});

Deno.test("writeFile: zeros around new data stay out of the file system's own blocks", async () => {
  if (!requires("e2fsprogs")) return;
  const image = await sound(PLAIN);
  write(image, (fs) => {
    const file = makeNode(fs, fs.root, bytes("a"), FILE);
    writeFile(fs, file, 0, new Uint8Array(8192));
  });
  edit(image, (view, fs) => {
    const { inodeTable } = fs.groups.get(0);
    const end = inodeTable + fs.superblock.inodesPerGroup * fs.superblock.inodeSize / 1024;
    const extent = recordOf(fs, inodeOf(fs, "a").ino) + Ext4Inode.i_block.offset + 12;
    Extent.ee_len.set(view, extent, 8 + EXT_INIT_MAX_LEN);
    Extent.ee_start_lo.set(view, extent, end - 4);
  });
  write(image, (fs) => {
    const file = inodeOf(fs, "a");
    const table = image.slice((fs.groups.get(0).inodeTable + 8) * 1024, blockOf(fs, file, 4));
    const result = code(() => writeFile(fs, file, 6 * 1024, new Uint8Array(1024).fill(1)));
    assert.equal(result, "EUCLEAN");
    const after = image.slice((fs.groups.get(0).inodeTable + 8) * 1024, blockOf(fs, file, 4));
    assert.deepEqual(after, table);
  });
});

Deno.test("setSize: an inode that counts less than it has counts nothing in the end", async () => {
  if (!requires("e2fsprogs")) return;
  const image = await sound(PLAIN);
  write(image, (fs) => {
    const file = makeNode(fs, fs.root, bytes("a"), FILE);
    writeFile(fs, file, 0, new Uint8Array(50_000));
  });
  edit(image, (view, fs) => {
    Ext4Inode.i_blocks_lo.set(view, recordOf(fs, inodeOf(fs, "a").ino), 2);
  });
  write(image, (fs) => {
    const file = inodeOf(fs, "a");
    setSize(fs, file, 0);
    assert.equal(file.blocks512(fs.blockSize), 0);
  });
});

Deno.test("FileSystem.open: a log that brings a superblock which cannot be written is refused", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  for (const feature of [INCOMPAT.compression, INCOMPAT.dirdata, 0]) {
    const path = folder.join("image");
    const block = folder.join("block");
    await run("mke2fs", [
      ...["-q", "-F", "-t", "ext4", "-b", "1024", "-O", "^metadata_csum", path, "8M"],
    ]);
    const superblock = Deno.readFileSync(path).slice(1024, 2048);
    const view = new DataView(superblock.buffer);
    if (feature === 0) Sb.s_blocks_count_lo.set(view, 0, 2 ** 30);
    const incompat = Sb.s_feature_incompat.get(view, 0) | feature | INCOMPAT.needs_recovery;
    Sb.s_feature_incompat.set(view, 0, incompat);
    Deno.writeFileSync(block, superblock);
    await run("debugfs", ["-w", "-f", "/dev/stdin", path], {
      input: `jo\njw -b 1 ${block}\njc\n`,
    });
    const image = Deno.readFileSync(path);
    assert.match(
      code(() => openDeviceForWriting(new MemoryDevice(image))),
      /^(EINVAL|EROFS|EUCLEAN)$/,
    );
  }
});
