/** Partitions of a whole-disk image. */
import { fail } from "../sys/fs_error.ts";
import type { Device } from "./device.ts";
export function findPartition(_device: Device, number: number): { start: number; size: number } {
  throw fail("EOPNOTSUPP", `partition ${number}: not yet`);
}
