/** The blocks of disk/mmp.ts and disk/orphan_file.ts, as mke2fs makes them. */

import assert from "node:assert/strict";
import { crc32c } from "../src/disk/crc32c.ts";
import { EXT4_MMP_MAGIC, EXT4_MMP_SEQ_CLEAN, MmpStruct } from "../src/disk/mmp.ts";
import { EXT4_ORPHAN_BLOCK_MAGIC, Ext4OrphanBlockTail } from "../src/disk/orphan_file.ts";
import { Ext4SuperBlock } from "../src/disk/superblock.ts";
import { crc32cOfU64, inodeChecksumSeed } from "../src/ext4/checksum.ts";
import { askDebugfs } from "./support/debugfs.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const BLOCK_SIZE = 4096;
const SUPERBLOCK_OFFSET = 1024;

/** A new file system and its superblock. */
async function makeImage(path: string, features: string): Promise<DataView<ArrayBuffer>> {
  const args = ["-q", "-t", "ext4", "-b", `${BLOCK_SIZE}`, "-O", `metadata_csum,${features}`];
  await run("mke2fs", [...args, path, "16M"]);
  return viewOf(path, SUPERBLOCK_OFFSET, Ext4SuperBlock.byteLength);
}

function viewOf(path: string, position: number, length: number): DataView<ArrayBuffer> {
  return new DataView(Deno.readFileSync(path).buffer, position, length);
}

function bytesOf(view: DataView<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function checksumSeed(superblock: DataView): number {
  return crc32c(0xffffffff, Ext4SuperBlock.s_uuid.get(superblock, 0));
}

Deno.test("MmpStruct: the block that mke2fs makes", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = folder.join("image");
  const superblock = await makeImage(image, "mmp");
  const block = Ext4SuperBlock.s_mmp_block.get(superblock, 0);
  const view = viewOf(image, block * BLOCK_SIZE, MmpStruct.byteLength);
  assert.equal(MmpStruct.mmp_magic.get(view, 0), EXT4_MMP_MAGIC);
  assert.equal(MmpStruct.mmp_seq.get(view, 0), EXT4_MMP_SEQ_CLEAN);
  assert.ok(Math.abs(MmpStruct.mmp_time.get(view, 0) - Date.now() / 1000) < 1000);
  const interval = Ext4SuperBlock.s_mmp_interval.get(superblock, 0);
  assert.ok(interval > 0);
  assert.equal(MmpStruct.mmp_check_interval.get(view, 0), interval);
  const [host] = new TextDecoder().decode(MmpStruct.mmp_nodename.get(view, 0)).split("\0");
  assert.equal(host, Deno.hostname());
  const summed = bytesOf(view).subarray(0, MmpStruct.mmp_checksum.offset);
  assert.equal(MmpStruct.mmp_checksum.get(view, 0), crc32c(checksumSeed(superblock), summed));
});

Deno.test("Ext4OrphanBlockTail: the blocks that mke2fs makes", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = folder.join("image");
  const superblock = await makeImage(image, "orphan_file");
  const ino = Ext4SuperBlock.s_orphan_file_inum.get(superblock, 0);
  const [stat, list] = await askDebugfs(image, [`stat <${ino}>`, `blocks <${ino}>`]);
  const generation = Number(/Generation: (\d+)/.exec(stat)![1]);
  const seed = inodeChecksumSeed(checksumSeed(superblock), ino, generation);
  const blocks = list.trim().split(/\s+/).map(Number);
  assert.ok(blocks.length > 0);
  const tail = BLOCK_SIZE - Ext4OrphanBlockTail.byteLength;
  for (const block of blocks) {
    const view = viewOf(image, block * BLOCK_SIZE, BLOCK_SIZE);
    assert.equal(Ext4OrphanBlockTail.ob_magic.get(view, tail), EXT4_ORPHAN_BLOCK_MAGIC);
    const expected = crc32c(crc32cOfU64(seed, block), bytesOf(view).subarray(0, tail));
    assert.equal(Ext4OrphanBlockTail.ob_checksum.get(view, tail), expected);
  }
});
