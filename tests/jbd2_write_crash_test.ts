/**
 * The journal's promise: after a crash at any point, with any of the writes since the last flush
 * done, not done or torn, recovery finds the state of the last commit that returned, or of the one
 * that was being made. Nothing that was freed comes back over what was written there since.
 */

import assert from "node:assert/strict";
import type { LogFormat } from "../src/jbd2/journal_superblock.ts";
import { fail, FsError } from "../src/sys/fs_error.ts";
import { blockSizeOf, replayByE2fsck } from "./support/journal.ts";
import {
  type Committed,
  differences,
  lastBlocks,
  openForLogging,
  recoverImage,
  Workload,
} from "./support/journal_workload.ts";
import { Random } from "./support/random.ts";
import { type Chooser, type Recorded, RecordingDevice } from "./support/recording_device.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

interface Config {
  readonly name: string;
  readonly mke2fs: readonly string[];
  readonly format: LogFormat;
}

const CONFIGS: readonly Config[] = [
  {
    name: "without checksums",
    mke2fs: ["-t", "ext3", "-b", "1024", "-J", "size=1"],
    format: { is64bit: false, checksums: "none" },
  },
  {
    name: "with checksums of version 3",
    mke2fs: ["-t", "ext4", "-O", "64bit,metadata_csum", "-b", "1024", "-J", "size=1"],
    format: { is64bit: true, checksums: "journal_checksum_v3" },
  },
];

/** Data that is known to be in a block after a crash at some point. */
interface KnownData {
  readonly block: number;
  readonly value: number;
  /** Length of the log when it was durable, and when the block stopped being this data. */
  readonly from: number;
  until: number;
}

/** A workload on a recording device, and what was true when. */
interface Recording {
  readonly device: RecordingDevice;
  readonly blockSize: number;
  readonly states: readonly Committed[];
  /** Length of the device's log when each state was durable. */
  readonly marks: readonly number[];
  readonly data: readonly KnownData[];
  readonly writeBacks: number;
}

async function record(config: Config, folder: TempDir, seed: number): Promise<Recording> {
  const path = folder.join("image");
  await run("mke2fs", ["-q", "-F", ...config.mke2fs, path, "8M"]);
  const device = new RecordingDevice(Deno.readFileSync(path));
  const blockSize = blockSizeOf(device.current.bytes);
  const fs = openForLogging(device, config.format);
  const work = new Workload(fs, lastBlocks(device, blockSize, 60), seed);
  const marks = [device.log.length];
  const data: KnownData[] = [];
  const current = new Map<number, KnownData>();
  const random = new Random(seed + 100);
  while (fs.store.statistics.writeBacks < 4) {
    for (let left = random.below(6); left >= 0; left--) work.operation(30);
    // A later write to the same place, whatever it is for, may reach the medium at any time.
    const began = device.log.length;
    for (let left = random.below(4); left > 0; left--) work.writeData();
    work.commit();
    marks.push(device.log.length);
    for (const known of [...current.values()]) {
      if (work.data.get(known.block) === known.value) continue;
      known.until = began;
      current.delete(known.block);
    }
    for (const [block, value] of work.data) {
      if (current.has(block)) continue;
      const known = { block, value, from: device.log.length, until: Infinity };
      current.set(block, known);
      data.push(known);
    }
    if (random.oneIn(15)) fs.transactions.writeBack();
  }
  const { writeBacks } = fs.store.statistics;
  return { device, blockSize, states: work.states, marks, data, writeBacks };
}

/** What is wrong after a crash behind `index` entries of the log; undefined: nothing. */
function checkCrash(
  { blockSize, states, marks, data }: Recording,
  recovered: Uint8Array<ArrayBuffer>,
  index: number,
): string | undefined {
  const last = marks.findLastIndex((mark) => mark <= index);
  const possible = [last, last + 1].filter((at) => at < states.length);
  const found = possible.find((at) => differences(recovered, blockSize, states[at]).length === 0);
  if (found === undefined) {
    const wrong = possible.map((at) => differences(recovered, blockSize, states[at]).length);
    return `neither state: ${wrong.join(" and ")} blocks differ`;
  }
  const known = data.filter(({ from, until }) => from <= index && index <= until);
  const expected: Committed = {
    metadata: new Map(known.map(({ block, value }) => [block, value])),
  };
  const wrong = differences(recovered, blockSize, expected);
  return wrong.length === 0 ? undefined : `data of ${wrong.length} blocks is gone`;
}

