import assert from "node:assert/strict";
import { crc32 } from "node:zlib";
import { FileDevice } from "../src/block/file_device.ts";
import { MemoryDevice } from "../src/block/memory_device.ts";
import { findPartition, listPartitions, type Partition } from "../src/block/partition.ts";
import { GptEntry, GptHeader, MBR_ENTRIES_OFFSET } from "../src/disk/partition_table.ts";
import { Errno } from "../src/sys/errno.ts";
import { FsError } from "../src/sys/fs_error.ts";
import { throwsFsError } from "./support/errors.ts";
import { attachLoop } from "./support/mount.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const MIB = 2 ** 20;
const DISK_SIZE = 32 * MIB;
const SECTOR = 512;

const GPT_SCRIPT = [
  "label: gpt",
  'size=4MiB, type=L, name="root"',
  "size=2MiB, type=S",
  'size=8MiB, type=L, name="\u00fcn\u00efc\u00f6d\u00e9"',
  "start=20MiB, size=1MiB, type=L",
];
const MBR_SCRIPT = [
  "label: dos",
  "size=4MiB, type=83",
  "size=16MiB, type=5",
  "size=2MiB, type=82, bootable",
  "size=3MiB, type=83",
  "size=4MiB, type=83",
  "size=1MiB, type=82",
];

/** What sfdisk says of a partition. */
interface SfdiskPartition {
  readonly node: string;
  readonly start: number;
  readonly size: number;
  readonly type: string;
  readonly name?: string;
}

async function sfdisk(path: string, script: readonly string[]): Promise<void> {
  await run("sfdisk", ["--quiet", path], { input: script.join("\n") + "\n" });
}

/** The partitions by sfdisk's own account, in our form. */
async function listBySfdisk(path: string): Promise<Partition[]> {
  const { stdout } = await run("sfdisk", ["--json", path]);
  const { partitiontable: table } = JSON.parse(stdout);
  return table.partitions.map(({ node, start, size, type, name }: SfdiskPartition) => ({
    number: Number(/p?(\d+)$/.exec(node.slice(path.length))![1]),
    start: start * table.sectorsize,
    size: size * table.sectorsize,
    type: table.label === "gpt" ? type : `0x${type.padStart(2, "0")}`,
    ...(name === undefined ? {} : { name }),
  }));
}

/** An image with a partition table, and what sfdisk says is in it. */
async function makeDisk(
  script: readonly string[],
): Promise<{ bytes: Uint8Array<ArrayBuffer>; expected: Partition[] }> {
  using folder = new TempDir();
  const path = folder.join("disk.img");
  Deno.writeFileSync(path, new Uint8Array(0));
  Deno.truncateSync(path, DISK_SIZE);
  await sfdisk(path, script);
  return { bytes: Deno.readFileSync(path), expected: await listBySfdisk(path) };
}

for (const [name, script, count] of [["GPT", GPT_SCRIPT, 4], ["MBR", MBR_SCRIPT, 6]] as const) {
  Deno.test(`listPartitions: ${name} as sfdisk sees it`, async () => {
    if (!requires("sfdisk")) return;
    const { bytes, expected } = await makeDisk(script);
    assert.equal(expected.length, count);
    assert.deepEqual(listPartitions(new MemoryDevice(bytes)), expected);
  });

  Deno.test(`findPartition: each partition of ${name} by its number`, async () => {
    if (!requires("sfdisk")) return;
    const { bytes, expected } = await makeDisk(script);
    const device = new MemoryDevice(bytes, "x.img");
    for (const partition of expected) {
      assert.deepEqual(findPartition(device, partition.number), partition);
    }
    throwsFsError(
      "ENXIO",
      () => findPartition(device, 9),
      `Cannot find partition 9 of x.img: ${name} has ${count} partitions`,
    );
  });

  Deno.test(`findPartition: ${name} with bytes flipped gives partitions or FsErrors`, async () => {
    if (!requires("sfdisk")) return;
    const { bytes, expected } = await makeDisk(script);
    const places = tablePlaces(bytes, expected);
    const random = new Random(0xd15c);
    let failures = 0;
    const device = new MemoryDevice(bytes);
    for (let round = 0; round < 3000; round++) {
      const flips = Array.from({ length: 1 + random.below(8) }, () => ({
        at: random.pick(places),
        bit: 1 << random.below(8),
      }));
      for (const { at, bit } of flips) bytes[at] ^= bit;
      for (const number of [1, 3, 6]) {
        try {
          const { start, size } = findPartition(device, number);
          assert.ok(start > 0 && size > 0 && start + size <= bytes.length);
        } catch (error) {
          if (!(error instanceof FsError)) throw error;
          failures++;
        }
      }
      for (const { at, bit } of flips) bytes[at] ^= bit;
    }
    assert.ok(failures > 100, `only ${failures} failures`);
  });
}

