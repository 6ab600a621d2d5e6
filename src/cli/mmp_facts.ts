/** What the block of multiple mount protection says: who had the file system mounted last. */

import {
  EXT4_MMP_MAGIC,
  EXT4_MMP_SEQ_CLEAN,
  EXT4_MMP_SEQ_FSCK,
  MmpStruct as Mmp,
} from "../disk/mmp.ts";
import { Ext4SuperBlock as Sb } from "../disk/superblock.ts";
import type { FileSystem } from "../ext4/filesystem.ts";
import { FsError } from "../sys/fs_error.ts";
import type { Fact } from "./superblock_facts.ts";
import { hexText, text, timeText } from "./superblock_values.ts";

/** The facts, or undefined for a file system without this protection. */
export function mmpFacts(fs: FileSystem): Fact[] | undefined {
  if (!fs.superblock.features.has("mmp")) return undefined;
  try {
    const { view } = fs.cache.read(Sb.s_mmp_block.get(fs.superblock.view, 0));
    if (Mmp.mmp_magic.get(view, 0) !== EXT4_MMP_MAGIC) {
      return [{ key: "error", label: "Error", value: "its block has no magic number" }];
    }
    return rows(view);
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    return [{ key: "error", label: "Error", value: error.message }];
  }
}

function rows(view: DataView): Fact[] {
  const sequence = Mmp.mmp_seq.get(view, 0);
  return [
    { key: "user", label: "In use", value: user(sequence) },
    { key: "sequence", label: "Sequence number", value: hexText(sequence, 8) },
    {
      key: "checkIntervalSeconds",
      label: "Check interval in seconds",
      value: Mmp.mmp_check_interval.get(view, 0),
    },
    { key: "updated", label: "Updated", value: timeText(Mmp.mmp_time.get(view, 0)) },
    { key: "nodeName", label: "By the machine", value: text(Mmp.mmp_nodename.get(view, 0)) },
    { key: "deviceName", label: "On its device", value: text(Mmp.mmp_bdevname.get(view, 0)) },
  ];
}

function user(sequence: number): string {
  if (sequence === EXT4_MMP_SEQ_CLEAN) return "no";
  return sequence === EXT4_MMP_SEQ_FSCK ? "by e2fsck" : "by a mount";
}
