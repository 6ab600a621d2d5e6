/** Where writing to files ends: sizes, space, permissions, and devices that refuse. */

import assert from "node:assert/strict";
import { EXT4_APPEND_FL, EXT4_IMMUTABLE_FL } from "../src/disk/inode.ts";
import { copyRange } from "../src/ext4/content/copy_range.ts";
import {
  FALLOC_FL_COLLAPSE_RANGE,
  FALLOC_FL_INSERT_RANGE,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  fallocate,
} from "../src/ext4/content/fallocate.ts";
import { readBytes } from "../src/ext4/content/read.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import type { Inode } from "../src/ext4/inode/inode.ts";
import { mapBlocks } from "../src/ext4/map/block_map.ts";
import { heldBackClusters } from "../src/ext4/allocation/space_limits.ts";
import { setSize } from "../src/ext4/content/truncate.ts";
import { writeFile } from "../src/ext4/content/write.ts";
import { Errno, type ErrnoName } from "../src/sys/errno.ts";
import { FsError } from "../src/sys/fs_error.ts";
import {
  complaintsAfter,
  complaintsOf,
  fileNamed,
  makeLayout,
  openDeviceForWriting,
  openLayout,
  setFlag,
} from "./support/allocation.ts";
import { throwsFsError } from "./support/errors.ts";
import { FailingDevice } from "./support/failing_device.ts";
import { ContentTrial, equal, FileModel } from "./support/file_model.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";
import { TempDir } from "./support/run.ts";

const HELLO = new TextEncoder().encode("hello");
const MEBIBYTE = 1 << 20;

/** Runs a check on a fresh image, which e2fsck must find in order afterwards. */
function withLayout(
  name: string,
  check: (fs: FileSystem, file: Inode) => void | Promise<void>,
): () => Promise<void> {
  return async () => {
    if (!requires("e2fsprogs")) return;
    using opened = await openLayout(name);
    const { fs, image } = opened;
    await check(fs, fileNamed(fs, "first"));
    assert.equal(await complaintsAfter(fs, image), "");
    assert.deepEqual(opened.complaints, []);
  };
}

/** The largest sizes, as the kernel's ext4 has them for these file systems. */
const LARGEST: Readonly<Record<string, number>> = {
  "ext2-1k": 17247252480,
  "ext2-4k": 2196873666560,
  "ext3-2k": 275415851008,
  "ext4-1k": 4398046510080,
  "ext4-4k": 17592186040320,
};

for (const [name, largest] of Object.entries(LARGEST)) {
  Deno.test(
    `writeFile and setSize end at the largest size: ${name}`,
    withLayout(name, (fs, file) => {
      throwsFsError("EFBIG", () => setSize(fs, file, largest + 1));
      setSize(fs, file, largest);
      throwsFsError("EFBIG", () => writeFile(fs, file, largest, HELLO));
      assert.equal(writeFile(fs, file, largest - 3, HELLO), 3);
      assert.equal(file.size, largest);
      assert.deepEqual(readBytes(fs, file, largest - 4, 10), Uint8Array.of(0, 104, 101, 108));
      assert.equal(writeFile(fs, file, largest / 2, HELLO), 5);
      throwsFsError("EFBIG", () => copyRange(fs, file, 0, file, largest, 4));
    }),
  );
}

for (const name of ["ext2-revision0", "ext4-no-large-file"]) {
  Deno.test(
    `a file of 2 GiB switches large_file on: ${name}`,
    withLayout(name, (fs, file) => {
      const { features } = fs.superblock;
      setSize(fs, file, 2 ** 31 - 1);
      assert(!features.has("large_file"));
      assert.throws(() =>
        fs.change(() => {
          throw new Error("on purpose");
        })
      );
      writeFile(fs, file, 2 ** 31 - 1, HELLO);
      assert(features.has("large_file"));
    }),
  );
}