/** Bytes that are part of a partition table: those that are not zero, and some around them. */
function tablePlaces(bytes: Uint8Array, partitions: readonly Partition[]): number[] {
  const places: number[] = [];
  for (let at = 0; at < 2 * SECTOR; at++) places.push(at);
  const others = [2 * SECTOR, bytes.length - 33 * SECTOR, bytes.length - SECTOR];
  // An EBR lies in front of each logical partition.
  for (const { number, start } of partitions) if (number >= 5) others.push(start - MIB);
  for (const start of others) {
    for (let at = start; at < start + SECTOR; at++) if (bytes[at] !== 0) places.push(at);
  }
  return places;
}

Deno.test("listPartitions: GPT of a disk with sectors of 4096 bytes", async () => {
  if (!requires("root", "loop", "sfdisk")) return;
  using folder = new TempDir();
  const path = folder.join("disk.img");
  Deno.writeFileSync(path, new Uint8Array(DISK_SIZE));
  let expected: Partition[];
  {
    await using loop = await attachLoop(path, ["--sector-size", "4096"]);
    await sfdisk(loop.path, ["label: gpt", "size=4MiB, type=L", "size=8MiB, type=L, name=second"]);
    expected = await listBySfdisk(loop.path);
  }
  const bytes = Deno.readFileSync(path);
  assert.equal(expected.length, 2);
  assert.deepEqual(listPartitions(new MemoryDevice(bytes)), expected);
  bytes.fill(0, 4096, 8192);
  assert.deepEqual(listPartitions(new MemoryDevice(bytes)), expected, "from the backup");
});

Deno.test("listPartitions: GPT from its backup when the first copy is damaged", async () => {
  if (!requires("sfdisk")) return;
  const damages: Record<string, (bytes: Uint8Array) => void> = {
    "signature": (bytes) => bytes[SECTOR] ^= 1,
    "header checksum": (bytes) => bytes[SECTOR + GptHeader.header_crc32.offset] ^= 1,
    "header field": (bytes) => bytes[SECTOR + GptHeader.last_usable_lba.offset] ^= 1,
    "header size": (bytes) => bytes[SECTOR + GptHeader.header_size.offset + 1] = 0xff,
    "entries": (bytes) => bytes[2 * SECTOR + GptEntry.starting_lba.offset] ^= 1,
    "everything in front, the MBR as well": (bytes) => bytes.fill(0, 0, 34 * SECTOR),
  };
  const { bytes, expected } = await makeDisk(GPT_SCRIPT);
  for (const [what, damage] of Object.entries(damages)) {
    const damaged = bytes.slice();
    damage(damaged);
    assert.deepEqual(listPartitions(new MemoryDevice(damaged)), expected, what);
  }
});

Deno.test("listPartitions: GPT whose first copy cannot be read", async () => {
  if (!requires("sfdisk")) return;
  const { bytes, expected } = await makeDisk(GPT_SCRIPT);
  class WornDevice extends MemoryDevice {
    override read(buffer: Uint8Array<ArrayBuffer>, position: number): void {
      if (position > 0 && position < 40 * SECTOR) throw new FsError(Errno.EIO, "worn out");
      super.read(buffer, position);
    }
  }
  assert.deepEqual(listPartitions(new WornDevice(bytes)), expected);
});

Deno.test("findPartition: GPT with both copies damaged", async () => {
  if (!requires("sfdisk")) return;
  const { bytes } = await makeDisk(GPT_SCRIPT);
  bytes[SECTOR] ^= 1;
  bytes[bytes.length - SECTOR] ^= 1;
  throwsFsError(
    "EUCLEAN",
    () => findPartition(new MemoryDevice(bytes, "x.img"), 1),
    "Cannot find partition 1 of x.img: GPT is damaged, and so is its backup",
  );
});

/** Changes a header of a GPT and makes its checksums right again. */
function changeHeader(bytes: Uint8Array<ArrayBuffer>, change: (view: DataView) => void): void {
  const view = new DataView(bytes.buffer, SECTOR, SECTOR);
  change(view);
  const count = GptHeader.num_partition_entries.get(view, 0);
  const size = GptHeader.sizeof_partition_entry.get(view, 0);
  const entries = bytes.subarray(2 * SECTOR, 2 * SECTOR + count * size);
  GptHeader.partition_entry_array_crc32.set(view, 0, crc32(entries));
  GptHeader.header_crc32.set(view, 0, 0);
  const header = bytes.subarray(SECTOR, SECTOR + GptHeader.header_size.get(view, 0));
  GptHeader.header_crc32.set(view, 0, crc32(header));
}

const HOSTILE_HEADERS: Record<string, (view: DataView) => void> = {
  "entries of no bytes": (view) => GptHeader.sizeof_partition_entry.set(view, 0, 0),
  "entries of 64 bytes": (view) => GptHeader.sizeof_partition_entry.set(view, 0, 64),
  "entries of 130 bytes": (view) => GptHeader.sizeof_partition_entry.set(view, 0, 130),
  "4 billion entries": (view) => GptHeader.num_partition_entries.set(view, 0, 0xffffffff),
  "entries far away": (view) => GptHeader.partition_entry_lba.set(view, 0, 2 ** 60),
  "another place": (view) => GptHeader.my_lba.set(view, 0, 2),
};

