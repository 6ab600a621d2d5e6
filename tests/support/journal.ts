/**
 * Images with dirty journals, their logs as debugfs dumps them, and what the tools of others make
 * of them. Nothing here uses the file-system code under test.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { MemoryDevice } from "../../src/block/memory_device.ts";
import { OverlayDevice } from "../../src/block/overlay_device.ts";
import { type JournalBlocks, openJournal } from "../../src/jbd2/journal.ts";
import { deviceTarget, recover, type RecoveryResult } from "../../src/jbd2/recovery.ts";
import { run, TempDir } from "./run.ts";

/** A log in memory. */
export function memoryBlocks(bytes: Uint8Array<ArrayBuffer>, blockSize: number): JournalBlocks {
  return {
    blockSize,
    length: Math.floor(bytes.length / blockSize),
    read: (block, into) =>
      into.set(bytes.subarray(block * blockSize, block * blockSize + into.length)),
  };
}

/** The content of an image's journal inode. */
export async function dumpJournal(image: string): Promise<Uint8Array<ArrayBuffer>> {
  using folder = new TempDir();
  const path = folder.join("log");
  await run("debugfs", ["-R", `dump <8> ${path}`, image]);
  return Deno.readFileSync(path);
}

/** File-system block of an image's journal block; that of 0 is the journal's superblock. */
export async function journalBlock(image: string, number: number): Promise<number> {
  const { stdout } = await run("debugfs", ["-R", `bmap <8> ${number}`, image]);
  return Number(stdout.trim());
}

/** Block size, as the superblock has it. */
export function blockSizeOf(image: Uint8Array): number {
  return 1024 * 2 ** image[1024 + 24];
}

/** An image replayed by the code under test. */
export interface Replayed {
  readonly result: RecoveryResult;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Replays a log over an image; the image must stay as it is. */
export function replay(
  image: Uint8Array<ArrayBuffer>,
  log: Uint8Array<ArrayBuffer>,
): Replayed {
  const blockSize = blockSizeOf(image);
  const before = image.slice();
  const overlay = new OverlayDevice(new MemoryDevice(image, "image", true), blockSize);
  const journal = openJournal(memoryBlocks(log, blockSize));
  const result = recover(journal, deviceTarget(overlay, blockSize));
  assert.ok(Buffer.compare(before, image) === 0, "the image was changed");
  const bytes = new Uint8Array(image.length);
  overlay.read(bytes, 0);
  return { result, bytes };
}

/** What e2fsck makes of an image when it replays the journal and does nothing else. */
export async function replayByE2fsck(
  image: string,
  args: readonly string[] = [],
): Promise<Uint8Array<ArrayBuffer>> {
  using folder = new TempDir();
  const copy = folder.join("copy");
  Deno.copyFileSync(image, copy);
  await run("e2fsck", ["-y", "-E", "journal_only", ...args, copy], { codes: [0, 1] });
  return Deno.readFileSync(copy);
}

/** Fields of the superblock, by offset and size in bytes. */
type Fields = Readonly<Record<string, readonly [number, number]>>;

/** What e2fsck sets by design when it has replayed a journal: that it is done, and when. */
export const SET_BY_E2FSCK: Fields = {
  s_wtime: [48, 4],
  s_state: [58, 2],
  s_feature_incompat: [96, 4],
  s_kbytes_written: [376, 8],
  s_checksum: [1020, 4],
};

/** What the kernel sets: the counters as well, which the superblock in the log has not. */
export const SET_BY_KERNEL: Fields = {
  ...SET_BY_E2FSCK,
  s_free_blocks_count_lo: [12, 4],
  s_free_inodes_count: [16, 4],
};

/** Blocks in which two images differ, apart from fields of the superblock, and from some blocks. */
export function differingBlocks(
  one: Uint8Array<ArrayBuffer>,
  other: Uint8Array<ArrayBuffer>,
  fields: Fields,
  except: readonly number[],
): number[] {
  assert.equal(one.length, other.length);
  const blockSize = blockSizeOf(one);
  const [left, right] = [one, other].map((image) => withoutFields(image, fields));
  const blocks: number[] = [];
  for (let at = 0; at < left.length; at += blockSize) {
    const end = Math.min(at + blockSize, left.length);
    if (Buffer.compare(left.subarray(at, end), right.subarray(at, end)) === 0) continue;
    if (!except.includes(at / blockSize)) blocks.push(at / blockSize);
  }
  return blocks;
}

function withoutFields(image: Uint8Array<ArrayBuffer>, fields: Fields): Uint8Array<ArrayBuffer> {
  const copy = image.slice();
  for (const [offset, size] of Object.values(fields)) {
    copy.fill(0, 1024 + offset, 1024 + offset + size);
  }
  return copy;
}
