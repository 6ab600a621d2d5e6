/** Journals that debugfs wrote, and the damaged ones that e2fsprogs tests itself with. */

import assert from "node:assert/strict";
import { gunzipSync } from "node:zlib";
import { openJournal } from "../src/jbd2/journal.ts";
import { Errno } from "../src/sys/errno.ts";
import { FsError } from "../src/sys/fs_error.ts";
import {
  differingBlocks,
  dumpJournal,
  journalBlock,
  memoryBlocks,
  replay,
  replayByE2fsck,
  type Replayed,
  SET_BY_E2FSCK,
} from "./support/journal.ts";
import { debugfs } from "./support/images.ts";
import { E2FSPROGS_IMAGES, requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const BLOCK_SIZE = 1024;
/** Blocks of data that nothing uses in a new file system. */
const [FIRST, SECOND, THIRD] = [6001, 6002, 6003];

/** Replays an image as e2fsck does, apart from the journal's own superblock. */
async function checkReplay(path: string): Promise<Replayed> {
  const replayed = replay(Deno.readFileSync(path), await dumpJournal(path));
  assert.deepEqual(replayed.result.problems, []);
  const superblock = await journalBlock(path, 0);
  const expected = await replayByE2fsck(path);
  assert.deepEqual(differingBlocks(replayed.bytes, expected, SET_BY_E2FSCK, [superblock]), []);
  return replayed;
}

interface Crafted {
  readonly mke2fs: string;
  /** Arguments of journal_open. */
  readonly open: string;
  readonly features: readonly string[];
}

const CRAFTED: Readonly<Record<string, Crafted>> = {
  "32-bit": { mke2fs: "^64bit,^metadata_csum", open: "", features: [] },
  "64-bit": { mke2fs: "64bit,^metadata_csum", open: "", features: ["journal_64bit"] },
  "32-bit, checksums of version 2": {
    mke2fs: "^64bit,metadata_csum",
    open: "-c -v 2",
    features: ["journal_checksum_v2"],
  },
  "64-bit, checksums of version 2": {
    mke2fs: "64bit,metadata_csum",
    open: "-c -v 2",
    features: ["journal_64bit", "journal_checksum_v2"],
  },
  "32-bit, checksums of version 3": {
    mke2fs: "^64bit,metadata_csum",
    open: "-c -v 3",
    features: ["journal_checksum_v3"],
  },
  "64-bit, checksums of version 3": {
    mke2fs: "64bit,metadata_csum",
    open: "-c -v 3",
    features: ["journal_64bit", "journal_checksum_v3"],
  },
};

async function craft(folder: TempDir, { mke2fs, open }: Crafted): Promise<string> {
  const [image, ones, magic] = [folder.join("image"), folder.join("ones"), folder.join("magic")];
  const size = ["-b", `${BLOCK_SIZE}`, "-J", "size=1"];
  await run("mke2fs", ["-q", "-F", "-t", "ext4", "-O", mke2fs, ...size, image, "16M"]);
  Deno.writeFileSync(ones, new Uint8Array(BLOCK_SIZE * 400).fill(1));
  const data = new Uint8Array(BLOCK_SIZE * 2).fill(2);
  data.set([0xc0, 0x3b, 0x39, 0x98]);
  Deno.writeFileSync(magic, data);
  const many = Array.from({ length: 300 }, (_, index) => THIRD + 1 + index);
  await debugfs(image, [
    `jo ${open}`,
    `jw -b ${FIRST},${SECOND},${many} ${ones}`,
    `jw -b ${SECOND},${THIRD} ${magic}`,
    `jw -r ${FIRST},${many.slice(0, 200)}`,
    `jw -b ${FIRST} -c ${magic}`,
    "jc",
  ]);
  return image;
}

function blockOf(bytes: Uint8Array, block: number): Uint8Array {
  return bytes.subarray(block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE);
}

for (const [name, crafted] of Object.entries(CRAFTED)) {
  Deno.test(`recover: log by debugfs, ${name}`, async () => {
    if (!requires("e2fsprogs")) return;
    using folder = new TempDir();
    const path = await craft(folder, crafted);
    const journal = openJournal(memoryBlocks(await dumpJournal(path), BLOCK_SIZE));
    for (const feature of crafted.features) assert.ok(journal.features.names().includes(feature));
    const { result, bytes } = await checkReplay(path);
    assert.equal(result.transactions, 3);
    assert.equal(result.revokes, 201);
    // 302 blocks and 2, one of them twice, less what was revoked.
    assert.equal(result.blocks, 102);
    assert.ok(blockOf(bytes, FIRST).every((byte) => byte === 0), "a revoked block was written");
    assert.deepEqual([...blockOf(bytes, SECOND).subarray(0, 5)], [0xc0, 0x3b, 0x39, 0x98, 2]);
    assert.ok(blockOf(bytes, THIRD).every((byte) => byte === 2));
  });
}

/** Unpacks an image of e2fsprogs. */
async function unpack(name: string, folder: TempDir): Promise<string> {
  const packed = `${E2FSPROGS_IMAGES}/${name}`;
  const path = folder.join("image");
  if (name.endsWith(".gz")) {
    Deno.writeFileSync(path, gunzipSync(Deno.readFileSync(packed)));
  } else {
    await run("sh", ["-c", 'bzip2 -dc "$1" > "$2"', "sh", packed, path]);
  }
  return path;
}

/** Transactions to be replayed from each image, where e2fsck replays it without complaint. */
const SOUND = {
  "j_corrupt_commit_tid.img.gz": 0,
  "j_corrupt_descr_tid.img.gz": 0,
  "j_corrupt_revoke_block.img.gz": 1,
  "j_recover_csum2_32bit.img.bz2": 1,
  "j_recover_csum3_64bit.img.bz2": 2,
};

for (const [name, transactions] of Object.entries(SOUND)) {
  Deno.test(`recover: ${name} of e2fsprogs`, async () => {
    if (!requires("e2fsprogs", "images")) return;
    using folder = new TempDir();
    const { result } = await checkReplay(await unpack(name, folder));
    assert.equal(result.transactions, transactions);
  });
}

/** Images whose journal e2fsck refuses. */
const REFUSED = {
  "j_corrupt_revoke_rcount.img.gz": /journal block 1: a revoke block that claims 65535 bytes/,
  "j_corrupt_sb_magic.img.gz": /journal superblock: magic 0xffffffff/,
};

for (const [name, message] of Object.entries(REFUSED)) {
  Deno.test(`recover: ${name} of e2fsprogs is refused`, async () => {
    if (!requires("e2fsprogs", "images")) return;
    using folder = new TempDir();
    const path = await unpack(name, folder);
    const log = await dumpJournal(path);
    assert.throws(() => replay(Deno.readFileSync(path), log), (error) => {
      assert.ok(error instanceof FsError);
      assert.equal(error.errno, Errno.EUCLEAN);
      assert.match(error.message, message);
      return true;
    });
  });
}