for (const [what, change] of Object.entries(HOSTILE_HEADERS)) {
  Deno.test(`findPartition: no GPT whose header, rightly summed, has ${what}`, async () => {
    if (!requires("sfdisk")) return;
    const { bytes } = await makeDisk(GPT_SCRIPT);
    bytes.fill(0, bytes.length - SECTOR);
    changeHeader(bytes, () => {});
    findPartition(new MemoryDevice(bytes), 1);
    changeHeader(bytes, change);
    throwsFsError("EUCLEAN", () => findPartition(new MemoryDevice(bytes), 1), /GPT is damaged/);
  });
}

Deno.test("findPartition: GPT entries that cannot be hide only themselves", async () => {
  if (!requires("sfdisk")) return;
  const places: Record<string, readonly [first: number, last: number]> = {
    "over the MBR": [0, 100],
    "backwards": [100, 50],
    "beyond numbers": [2 ** 62, 2 ** 63],
  };
  for (const [what, [first, last]] of Object.entries(places)) {
    const { bytes, expected } = await makeDisk(GPT_SCRIPT);
    const view = new DataView(bytes.buffer);
    const second = 2 * SECTOR + GptEntry.byteLength;
    GptEntry.starting_lba.set(view, second, first);
    GptEntry.ending_lba.set(view, second, last);
    changeHeader(bytes, () => {});
    const device = new MemoryDevice(bytes);
    throwsFsError(
      "EUCLEAN",
      () => findPartition(device, 2),
      /its start and end make no sense$/,
    );
    const others = expected.filter(({ number }) => number !== 2);
    assert.deepEqual(listPartitions(device), others, what);
    assert.deepEqual(findPartition(device, 3), others[1], what);
  }
});

Deno.test("findPartition: a partition behind the end of a cut-off image", async () => {
  if (!requires("sfdisk")) return;
  const { bytes, expected } = await makeDisk(GPT_SCRIPT);
  const device = new MemoryDevice(bytes.slice(0, 10 * MIB), "x.img");
  assert.deepEqual(listPartitions(device), expected);
  assert.deepEqual(findPartition(device, 1), expected[0]);
  throwsFsError(
    "EUCLEAN",
    () => findPartition(device, 3),
    `Cannot find partition 3 of x.img: it ends at byte ${15 * MIB}, the device at ${10 * MIB}`,
  );
});

Deno.test("findPartition: an MBR is taken before headers that an old GPT left", async () => {
  if (!requires("sfdisk")) return;
  const { bytes } = await makeDisk(GPT_SCRIPT);
  const mbr = await makeDisk(MBR_SCRIPT);
  bytes.set(mbr.bytes.subarray(0, SECTOR));
  assert.deepEqual(findPartition(new MemoryDevice(bytes), 1), mbr.expected[0]);
});

/** Byte of the first EBR: where the extended partition, number 2, starts. */
function extendedStart(expected: readonly Partition[]): number {
  return expected.find(({ number }) => number === 2)!.start;
}

Deno.test("findPartition: a chain of logical partitions that runs in a circle ends", async () => {
  if (!requires("sfdisk")) return;
  const { bytes, expected } = await makeDisk(MBR_SCRIPT);
  const start = extendedStart(expected);
  const second = expected.find(({ number }) => number === 6)!.start - MIB;
  // Its link, from the second EBR, leads back to the first.
  bytes.copyWithin(second + MBR_ENTRIES_OFFSET + 16, start + MBR_ENTRIES_OFFSET + 16, start + 478);
  const device = new MemoryDevice(bytes, "x.img");
  assert.deepEqual(findPartition(device, 5), expected.find(({ number }) => number === 5));
  throwsFsError(
    "EUCLEAN",
    () => findPartition(device, 9),
    "Cannot find partition 9 of x.img: MBR's chain of logical partitions does not end",
  );
});

Deno.test("findPartition: a broken chain does not hide the primary partitions", async () => {
  if (!requires("sfdisk")) return;
  const { bytes, expected } = await makeDisk(MBR_SCRIPT);
  bytes[extendedStart(expected) + 511] = 0;
  const device = new MemoryDevice(bytes);
  assert.deepEqual(findPartition(device, 3), expected.find(({ number }) => number === 3));
  throwsFsError("EUCLEAN", () => findPartition(device, 5), /is broken at sector \d+$/);
});

Deno.test("findPartition: devices without a partition table", async () => {
  const bootSector = new Uint8Array(MIB).fill(0x4e, 0, 510);
  bootSector.set([0x55, 0xaa], 510);
  for (const content of [new Uint8Array(0), new Uint8Array(100), new Uint8Array(MIB), bootSector]) {
    const device = new MemoryDevice(content, "x.img");
    throwsFsError(
      "EINVAL",
      () => findPartition(device, 1),
      "Cannot find partition 1 of x.img: no partition table",
    );
    throwsFsError(
      "EINVAL",
      () => listPartitions(device),
      /^Cannot list the partitions of x\.img: /,
    );
  }
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const path = folder.join("fs.img");
  await run("mke2fs", ["-q", "-t", "ext4", path, "2M"]);
  const device = FileDevice.open(path, { readOnly: true });
  throwsFsError("EINVAL", () => listPartitions(device), /no partition table$/);
  device.close();
});
