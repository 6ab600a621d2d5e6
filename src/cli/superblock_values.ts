/**
 * What single fields of the superblock mean: names of their bits and numbers, times, and what it
 * takes several fields to tell. The table that uses them is in superblock_facts.ts.
 */

import { join32 } from "../disk/struct.ts";
import {
  EXT4_ENC_STRICT_MODE_FL,
  Ext4SuperBlock as Sb,
  type FIRST_ERROR,
} from "../disk/superblock.ts";
import { uuidText } from "../disk/uuid.ts";
import type { Superblock } from "../ext4/superblock/superblock.ts";
import type { Json } from "./json.ts";

/** s_state: bit names; without `valid`, the file system was not unmounted. */
export const STATES: Names = { 1: "valid", 2: "errors", 4: "orphans" };
export const FLAGS: Names = {
  1: "signed_directory_hash",
  2: "unsigned_directory_hash",
  4: "test_filesystem",
};
const MOUNT_OPTIONS: Names = {
  1: "debug",
  2: "bsdgroups",
  4: "user_xattr",
  8: "acl",
  16: "uid16",
  256: "nobarrier",
  512: "block_validity",
  1024: "discard",
  2048: "nodelalloc",
};
/** Bits 5 and 6 together choose one. */
const JOURNAL_MODES = ["", "journal_data", "journal_data_ordered", "journal_data_writeback"];
export const ERRORS_BEHAVIORS: Names = { 1: "continue", 2: "remount-ro", 3: "panic" };
export const CREATORS = ["Linux", "Hurd", "Masix", "FreeBSD", "Lites"];
export const HASHES = [
  "legacy",
  "half_md4",
  "tea",
  "legacy_unsigned",
  "half_md4_unsigned",
  "tea_unsigned",
  "siphash",
];
export const JOURNAL_BACKUPS: Names = { 1: "inode blocks" };
const ENCODINGS: Names = { 1: "utf8-12.1" };
/** s_first_error_errcode and s_last_error_errcode */
const ERROR_CODES = [
  "",
  "UNKNOWN",
  "EIO",
  "ENOMEM",
  "EFSBADCRC",
  "EFSCORRUPTED",
  "ENOSPC",
  "ENOKEY",
  "EROFS",
  "EFBIG",
  "EEXIST",
  "ERANGE",
  "EOVERFLOW",
  "EBUSY",
  "ENOTDIR",
  "ENOTEMPTY",
  "ESHUTDOWN",
  "EFAULT",
];

type Names = Readonly<Record<number, string>>;

/** An error that the kernel noted. Absent is what it did not note. */
export interface RecordedError {
  readonly [key: string]: string | number | null | undefined;
  readonly time: string | null;
  readonly function: string | null;
  readonly line: number;
  readonly inode: number | undefined;
  readonly block: number | undefined;
  readonly code: string | undefined;
}

/** @param fields FIRST_ERROR or LAST_ERROR; undefined where nothing was noted */
export function recordedError(
  view: DataView,
  fields: typeof FIRST_ERROR,
): RecordedError | undefined {
  const low = fields.time.get(view, 0);
  if (low === 0) return undefined;
  return {
    time: time(low, fields.timeHigh.get(view, 0)),
    function: text(fields.func.get(view, 0)),
    line: fields.line.get(view, 0),
    inode: orNothing(fields.ino.get(view, 0)),
    block: orNothing(fields.block.get(view, 0)),
    code: ERROR_CODES[fields.errcode.get(view, 0)] || undefined,
  };
}

export function errorWords(error: RecordedError): string {
  const parts = [`${error.time} in ${error.function ?? "an unnamed function"}:${error.line}`];
  if (error.inode !== undefined) parts.push(`inode ${error.inode}`);
  if (error.block !== undefined) parts.push(`block ${error.block}`);
  if (error.code !== undefined) parts.push(error.code);
  return parts.join(", ");
}

/** The oldest name that the features allow. */
export function generation({ features }: Superblock): string {
  const ofExt4 = features.incompat & ~0x0016 || features.roCompat & ~0x0007;
  if (ofExt4) return "ext4";
  return features.has("has_journal") ? "ext3" : "ext2";
}

/** In blocks even with bigalloc, unlike the counts of the group descriptors. */
export function freeBlocks({ features, view }: Superblock): number {
  const high = features.has("64bit") ? Sb.s_free_blocks_count_hi.get(view, 0) : 0;
  return join32(Sb.s_free_blocks_count_lo.get(view, 0), high);
}

export function defaultMountOptions(bits: number): string[] {
  const mode = JOURNAL_MODES[(bits >>> 5) & 3];
  return [...(mode === "" ? [] : [mode]), ...names(bits, MOUNT_OPTIONS)];
}

export function stateWords(state: readonly string[]): string {
  const clean = state.includes("valid") ? "clean" : "not clean";
  return clean + (state.includes("errors") ? " with errors" : "") +
    (state.includes("orphans") ? ", orphans being removed" : "");
}

export function nextCheck(view: DataView): string | undefined {
  const interval = Sb.s_checkinterval.get(view, 0);
  if (interval === 0) return undefined;
  const last = Sb.s_lastcheck_hi.get(view, 0) * 2 ** 32 + Sb.s_lastcheck.get(view, 0);
  return timeText(last + interval);
}

export function backupGroups(view: DataView): number[] {
  const { offset } = Sb.s_backup_bgs;
  return [view.getUint32(offset, true), view.getUint32(offset + 4, true)]
    .filter((group) => group !== 0);
}

export function checksumType(type: number): string {
  return type === 1 ? "crc32c" : `unknown ${type}`;
}

export function encoding(view: DataView): string {
  const name = ENCODINGS[Sb.s_encoding.get(view, 0)] ?? "unknown";
  const strict = (Sb.s_encoding_flags.get(view, 0) & EXT4_ENC_STRICT_MODE_FL) !== 0;
  return strict ? `${name} strict` : name;
}

export function hasSnapshot(view: DataView): boolean {
  return Sb.s_snapshot_inum.get(view, 0) !== 0;
}

export function names(bits: number, table: Names): string[] {
  return Object.entries(table).filter(([bit]) => (bits & Number(bit)) !== 0).map(([, name]) =>
    name
  );
}

export function listed(value: Json): string {
  return (value as readonly string[]).join(" ") || "none";
}

export function orNothing(number: number): number | undefined {
  return number === 0 ? undefined : number;
}

export function powerOfTwo(log: number): number | undefined {
  return log === 0 ? undefined : 2 ** log;
}

export function hexText(number: number, digits: number): string {
  return `0x${number.toString(16).padStart(digits, "0")}`;
}

export function hexOrNothing(number: number, digits: number): string | undefined {
  return number === 0 ? undefined : hexText(number, digits);
}

/** Up to the first NUL; null when that is nothing. */
export function text(bytes: Uint8Array): string | null {
  const nul = bytes.indexOf(0);
  return new TextDecoder().decode(nul < 0 ? bytes : bytes.subarray(0, nul)) || null;
}

export function uuidOrNothing(bytes: Uint8Array): string | undefined {
  return bytes.every((byte) => byte === 0) ? undefined : uuidText(bytes);
}

/** Seconds since 1970 in 40 bits; null for a time that never was. */
export function time(low: number, high: number): string | null {
  return low === 0 && high === 0 ? null : timeText(high * 2 ** 32 + low);
}

/** `2026-11-24T11:47:47Z`; Date ends in the year 275760, before 40 bits do. */
export function timeText(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime())
    ? `${seconds} s after 1970`
    : date.toISOString().replace(".000Z", "Z");
}