/** A device of which one write or flush fails, and all that follow, as when a disk is unplugged. */
class FailingDevice extends RecordingDevice {
  /** Writes and flushes that are still to succeed. */
  left = Infinity;

  override write(buffer: Uint8Array<ArrayBuffer>, position: number): void {
    this.#mayFail();
    super.write(buffer, position);
  }

  override flush(): void {
    this.#mayFail();
    super.flush();
  }

  #mayFail(): void {
    if (this.left-- <= 0) throw fail("EIO", "unplugged");
  }
}

Deno.test("JournalStore: a write or flush that fails stops everything, and nothing is lost", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const path = folder.join("image");
  await run("mke2fs", ["-q", "-F", ...CONFIGS[1].mke2fs, path, "8M"]);
  const image = Deno.readFileSync(path);
  let stages = 0;
  for (let left = 0, done = false; !done; left++) {
    const device = new FailingDevice(image);
    const fs = openForLogging(device, CONFIGS[1].format);
    const work = new Workload(fs, lastBlocks(device, fs.blockSize, 60), 3);
    for (let count = 0; count < 3; count++) {
      work.operation();
      work.commit();
    }
    work.operation();
    device.left = left;
    try {
      work.commit();
      fs.transactions.writeBack();
      done = true;
    } catch (error) {
      assert.ok(error instanceof FsError && error.code === "EIO", `${error}`);
      assert.throws(() => fs.transactions.run(() => {}), /Nothing is written any more/);
      stages++;
    }
    const writes = device.log.length;
    if (!done) assert.throws(() => fs.transactions.writeBack());
    assert.equal(device.log.length, writes, "something was written after the failure");
    const crashed = device.imageAt(device.log.length);
    recoverImage(crashed);
    const possible = [work.states.at(-1)!, work.uncommitted];
    assert.ok(
      possible.some((state) => differences(crashed, fs.blockSize, state).length === 0),
      `neither state after ${left} writes and flushes`,
    );
  }
  assert.ok(stages >= 8, `${stages} places to fail`);
});

/** Subsets of the writes since the last flush. */
function choosers(random: Random): readonly Chooser[] {
  return [
    () => true,
    () => false,
    () => random.oneIn(2),
    ({ bytes }) => 512 * random.below(bytes.length / 512 + 1),
  ];
}

function flushesIn(log: readonly Recorded[]): number {
  return log.filter(({ kind }) => kind === "flush").length;
}

for (const [seed, config] of CONFIGS.entries()) {
  Deno.test(`JournalStore: a crash at any write, ${config.name}`, async () => {
    if (!requires("e2fsprogs")) return;
    using folder = new TempDir();
    const recording = await record(config, folder, seed);
    const { device, marks, writeBacks } = recording;
    const random = new Random(seed);
    let crashes = 0;
    let byE2fsck = 0;
    for (let index = marks[0]; index <= device.log.length; index++) {
      for (const chooser of choosers(random)) {
        const image = device.imageAt(index, chooser);
        const crashed = image.slice();
        recoverImage(image);
        const what = `crash at ${index} of ${device.log.length}`;
        assert.equal(checkCrash(recording, image, index), undefined, what);
        crashes++;
        if (!random.oneIn(60)) continue;
        const path = folder.join("crashed");
        Deno.writeFileSync(path, crashed);
        const replayed = await replayByE2fsck(path);
        assert.equal(checkCrash(recording, replayed, index), undefined, `${what}, e2fsck`);
        byE2fsck++;
      }
    }
    console.log(
      `${crashes} crash states (${byE2fsck} with e2fsck as well) of ${marks.length} commits and ` +
        `${writeBacks} write-backs with ${flushesIn(device.log)} flushes`,
    );
    assert.ok(crashes > 400 && byE2fsck > 5, "too few");
  });
}
