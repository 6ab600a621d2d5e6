/**
 * The partitions of a disk or disk image, by GPT or MBR, numbered as Linux numbers them.
 *
 *     protective MBR, or none ----> GPT   1, 2, 3 ... by the place in its table
 *     MBR -----------------------------> 1 to 4 by the place, 5, 6 ... along the chain of logical ones
 */

import { fail, FsError } from "../sys/fs_error.ts";
import type { Device } from "./device.ts";
import { gptPartitions } from "./gpt.ts";
import { mbrPartitions, readMbr } from "./mbr.ts";

export interface Partition {
  /** From 1 on; there may be gaps. */
  readonly number: number;
  /** First byte on the device. */
  readonly start: number;
  /** In bytes. The end may lie behind the end of a device that was cut off. */
  readonly size: number;
  /** What it is for: a GUID in capitals (GPT), or a number like 0x83 (MBR). */
  readonly type: string;
  /** Its label, which only GPT has. */
  readonly name?: string;
}

interface PartitionTable {
  readonly kind: "GPT" | "MBR";
  /**
   * In the order of their numbers, with starts and sizes as the table has them. Throws EUCLEAN
   * behind those that could be read.
   */
  readonly partitions: Iterable<Partition>;
}

/**
 * The partitions of a device, but for those that cannot be. Throws FsError: EINVAL without a
 * partition table, EUCLEAN for a damaged one, EIO.
 */
export function listPartitions(device: Device): Partition[] {
  return explain(
    `Cannot list the partitions of ${device.name}`,
    () => [...readTable(device).partitions].filter(isPossible),
  );
}

/**
 * The partition of a number, which lies within the device. Throws FsError: EINVAL without a
 * partition table, ENXIO without such a partition, EUCLEAN for a damaged one or table, EIO.
 */
export function findPartition(device: Device, number: number): Partition {
  return explain(`Cannot find partition ${number} of ${device.name}`, () => {
    const { kind, partitions } = readTable(device);
    let count = 0;
    for (const partition of partitions) {
      count++;
      if (partition.number !== number) continue;
      requireWithin(partition, device);
      return partition;
    }
    throw fail("ENXIO", `${kind} has ${count} partition${count === 1 ? "" : "s"}`);
  });
}

/**
 * A GPT that was given up leaves its headers behind, so an MBR that does not protect a GPT is
 * taken at its word. Without any MBR there is still the hope of a GPT that lost its first sector.
 */
function readTable(device: Device): PartitionTable {
  const mbr = readMbr(device);
  if (mbr !== undefined && !mbr.isProtective) {
    return { kind: "MBR", partitions: mbrPartitions(device, mbr) };
  }
  const partitions = gptPartitions(device);
  if (partitions !== undefined) return { kind: "GPT", partitions };
  throw mbr === undefined
    ? fail("EINVAL", "no partition table")
    : fail("EUCLEAN", "GPT is damaged, and so is its backup");
}

/** Numbers too large to be exact are too large for any disk; byte 0 is the table's. */
function isPossible({ start, size }: Partition): boolean {
  return start > 0 && size > 0 && Number.isSafeInteger(start + size);
}

function requireWithin(partition: Partition, device: Device): void {
  if (!isPossible(partition)) throw fail("EUCLEAN", "its start and end make no sense");
  const { start, size } = partition;
  if (start + size > device.size) {
    throw fail("EUCLEAN", `it ends at byte ${start + size}, the device at ${device.size}`);
  }
}

/** Says in front of what went wrong what was being done. */
function explain<Result>(what: string, act: () => Result): Result {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    throw new FsError(error.errno, `${what}: ${error.message}`);
  }
}
