/**
 * Damages file systems by a seed: each case is a few changes at places that matter. The places are
 * the blocks that reading the whole image takes metadata from, found by watching it.
 */

import { MemoryDevice } from "../../src/block/memory_device.ts";
import { crc32c } from "../../src/disk/crc32c.ts";
import { Ext4SuperBlock, SUPERBLOCK_OFFSET } from "../../src/disk/superblock.ts";
import { FileSystem } from "../../src/ext4/filesystem.ts";
import { FsError } from "../../src/sys/fs_error.ts";
import { SILENT } from "../../src/sys/log.ts";
import { Random } from "./random.ts";
import { walkEverything, type WalkLimits } from "./walk.ts";

/** An image and where in it there is something to damage. */
export interface FuzzBase {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly hasChecksums: boolean;
  /** Byte ranges of metadata. */
  readonly targets: readonly { readonly start: number; readonly length: number }[];
}

const LIMITS: WalkLimits = { objects: 2000, fileBytes: 1 << 20, runs: 500 };
const SUPERBLOCK_SIZE = 1024;

/** A device that remembers what was read from it. */
class WatchedDevice extends MemoryDevice {
  readonly reads = new Map<number, number>();

  override read(buffer: Uint8Array<ArrayBuffer>, position: number): void {
    this.reads.set(position, Math.max(buffer.length, this.reads.get(position) ?? 0));
    super.read(buffer, position);
  }
}

export function fuzzBase(name: string, bytes: Uint8Array<ArrayBuffer>): FuzzBase {
  const device = new WatchedDevice(bytes.slice(), name);
  const fs = FileSystem.open(device, { log: SILENT });
  // File content is read as well, but no more of it than of the metadata.
  const report = walkEverything(fs, LIMITS);
  if (report.objects < 20 || report.errors.size > 1) {
    throw new Error(`${name} is damaged already: ${[...report.messages].join("; ")}`);
  }
  return {
    name,
    bytes,
    hasChecksums: fs.superblock.hasMetadataChecksums,
    targets: [...device.reads].map(([start, length]) => ({ start, length })),
  };
}

/** The image of a case: the base with its damage. */
export function damage(base: FuzzBase, seed: number): Uint8Array<ArrayBuffer> {
  const random = new Random(seed);
  const bytes = base.bytes.slice();
  const changes = 1 + random.below(random.oneIn(4) ? 20 : 3);
  for (let change = 0; change < changes; change++) changeOnce(base, bytes, random);
  // Otherwise nothing behind the superblock's checksum would ever be reached.
  if (base.hasChecksums && !random.oneIn(10)) sumSuperblock(bytes);
  return bytes;
}

/** Values that sizes, counts and pointers go wrong with. */
const EDGES = [0, 1, 2, 4, 7, 8, 11, 12, 255, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000];

/** One change by chance somewhere in the targets, or in the superblock. */
export function changeOnce(
  base: Pick<FuzzBase, "targets">,
  bytes: Uint8Array<ArrayBuffer>,
  random: Random,
): void {
  const view = new DataView(bytes.buffer);
  const target = random.oneIn(6)
    ? { start: SUPERBLOCK_OFFSET, length: SUPERBLOCK_SIZE }
    : random.pick(base.targets);
  const at = place(bytes, target, random);
  switch (random.below(8)) {
    case 0:
      bytes[at] ^= 1 << random.below(8);
      break;
    case 1:
      bytes[at] = random.uint32();
      break;
    case 2:
      view.setUint16(at & ~1, random.pick(EDGES), true);
      break;
    case 3:
      view.setUint32(at & ~3, random.oneIn(3) ? 0xffffffff : random.pick(EDGES), true);
      break;
    case 4:
      // A pointer to somewhere in the image, or to just behind it.
      view.setUint32(at & ~3, random.below(bytes.length / 1024 + 2), true);
      break;
    case 5:
      view.setUint32(at & ~3, view.getUint32(at & ~3, true) + random.below(9) - 4, true);
      break;
    case 6: {
      const length = random.pick([4, 8, 12, 16, 32, 128, 256, 1024]);
      const from = place(bytes, random.pick(base.targets), random);
      bytes.copyWithin(at, from, Math.min(from + length, bytes.length));
      break;
    }
    default:
      bytes.fill(random.pick([0, 0xff]), at, at + random.pick([2, 4, 12, 64]));
  }
}

/** A byte in a range; one of several tries that is not zero, since there is more behind those. */
function place(
  bytes: Uint8Array,
  target: { readonly start: number; readonly length: number },
  random: Random,
): number {
  let at = 0;
  for (let attempt = 0; attempt < 6; attempt++) {
    at = target.start + random.below(target.length);
    if (bytes[at] !== 0) break;
  }
  return at;
}

function sumSuperblock(bytes: Uint8Array<ArrayBuffer>): void {
  const { offset } = Ext4SuperBlock.s_checksum;
  const view = new DataView(bytes.buffer);
  const crc = crc32c(0xffffffff, bytes, SUPERBLOCK_OFFSET, SUPERBLOCK_OFFSET + offset);
  view.setUint32(SUPERBLOCK_OFFSET + offset, crc, true);
}

/** How reading a damaged image went. */
export interface FuzzOutcome {
  /** Codes of the errors that came. */
  readonly codes: readonly string[];
  /** Messages of damage that do not say where it is. */
  readonly unplaced: readonly string[];
}

export function readDamaged(name: string, bytes: Uint8Array<ArrayBuffer>): FuzzOutcome {
  // Only to be read: a write would throw EROFS, which no reader expects.
  const device = new MemoryDevice(bytes, name, true);
  try {
    const report = walkEverything(FileSystem.open(device, { log: SILENT }), LIMITS);
    return { codes: [...report.errors.keys()], unplaced: [...report.unplaced] };
  } catch (error) {
    if (error instanceof FsError) return { codes: [error.code], unplaced: [] };
    throw error;
  }
}
