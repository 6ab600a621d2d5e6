/** What a user should know about a file system before trusting what it shows. */

import { EXT4_MMP_SEQ_CLEAN, MmpStruct } from "../disk/mmp.ts";
import { EXT4_ERROR_FS, EXT4_VALID_FS, Ext4SuperBlock as Sb } from "../disk/superblock.ts";
import { FsError } from "../sys/fs_error.ts";
import type { FileSystem } from "./filesystem.ts";
import { listOrphans } from "./orphans.ts";

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
