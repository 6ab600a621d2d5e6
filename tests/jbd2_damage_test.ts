/**
 * A kernel's log with one bit flipped is judged as the kernel itself judges it: refused or not,
 * and with the same blocks written up to then.
 */

import assert from "node:assert/strict";
import {
  JBD2_COMMIT_BLOCK,
  JBD2_DESCRIPTOR_BLOCK,
  JBD2_MAGIC_NUMBER,
  JBD2_REVOKE_BLOCK,
  JournalHeader,
} from "../src/disk/journal.ts";
import { type Journal, openJournal } from "../src/jbd2/journal.ts";
import { scanLog } from "../src/jbd2/log_scan.ts";
import { FsError } from "../src/sys/fs_error.ts";
import { makeDirtyImages } from "./support/dirty_image.ts";
import {
  blockSizeOf,
  differingBlocks,
  dumpJournal,
  journalBlock,
  memoryBlocks,
  replay,
  SET_BY_KERNEL,
} from "./support/journal.ts";
import { attachLoop, mountKernel } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { TempDir } from "./support/run.ts";

interface Damage {
  /** Chooses a journal block. */
  readonly block: (log: Log) => number;
  /** Byte in that block. */
  readonly byte: number;
  /** What comes of it: errors that end it all, problems that are reported, or neither. */
  readonly outcome: RegExp | undefined;
}

const CASES: Readonly<Record<string, Damage>> = {
  "a data block": {
    block: ({ dataBlock }) => dataBlock,
    byte: 600,
    outcome: /Bad checksum of journal block \d+, transaction \d+ \(block \d+\)/,
  },
  "a descriptor": {
    block: ({ blocksOf }) => blocksOf(JBD2_DESCRIPTOR_BLOCK)[3],
    byte: 1000,
    outcome: /Bad checksum of transaction \d+ in the journal/,
  },
  "a revoke block": {
    block: ({ blocksOf }) => blocksOf(JBD2_REVOKE_BLOCK)[1],
    byte: 20,
    outcome: /Bad checksum of transaction \d+ in the journal/,
  },
  "the header of a commit block": {
    block: ({ blocksOf }) => blocksOf(JBD2_COMMIT_BLOCK)[3],
    byte: 20,
    outcome: /transaction \d+ does not fit its commit block/,
  },
  "a commit block behind its header": {
    block: ({ blocksOf }) => blocksOf(JBD2_COMMIT_BLOCK)[3],
    byte: 2000,
    outcome: undefined,
  },
  "the last commit block": {
    block: ({ blocksOf }) => blocksOf(JBD2_COMMIT_BLOCK).at(-1)!,
    byte: 20,
    outcome: /transaction \d+ does not fit its commit block/,
  },
};

/** The kinds of blocks in a log that has not gone around its end. */
class Log {
  readonly dataBlock: number;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #journal: Journal;

  constructor(bytes: Uint8Array<ArrayBuffer>, blockSize: number) {
    this.#bytes = bytes;
    this.#journal = openJournal(memoryBlocks(bytes, blockSize));
    this.dataBlock = [...scanLog(this.#journal).blocks.values()][3].logBlock;
  }

  readonly blocksOf = (type: number): number[] => {
    const view = new DataView(this.#bytes.buffer);
    const found: number[] = [];
    for (let number = this.#journal.start; number < this.#journal.end; number++) {
      const at = number * this.#journal.blockSize;
      if (JournalHeader.h_magic.get(view, at) !== JBD2_MAGIC_NUMBER) continue;
      if (JournalHeader.h_blocktype.get(view, at) === type) found.push(number);
    }
    return found;
  };
}

/** What went wrong, in words; undefined: nothing. */
function judge(
  image: Uint8Array<ArrayBuffer>,
  log: Uint8Array<ArrayBuffer>,
): { readonly words: string | undefined; readonly bytes: Uint8Array<ArrayBuffer> } {
  try {
    const { result, bytes } = replay(image, log);
    return { words: result.problems[0]?.message, bytes };
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    // Nothing is written before the log is known to be sound.
    return { words: error.message, bytes: image };
  }
}

/** True where the kernel mounts the image, after a replay. */
async function kernelMounts(path: string, dir: string): Promise<boolean> {
  await using device = await attachLoop(path);
  try {
    await using _mounted = await mountKernel(device.path, dir, "ro");
    return true;
  } catch {
    return false;
  }
}

Deno.test("recover: a flipped bit is judged as by the kernel", async (test) => {
  if (!requires("root", "loop", "e2fsprogs")) return;
  using folder = new TempDir();
  const mke2fs = ["-t", "ext4", "-b", "4096", "-O", "metadata_csum,64bit"];
  const config = { name: "damaged", mke2fs, options: "data=ordered" };
  const [, path] = await makeDirtyImages(config, folder);
  const sound = Deno.readFileSync(path);
  const soundLog = await dumpJournal(path);
  const blockSize = blockSizeOf(sound);
  const log = new Log(soundLog, blockSize);
  const superblock = await journalBlock(path, 0);

  for (const [index, [name, { block, byte, outcome }]] of Object.entries(CASES).entries()) {
    await test.step(name, async () => {
      const number = block(log);
      const image = sound.slice();
      image[await journalBlock(path, number) * blockSize + byte] ^= 1;
      const bytes = soundLog.slice();
      bytes[number * blockSize + byte] ^= 1;
      const mine = judge(image, bytes);
      if (outcome === undefined) assert.equal(mine.words, undefined);
      else assert.match(mine.words ?? "nothing", outcome);

      const damaged = folder.join(`image${index}`);
      Deno.writeFileSync(damaged, image);
      const mounts = await kernelMounts(damaged, folder.mkdir(`dir${index}`));
      assert.equal(mounts, outcome === undefined);
      const theirs = Deno.readFileSync(damaged);
      assert.deepEqual(differingBlocks(mine.bytes, theirs, SET_BY_KERNEL, [superblock]), []);
    });
  }
});