Deno.test(
  "writeFile and its like: immutable and append-only files",
  withLayout("ext4-4k", (fs, file) => {
    const other = fileNamed(fs, "second");
    setFlag(fs, file, EXT4_IMMUTABLE_FL, true);
    throwsFsError("EPERM", () => writeFile(fs, file, 5, HELLO));
    throwsFsError("EPERM", () => setSize(fs, file, 0));
    throwsFsError("EPERM", () => fallocate(fs, file, 0, 0, 10));
    throwsFsError("EPERM", () => copyRange(fs, other, 0, file, 0, 10));
    setFlag(fs, file, EXT4_IMMUTABLE_FL, false);
    setFlag(fs, file, EXT4_APPEND_FL, true);
    throwsFsError("EPERM", () => setSize(fs, file, 0));
    throwsFsError("EPERM", () => writeFile(fs, file, 0, HELLO));
    throwsFsError("EPERM", () => fallocate(fs, file, FALLOC_FL_ZERO_RANGE, 0, 10));
    assert.equal(writeFile(fs, file, 5, HELLO), 5);
    // A page of the cache that has the old bytes as well.
    assert.equal(writeFile(fs, file, 0, new TextEncoder().encode("firsthello!")), 11);
    fallocate(fs, file, FALLOC_FL_KEEP_SIZE, 0, 100_000);
    setFlag(fs, file, EXT4_APPEND_FL, false);
    throwsFsError("EISDIR", () => writeFile(fs, fs.root, 0, HELLO));
  }),
);

Deno.test(
  "fallocate: bad arguments",
  withLayout("ext4-bigalloc-4k", (fs, file) => {
    setSize(fs, file, 10 * 65536);
    const refuses = (errno: ErrnoName, mode: number, offset: number, length: number) =>
      throwsFsError(errno, () => fallocate(fs, file, mode, offset, length));
    refuses("EINVAL", 0, 0, 0);
    refuses("EINVAL", 0, -1, 10);
    refuses("EOPNOTSUPP", 0x40, 0, 10);
    refuses("EOPNOTSUPP", FALLOC_FL_PUNCH_HOLE, 0, 10);
    refuses(
      "EOPNOTSUPP",
      FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
      0,
      10,
    );
    refuses("EOPNOTSUPP", FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_KEEP_SIZE, 0, 65536);
    refuses("EOPNOTSUPP", FALLOC_FL_INSERT_RANGE | FALLOC_FL_KEEP_SIZE, 0, 65536);
    refuses("EINVAL", FALLOC_FL_COLLAPSE_RANGE, 4096, 65536);
    refuses("EINVAL", FALLOC_FL_COLLAPSE_RANGE, 0, 4096);
    refuses("EINVAL", FALLOC_FL_INSERT_RANGE, 0, 4096);
    refuses("EINVAL", FALLOC_FL_COLLAPSE_RANGE, 65536, 9 * 65536);
    refuses("EINVAL", FALLOC_FL_INSERT_RANGE, 10 * 65536, 65536);
    refuses("EFBIG", FALLOC_FL_INSERT_RANGE, 0, 2 ** 44 - 65536);
    refuses("EFBIG", 0, 0, 2 ** 44);
    fallocate(fs, file, FALLOC_FL_INSERT_RANGE, 65536, 65536);
    fallocate(fs, file, FALLOC_FL_COLLAPSE_RANGE, 0, 65536);
    assert.equal(file.size, 10 * 65536);
  }),
);

Deno.test(
  "fallocate: files without extents",
  withLayout("ext3-2k", (fs, file) => {
    writeFile(fs, file, 0, new Uint8Array(100_000).fill(7));
    for (const mode of [0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE, FALLOC_FL_COLLAPSE_RANGE]) {
      throwsFsError("EOPNOTSUPP", () => fallocate(fs, file, mode, 0, 2048));
    }
    fallocate(fs, file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 3000, 90_000);
    assert.equal(mapBlocks(fs, file, 2, 100).kind, "hole");
    const content = readBytes(fs, file, 0, 100_000);
    assert(content.every((byte, at) => byte === (at >= 3000 && at < 93_000 ? 0 : 7)));
  }),
);

Deno.test(
  "copyRange: ranges that overlap",
  withLayout("ext4-4k", (fs, file) => {
    writeFile(fs, file, 0, new Uint8Array(100_000).fill(7));
    throwsFsError("EINVAL", () => copyRange(fs, file, 0, file, 1000, 2000));
    throwsFsError("EINVAL", () => copyRange(fs, file, 1000, file, 0, 2000));
    assert.equal(copyRange(fs, file, 0, file, 200_000, 100_001), 100_000);
    assert.equal(copyRange(fs, file, 300_000, file, 0, 10), 0);
    assert.equal(file.size, 300_000);
  }),
);

