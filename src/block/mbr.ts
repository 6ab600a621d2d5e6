/**
 * Reading an MBR and the chain of logical partitions in an extended one:
 *
 *     MBR             extended partition
 *     | 1 | 2 | 3 --> | EBR: 5, next | partition 5 ... | EBR: 6, next | partition 6 ... |
 *
 * An EBR looks like an MBR. Its first entry counts from itself, its second, which leads to the
 * next EBR, from the start of the extended partition.
 */

import {
  MBR_ENTRIES,
  MBR_ENTRIES_OFFSET,
  MBR_MAGIC,
  MBR_MAGIC_OFFSET,
  MBR_SECTOR_SIZE,
  MBR_TYPE_PROTECTIVE,
  MBR_TYPES_EXTENDED,
  MsdosPartition,
} from "../disk/partition_table.ts";
import { fail } from "../sys/fs_error.ts";
import type { Device } from "./device.ts";
import type { Partition } from "./partition.ts";

const FIRST_LOGICAL = 5;
/** As many partitions as Linux makes of one disk. */
const MAX_PARTITIONS = 256;

interface MbrEntry {
  readonly type: number;
  /** In sectors. */
  readonly start: number;
  readonly size: number;
}

export interface Mbr {
  /** The four, empty ones too. */
  readonly entries: readonly MbrEntry[];
  /** It stands in front of a GPT. */
  readonly isProtective: boolean;
}

/** The MBR of a device, or undefined: the boot sector of a file system, for one, is none. */
export function readMbr(device: Device): Mbr | undefined {
  const sector = readSector(device, 0);
  if (sector === undefined || !hasMagic(sector) || !hasBootMarks(sector)) return undefined;
  const entries = decodeEntries(sector);
  return { entries, isProtective: entries.some(({ type }) => type === MBR_TYPE_PROTECTIVE) };
}

/** The primary partitions, extended ones too, and then the logical ones. Throws EUCLEAN. */
export function* mbrPartitions(device: Device, mbr: Mbr): Generator<Partition> {
  for (const [index, entry] of mbr.entries.entries()) {
    if (isUsed(entry)) yield partition(index + 1, entry);
  }
  let number = FIRST_LOGICAL;
  for (const entry of mbr.entries) {
    if (!isUsed(entry) || !isExtended(entry)) continue;
    for (const logical of logicalEntries(device, entry)) {
      if (number > MAX_PARTITIONS) {
        throw fail("EUCLEAN", `MBR has over ${MAX_PARTITIONS} partitions`);
      }
      yield partition(number++, logical);
    }
  }
}

/** The logical partitions in an extended one, their starts counted from that of the device. */
function* logicalEntries(device: Device, extended: MbrEntry): Generator<MbrEntry> {
  const seen = new Set<number>();
  let at: number | undefined = extended.start;
  while (at !== undefined) {
    if (seen.has(at) || seen.size >= MAX_PARTITIONS) {
      throw fail("EUCLEAN", "MBR's chain of logical partitions does not end");
    }
    seen.add(at);
    const sector = readSector(device, at);
    if (sector === undefined || !hasMagic(sector)) {
      throw fail("EUCLEAN", `MBR's chain of logical partitions is broken at sector ${at}`);
    }
    // The other two entries are empty, or left over from something else.
    const [own, link] = decodeEntries(sector).slice(0, 2);
    if (isUsed(own) && !isExtended(own)) yield { ...own, start: at + own.start };
    at = nextLink(extended, own, link);
  }
}

/** The sector of the next EBR. Some programs leave out the first entry of an EBR without data. */
function nextLink(extended: MbrEntry, own: MbrEntry, link: MbrEntry): number | undefined {
  const next = [own, link].find((entry) => isUsed(entry) && isExtended(entry));
  return next === undefined ? undefined : extended.start + next.start;
}

function isUsed({ type, size }: MbrEntry): boolean {
  return type !== 0 && size !== 0;
}

function isExtended({ type }: MbrEntry): boolean {
  return MBR_TYPES_EXTENDED.includes(type);
}

function partition(number: number, { type, start, size }: MbrEntry): Partition {
  return {
    number,
    start: start * MBR_SECTOR_SIZE,
    size: size * MBR_SECTOR_SIZE,
    type: `0x${type.toString(16).padStart(2, "0")}`,
  };
}

/** Undefined for a sector that the device does not have. */
function readSector(device: Device, sector: number): DataView<ArrayBuffer> | undefined {
  const position = sector * MBR_SECTOR_SIZE;
  if (position + MBR_SECTOR_SIZE > device.size) return undefined;
  const bytes = new Uint8Array(MBR_SECTOR_SIZE);
  device.read(bytes, position);
  return new DataView(bytes.buffer);
}

function hasMagic(sector: DataView): boolean {
  return sector.getUint16(MBR_MAGIC_OFFSET, true) === MBR_MAGIC;
}

/** Only 0 and 0x80 mark entries, which tells an MBR from code or text with the same magic. */
function hasBootMarks(sector: DataView): boolean {
  return entryOffsets().every((at) => (MsdosPartition.boot_ind.get(sector, at) & 0x7f) === 0);
}

function decodeEntries(sector: DataView): MbrEntry[] {
  return entryOffsets().map((at) => ({
    type: MsdosPartition.sys_ind.get(sector, at),
    start: MsdosPartition.start_sect.get(sector, at),
    size: MsdosPartition.nr_sects.get(sector, at),
  }));
}

function entryOffsets(): number[] {
  return Array.from(
    { length: MBR_ENTRIES },
    (_, index) => MBR_ENTRIES_OFFSET + index * MsdosPartition.byteLength,
  );
}
