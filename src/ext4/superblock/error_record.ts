/**
 * The superblock's error fields: how often damage was met, and where the first and the last time
 * (kernel documentation: filesystems/ext4/super.rst). e2fsck -p checks a file system that has the
 * error flag in full, and dumpe2fs shows the rest.
 */

import { setText } from "../../disk/struct.ts";
import {
  EXT4_ERROR_FS,
  Ext4SuperBlock as Sb,
  FIRST_ERROR,
  LAST_ERROR,
  SUPERBLOCK_OFFSET,
} from "../../disk/superblock.ts";
import { Errno } from "../../sys/errno.ts";
import type { FsError } from "../../sys/fs_error.ts";
import type { FileSystem } from "../filesystem.ts";
import { changeSuperblockInPlace, setSuperblockTime } from "./mount_state.ts";
import { sealSuperblock } from "./superblock_write.ts";

/** EXT4_ERR_*: the numbers that stand for error numbers in the superblock. */
const STORED_ERRNO = new Map<number, number>([
  [Errno.EIO, 2],
  [Errno.ENOMEM, 3],
  [Errno.EBADMSG, 4],
  [Errno.EUCLEAN, 5],
  [Errno.ENOSPC, 6],
  [Errno.ENOKEY, 7],
  [Errno.EROFS, 8],
  [Errno.EFBIG, 9],
  [Errno.EEXIST, 10],
  [Errno.ERANGE, 11],
  [Errno.EOVERFLOW, 12],
  [Errno.EBUSY, 13],
  [Errno.ENOTDIR, 14],
  [Errno.ENOTEMPTY, 15],
  [Errno.EFAULT, 17],
]);
const UNKNOWN_ERRNO = 1;

/**
 * Notes an error in the superblock, on the device at once: whatever becomes of the journal, the
 * next mount knows. Not to be called inside an operation. Throws FsError where the superblock
 * cannot be written, EROFS where the file system is open for reading only.
 */
export function recordError(fs: FileSystem, error: FsError): void {
  const now = fs.writing.now().sec;
  const source = placeInSource(error);
  changeSuperblockInPlace(fs, (view) => {
    Sb.s_state.set(view, 0, Sb.s_state.get(view, 0) | EXT4_ERROR_FS);
    const isFirst = Sb.s_error_count.get(view, 0) === 0;
    for (const fields of isFirst ? [FIRST_ERROR, LAST_ERROR] : [LAST_ERROR]) {
      setSuperblockTime(view, fields.time, fields.timeHigh, now);
      fields.ino.set(view, 0, error.place.ino ?? 0);
      fields.block.set(view, 0, error.place.block ?? 0);
      setText(view, fields.func, source.func);
      fields.line.set(view, 0, source.line);
      fields.errcode.set(view, 0, STORED_ERRNO.get(error.errno) ?? UNKNOWN_ERRNO);
    }
    const count = Sb.s_error_count.get(view, 0);
    Sb.s_error_count.set(view, 0, Math.min(count + 1, 2 ** 32 - 1));
  });
}

/**
 * Keeps the error fields over the replay of a journal, which may bring back an older superblock.
 * Returns what is to be called with each block of the replay before it is written: so they are there
 * at every moment, and a crash of the replay does not lose them.
 */
export function errorFieldsKeeper(
  { superblock, blockSize }: FileSystem,
): (block: number, bytes: Uint8Array<ArrayBuffer>) => void {
  const before = superblock.view;
  return (block, bytes) => {
    if (block !== Math.floor(SUPERBLOCK_OFFSET / blockSize)) return;
    const raw = bytes.subarray(SUPERBLOCK_OFFSET % blockSize).subarray(0, Sb.byteLength);
    const view = new DataView(raw.buffer, raw.byteOffset, raw.length);
    if (Sb.s_error_count.get(view, 0) >= Sb.s_error_count.get(before, 0)) return;
    const start = Sb.s_error_count.offset;
    const end = Sb.s_mount_opts.offset;
    raw.set(new Uint8Array(before.buffer, before.byteOffset + start, end - start), start);
    const state = Sb.s_state.get(before, 0) & EXT4_ERROR_FS;
    Sb.s_state.set(view, 0, Sb.s_state.get(view, 0) | state);
    for (const { timeHigh, errcode } of [FIRST_ERROR, LAST_ERROR]) {
      timeHigh.set(view, 0, timeHigh.get(before, 0));
      errcode.set(view, 0, errcode.get(before, 0));
    }
    sealSuperblock({ view, hasMetadataChecksums: superblock.hasMetadataChecksums });
  };
}

/** Functions that make errors, and do not meet them. */
const MAKERS = /fs_error\.ts|\b(?:corrupt|badChecksum|fail|FsError)\b/;

/** The function that met the error, and its line, as the stack has them. */
function placeInSource(error: FsError): { readonly func: string; readonly line: number } {
  for (const row of (error.stack ?? "").split("\n")) {
    const found = /^ +at (?:new )?(?:async )?([^ ]+) \(.*?:(\d+):\d+\)$/.exec(row);
    if (found !== null && !MAKERS.test(row)) {
      return { func: found[1].replace(/^.*[.#]/, ""), line: Number(found[2]) };
    }
  }
  return { func: "", line: 0 };
}