for (const name of ["ext2-1k", "ext4-4k", "ext4-bigalloc-1k", "ext4-inline"]) {
  Deno.test(
    `writeFile fills the file system to its end: ${name}`,
    withLayout(name, (fs, file) => {
      const bytes = new Uint8Array(MEBIBYTE).fill(3);
      let size = 0;
      throwsFsError("ENOSPC", () => {
        for (;;) size += writeFile(fs, file, size, bytes);
      });
      assert.equal(file.size, size);
      assert(fs.groups.totals.all.freeClusters < 64 + heldBackClusters(fs.superblock));
      for (let at = 0; at < size; at += MEBIBYTE) {
        const length = Math.min(MEBIBYTE, size - at);
        assert(equal(readBytes(fs, file, at, length), bytes.subarray(0, length)));
      }
      throwsFsError("ENOSPC", () => writeFile(fs, fileNamed(fs, "second"), 1 << 20, bytes));
      assert.equal(fileNamed(fs, "second").size, "second".length);
      // Space that is freed in the running transaction is there after a commit.
      setSize(fs, file, MEBIBYTE);
      assert.equal(writeFile(fs, file, MEBIBYTE, bytes), MEBIBYTE);
    }),
  );
}

for (const name of ["ext3-2k", "ext4-1k", "ext4-bigalloc-1k", "ext4-inline"]) {
  Deno.test(`content of files, on a full file system: ${name}`, async () => {
    if (!requires("e2fsprogs")) return;
    using opened = await openLayout(name);
    const { fs, image } = opened;
    // All but 120 blocks are taken.
    const filler = fileNamed(fs, "second");
    const free = fs.groups.totals.all.freeClusters - heldBackClusters(fs.superblock);
    const size = (free * fs.superblock.clusterRatio - 120) * fs.blockSize;
    for (let at = 0; at < size; at += MEBIBYTE) {
      writeFile(fs, filler, at, new Uint8Array(Math.min(MEBIBYTE, size - at)));
    }
    const trial = new ContentTrial(fs, new Random(5), [
      new FileModel("first", new TextEncoder().encode("first")),
    ]);
    for (let step = 0; step < 600; step++) trial.step();
    const refused = Object.entries(trial.counts).filter(([key]) => key.includes("ENOSPC"));
    assert(refused.length >= 1, JSON.stringify(trial.counts));
    assert.equal(await complaintsAfter(fs, image), "");
    assert.deepEqual(opened.complaints, []);
  });
}

for (const name of ["ext2-1k", "ext3-2k", "ext4-1k", "ext4-bigalloc-1k", "ext4-inline"]) {
  Deno.test(`writes that the device refuses leave nothing behind: ${name}`, async () => {
    if (!requires("e2fsprogs")) return;
    using folder = new TempDir();
    const image = await makeLayout(name, folder);
    const device = new FailingDevice(Deno.readFileSync(image));
    using opened = openDeviceForWriting(device);
    const { fs } = opened;
    const random = new Random(9);
    const file = fileNamed(fs, "first");
    let failed = 0;
    for (let step = 0; step < 200; step++) {
      const size = file.size;
      const content = readBytes(fs, file, 0, size);
      const position = random.below(size + 5000);
      const bytes = random.bytes(1 + random.below(random.pick([100, 5000, 70_000])));
      if (random.oneIn(10)) fs.writing.transactions.commit();
      const change = random.below(4);
      device.writesLeft = random.below(3);
      try {
        if (change === 0) setSize(fs, file, random.below(size + 1));
        else if (change === 1) {
          fallocate(fs, file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, position, 3000);
        } else writeFile(fs, file, position, bytes);
      } catch (error) {
        assert(error instanceof FsError && error.errno === Errno.EIO, String(error));
        failed++;
        assert.equal(file.size, size);
        const now = readBytes(fs, file, 0, size);
        // In blocks that are overwritten in place, a part of the new bytes may have arrived.
        const end = change === 0 ? size : position + Math.max(bytes.length, 3000);
        const start = change === 0 ? 0 : position;
        for (let at = 0; at < size; at++) {
          if (at < start || at >= end) assert.equal(now[at], content[at], `byte ${at}`);
        }
      }
      device.writesLeft = undefined;
    }
    assert(failed > 20, `${failed} failures`);
    fs.stopWriting();
    Deno.writeFileSync(image, device.bytes);
    assert.equal(await complaintsOf(image), "");
  });
}
