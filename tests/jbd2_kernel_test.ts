/**
 * Dirty journals that the kernel left behind are replayed, block for block, as e2fsck and the
 * kernel replay them; the image stays as it is.
 */

import assert from "node:assert/strict";
import { openJournal } from "../src/jbd2/journal.ts";
import { scanLog } from "../src/jbd2/log_scan.ts";
import { type DirtyConfig, makeDirtyImages } from "./support/dirty_image.ts";
import {
  blockSizeOf,
  differingBlocks,
  dumpJournal,
  journalBlock,
  memoryBlocks,
  replay,
  replayByE2fsck,
  SET_BY_E2FSCK,
  SET_BY_KERNEL,
} from "./support/journal.ts";
import { attachLoop, mountKernel } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { TempDir } from "./support/run.ts";

/** What the logs of a configuration must have had, in one round or another, to be worth a test. */
interface Expectation {
  readonly features: readonly string[];
  readonly escapes?: boolean;
  readonly revokes?: boolean;
  readonly wraps?: boolean;
}

const CONFIGS: readonly (DirtyConfig & Expectation)[] = [
  {
    name: "ext3",
    mke2fs: ["-t", "ext3", "-b", "1024", "-J", "size=1"],
    options: "data=journal",
    features: [],
    escapes: true,
    wraps: true,
  },
  {
    name: "32-bit",
    mke2fs: ["-t", "ext4", "-b", "1024", "-O", "^64bit,^metadata_csum", "-J", "size=1"],
    options: "data=ordered",
    features: [],
    revokes: true,
    wraps: true,
  },
  {
    name: "64-bit",
    mke2fs: ["-t", "ext4", "-b", "1024", "-O", "64bit,^metadata_csum", "-J", "size=1"],
    options: "data=journal",
    features: ["journal_64bit"],
    escapes: true,
    wraps: true,
  },
  {
    name: "checksums of version 1",
    mke2fs: ["-t", "ext4", "-b", "1024", "-O", "64bit,^metadata_csum", "-J", "size=1"],
    options: "data=journal,journal_checksum",
    features: ["journal_checksum", "journal_64bit"],
    escapes: true,
    wraps: true,
  },
  {
    name: "checksums of version 1, asynchronous commits",
    mke2fs: ["-t", "ext4", "-b", "1024", "-O", "^64bit,^metadata_csum", "-J", "size=1"],
    options: "data=writeback,journal_async_commit",
    features: ["journal_checksum", "journal_async_commit"],
    revokes: true,
    wraps: true,
  },
  {
    name: "checksums of version 3, 32-bit",
    mke2fs: ["-t", "ext4", "-b", "4096", "-O", "^64bit,metadata_csum"],
    options: "data=ordered",
    features: ["journal_checksum_v3"],
    revokes: true,
  },
  {
    name: "checksums of version 3, 64-bit",
    mke2fs: ["-t", "ext4", "-b", "1024", "-O", "64bit,metadata_csum", "-J", "size=1"],
    options: "data=journal",
    features: ["journal_64bit", "journal_checksum_v3"],
    escapes: true,
    wraps: true,
  },
  {
    name: "checksums of version 3, asynchronous commits",
    mke2fs: ["-t", "ext4", "-b", "2048", "-O", "64bit,metadata_csum", "-J", "size=4"],
    options: "data=writeback,journal_async_commit",
    features: ["journal_64bit", "journal_async_commit", "journal_checksum_v3"],
    revokes: true,
  },
];

/** What a log contained. */
interface Seen {
  escapes: boolean;
  revokes: boolean;
  wraps: boolean;
}

for (const config of CONFIGS) {
  Deno.test(`recover: kernel's log, ${config.name}: as e2fsck and the kernel do`, async () => {
    if (!requires("root", "loop", "e2fsprogs")) return;
    using folder = new TempDir();
    const images = await makeDirtyImages(config, folder);
    const seen: Seen = { escapes: false, revokes: false, wraps: false };
    for (const path of images) await checkReplay(path, config, seen);
    await checkAgainstKernel(images.at(-1)!, folder);
    assert.ok(seen.escapes || !config.escapes, "no escaped block in any log");
    assert.ok(seen.revokes || !config.revokes, "no revoked block in any log");
    assert.ok(seen.wraps || !config.wraps, "no log that goes around the ring's end");
  });
}

async function checkReplay(path: string, config: Expectation, seen: Seen): Promise<void> {
  const image = Deno.readFileSync(path);
  const log = await dumpJournal(path);
  const journal = openJournal(memoryBlocks(log, blockSizeOf(image)));
  for (const name of config.features) assert.ok(journal.features.names().includes(name), name);

  const { result, bytes } = replay(image, log);
  assert.deepEqual(result.problems, []);
  assert.ok(result.transactions > 0 && result.blocks > 0, "nothing was replayed");
  const superblock = await journalBlock(path, 0);
  const expected = await replayByE2fsck(path);
  assert.deepEqual(differingBlocks(bytes, expected, SET_BY_E2FSCK, [superblock]), []);

  const blocks = [...scanLog(journal).blocks.values()];
  seen.escapes ||= blocks.some(({ tag }) => tag.escaped);
  seen.revokes ||= result.revokes > 0;
  seen.wraps ||= blocks.some(({ logBlock }) => logBlock < journal.start);
}

/** The kernel replays even for a read-only mount, onto the image. */
async function checkAgainstKernel(path: string, folder: TempDir): Promise<void> {
  const image = Deno.readFileSync(path);
  const { bytes } = replay(image, await dumpJournal(path));
  const superblock = await journalBlock(path, 0);
  {
    // mount(8) would make a loop device for reading alone.
    await using device = await attachLoop(path);
    await using _mounted = await mountKernel(device.path, folder.mkdir("kernel"), "ro");
  }
  const expected = Deno.readFileSync(path);
  assert.deepEqual(differingBlocks(bytes, expected, SET_BY_KERNEL, [superblock]), []);
}
