/** What a user should know about a file system before trusting what it shows. */

import { EXT4_MMP_SEQ_CLEAN, MmpStruct } from "../../disk/mmp.ts";
import { EXT4_ERROR_FS, EXT4_VALID_FS, Ext4SuperBlock as Sb } from "../../disk/superblock.ts";
import { FsError } from "../../sys/fs_error.ts";
import type { FileSystem } from "../filesystem.ts";
import { listOrphans } from "../orphans/orphans.ts";
import type { QuotaType } from "../quota/quota_file.ts";

/** One sentence for each thing that is not as it should be; none for a clean file system. */
export function concerns(fs: FileSystem): string[] {
  const { view, features } = fs.superblock;
  const found: string[] = [];
  const state = Sb.s_state.get(view, 0);
  if ((state & EXT4_ERROR_FS) !== 0) {
    const count = Sb.s_error_count.get(view, 0);
    found.push(`errors were found in it before (${count} recorded): e2fsck should check it`);
  } else if ((state & EXT4_VALID_FS) === 0 && !features.has("has_journal")) {
    found.push("it was not unmounted cleanly and has no journal: e2fsck should check it");
  }
  const orphans = listOrphans(fs).length;
  if (orphans > 0) {
    found.push(`${orphans} deleted or cut files wait to be cleaned up; they are left as they are`);
  }
  if (features.has("mmp")) found.push(...mmpConcerns(fs));
  return found;
}

/**
 * The same for one that is open for writing.
 * @param limited types whose quota limits are asked for
 */
export function writingConcerns(fs: FileSystem, limited: ReadonlySet<QuotaType>): string[] {
  const { superblock, writing: { parts, options } } = fs;
  const found: string[] = [];
  if (!parts.wasValid && !superblock.features.has("has_journal")) {
    found.push("it was not unmounted cleanly and has no journal: e2fsck should check it");
  }
  const due = checkIsDue(superblock.view, options.now().sec);
  if (due !== undefined) found.push(`${due}: e2fsck should check it`);
  const counted = parts.quotas?.types ?? [];
  const unlimited = [...limited].filter((type) => !counted.includes(type));
  if (unlimited.length > 0) {
    const types = unlimited.map((type) => `${type}s`).join(" and ");
    found.push(`it has no quota of ${types}, so there are no limits (tune2fs -O quota makes one)`);
  }
  return found;
}

/** A check may be due after so many mounts, or so much time (tune2fs -c and -i). */
function checkIsDue(view: DataView, now: number): string | undefined {
  const most = Sb.s_max_mnt_count.get(view, 0);
  const isCounted = most > 0 && most < 0x8000;
  // This mount has been counted already.
  if (isCounted && Sb.s_mnt_count.get(view, 0) > most) return `it was mounted ${most} times`;
  const interval = Sb.s_checkinterval.get(view, 0);
  const last = Sb.s_lastcheck.get(view, 0) + Sb.s_lastcheck_hi.get(view, 0) * 2 ** 32;
  if (interval > 0 && last + interval <= now) return "its last check was too long ago";
  return undefined;
}

function mmpConcerns(fs: FileSystem): string[] {
  try {
    const block = fs.cache.read(Sb.s_mmp_block.get(fs.superblock.view, 0));
    const sequence = MmpStruct.mmp_seq.get(block.view, 0);
    if (sequence === EXT4_MMP_SEQ_CLEAN) return [];
    return ["its multiple mount protection says that it is in use: it may change while it is read"];
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    fs.report(error);
    return [];
  }
}
