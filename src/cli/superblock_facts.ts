/**
 * The superblock in words and as JSON: one table with a row for each fact. dumpe2fs(8) tells the
 * same with -h, under its own names.
 */

import { join32 } from "../disk/struct.ts";
import { Ext4SuperBlock as Sb } from "../disk/superblock.ts";
import type { Superblock } from "../ext4/superblock.ts";
import type { Json } from "./json.ts";
import { hex } from "./names.ts";

/** One fact of a superblock. */
export interface Fact {
  /** Key in the JSON. */
  readonly key: string;
  /** What stands before it in words. */
  readonly label: string;
  /** undefined: the file system has no such thing. */
  readonly value: Json | undefined;
  /** The value in words where they differ from the JSON. */
  readonly words?: string;
}

/** A row of the table. */
interface Row {
  readonly key: string;
  readonly label: string;
  read(superblock: Superblock, view: DataView): Json | undefined;
  words?(value: Json, superblock: Superblock): string;
}

/** Everything the superblock tells, in the order of the table. */
export function superblockFacts(superblock: Superblock): Fact[] {
  return ROWS.map(({ key, label, read, words }) => {
    const value = read(superblock, superblock.view);
    if (value === undefined || value === null || words === undefined) return { key, label, value };
    return { key, label, value, words: words(value, superblock) };
  });
}

const ROWS: readonly Row[] = [
  { key: "label", label: "Label", read: (_, view) => text(Sb.s_volume_name.get(view, 0)) },
  { key: "uuid", label: "UUID", read: ({ uuid }) => uuidText(uuid) },
  { key: "type", label: "Type", read: (superblock) => generation(superblock) },
  { key: "magic", label: "Magic number", read: (_, view) => hexText(Sb.s_magic.get(view, 0), 4) },
  {
    key: "revision",
    label: "Revision",
    read: (_, view) => Sb.s_rev_level.get(view, 0),
    words: (value) => value === 0 ? "0 (original)" : `${value} (dynamic)`,
  },
  {
    key: "features",
    label: "Features",
    read: ({ features }) => features.names(),
    words: (value) => listed(value),
  },
  {
    key: "flags",
    label: "Flags",
    read: (_, view) => names(Sb.s_flags.get(view, 0), FLAGS),
    words: (value) => listed(value),
  },
  {
    key: "state",
    label: "State",
    read: (_, view) => names(Sb.s_state.get(view, 0), STATES),
    words: (value) => stateWords(value as readonly string[]),
  },
  {
    key: "errorsBehavior",
    label: "On errors",
    read: (_, view) => ERRORS_BEHAVIORS[Sb.s_errors.get(view, 0)] ?? "unknown",
  },
  {
    key: "defaultMountOptions",
    label: "Default mount options",
    read: (_, view) => defaultMountOptions(Sb.s_default_mount_opts.get(view, 0)),
    words: (value) => listed(value),
  },
  {
    key: "mountOptions",
    label: "Further mount options",
    read: (_, view) => text(Sb.s_mount_opts.get(view, 0)) ?? undefined,
  },
  {
    key: "creatorOs",
    label: "Made by",
    read: (_, view) => CREATORS[Sb.s_creator_os.get(view, 0)] ?? "unknown",
  },
  {
    key: "lastMountedOn",
    label: "Last mounted on",
    read: (_, view) => text(Sb.s_last_mounted.get(view, 0)),
  },

  { key: "blockSize", label: "Block size", read: ({ blockSize }) => blockSize },
  {
    key: "clusterSize",
    label: "Cluster size",
    read: ({ blockSize, clusterRatio }) => blockSize * clusterRatio,
  },
  { key: "blockCount", label: "Blocks", read: ({ blocksCount }) => blocksCount },
  { key: "freeBlocks", label: "Free blocks", read: (superblock) => freeBlocks(superblock) },
  {
    key: "reservedBlocks",
    label: "Reserved blocks",
    read: ({ reservedBlocksCount }) => reservedBlocksCount,
  },
  {
    key: "reservedBlocksUid",
    label: "Reserved for user",
    read: (_, view) => Sb.s_def_resuid.get(view, 0),
  },
  {
    key: "reservedBlocksGid",
    label: "Reserved for group",
    read: (_, view) => Sb.s_def_resgid.get(view, 0),
  },
  {
    key: "overheadClusters",
    label: "Overhead clusters",
    read: (_, view) => orNothing(Sb.s_overhead_clusters.get(view, 0)),
  },
  { key: "firstBlock", label: "First block", read: ({ firstDataBlock }) => firstDataBlock },
  { key: "inodeCount", label: "Inodes", read: ({ inodesCount }) => inodesCount },
  {
    key: "freeInodes",
    label: "Free inodes",
    read: (_, view) => Sb.s_free_inodes_count.get(view, 0),
  },
  { key: "firstInode", label: "First inode", read: ({ firstInode }) => firstInode },
  { key: "inodeSize", label: "Inode size", read: ({ inodeSize }) => inodeSize },
  {
    key: "requiredExtraIsize",
    label: "Required extra inode size",
    read: (_, view) => orNothing(Sb.s_min_extra_isize.get(view, 0)),
  },
  {
    key: "desiredExtraIsize",
    label: "Desired extra inode size",
    read: (_, view) => orNothing(Sb.s_want_extra_isize.get(view, 0)),
  },

  { key: "groupCount", label: "Groups", read: ({ groupCount }) => groupCount },
  { key: "blocksPerGroup", label: "Blocks of a group", read: (s) => s.blocksPerGroup },
  { key: "clustersPerGroup", label: "Clusters of a group", read: (s) => s.clustersPerGroup },
  { key: "inodesPerGroup", label: "Inodes of a group", read: (s) => s.inodesPerGroup },
  {
    key: "inodeBlocksPerGroup",
    label: "Inode blocks of a group",
    read: (s) => Math.ceil(s.inodesPerGroup * s.inodeSize / s.blockSize),
  },
  { key: "groupDescriptorSize", label: "Group descriptor size", read: (s) => s.groupDescSize },
  {
    key: "reservedGdtBlocks",
    label: "Reserved GDT blocks",
    read: (_, view) => orNothing(Sb.s_reserved_gdt_blocks.get(view, 0)),
  },
  {
    key: "firstMetaBlockGroup",
    label: "First meta block group",
    read: (_, view) => orNothing(Sb.s_first_meta_bg.get(view, 0)),
  },
  {
    key: "flexBlockGroupSize",
    label: "Groups of a flex group",
    read: (_, view) => powerOfTwo(Sb.s_log_groups_per_flex.get(view, 0)),
  },
  {
    key: "backupBlockGroups",
    label: "Groups with backups",
    read: ({ features }, view) => features.has("sparse_super2") ? backupGroups(view) : undefined,
    words: (value) => listed(value),
  },
  {
    key: "raidStride",
    label: "RAID stride",
    read: (_, view) => orNothing(Sb.s_raid_stride.get(view, 0)),
  },
  {
    key: "raidStripeWidth",
    label: "RAID stripe width",
    read: (_, view) => orNothing(Sb.s_raid_stripe_width.get(view, 0)),
  },

  {
    key: "created",
    label: "Created",
    read: (_, view) => time(Sb.s_mkfs_time.get(view, 0), Sb.s_mkfs_time_hi.get(view, 0)),
  },
  {
    key: "lastMounted",
    label: "Last mounted",
    read: (_, view) => time(Sb.s_mtime.get(view, 0), Sb.s_mtime_hi.get(view, 0)),
  },
  {
    key: "lastWritten",
    label: "Last written",
    read: (_, view) => time(Sb.s_wtime.get(view, 0), Sb.s_wtime_hi.get(view, 0)),
  },
  {
    key: "lastChecked",
    label: "Last checked",
    read: (_, view) => time(Sb.s_lastcheck.get(view, 0), Sb.s_lastcheck_hi.get(view, 0)),
  },
  {
    key: "checkIntervalSeconds",
    label: "Check interval in seconds",
    read: (_, view) => Sb.s_checkinterval.get(view, 0),
    words: (value) => value === 0 ? "none" : String(value),
  },
  { key: "nextCheckAfter", label: "Next check after", read: (_, view) => nextCheck(view) },
  { key: "mountCount", label: "Mounts since the check", read: (_, v) => Sb.s_mnt_count.get(v, 0) },
  {
    key: "maximumMountCount",
    label: "Mounts before a check",
    // A signed number on the disk: -1 is never.
    read: (_, view) => view.getInt16(Sb.s_max_mnt_count.offset, true),
    words: (value) => Number(value) <= 0 ? "no limit" : String(value),
  },
  {
    key: "lifetimeWritesKib",
    label: "KiB written so far",
    read: (_, view) => orNothing(Sb.s_kbytes_written.get(view, 0)),
  },

  {
    key: "directoryHash",
    label: "Hash of directories",
    read: ({ features }, view) =>
      features.has("dir_index") || Sb.s_def_hash_version.get(view, 0) !== 0
        ? HASHES[Sb.s_def_hash_version.get(view, 0)] ?? "unknown"
        : undefined,
  },
  {
    key: "directoryHashSeed",
    label: "Hash seed",
    read: (_, view) => uuidOrNothing(Sb.s_hash_seed.get(view, 0)),
  },
  {
    key: "checksumType",
    label: "Checksum type",
    read: (superblock, view) =>
      superblock.hasMetadataChecksums ? checksumType(Sb.s_checksum_type.get(view, 0)) : undefined,
  },
  {
    key: "checksum",
    label: "Checksum",
    read: (superblock, view) =>
      superblock.hasMetadataChecksums ? hexText(Sb.s_checksum.get(view, 0), 8) : undefined,
  },
  {
    key: "checksumSeed",
    label: "Checksum seed",
    read: ({ features }, view) =>
      features.has("metadata_csum_seed") ? hexText(Sb.s_checksum_seed.get(view, 0), 8) : undefined,
  },
  {
    key: "journalInode",
    label: "Journal inode",
    read: (_, view) => orNothing(Sb.s_journal_inum.get(view, 0)),
  },
  {
    key: "journalUuid",
    label: "Journal UUID",
    read: (_, view) => uuidOrNothing(Sb.s_journal_uuid.get(view, 0)),
  },
  {
    key: "journalDevice",
    label: "Journal device",
    read: (_, view) => hexOrNothing(Sb.s_journal_dev.get(view, 0), 4),
  },
  {
    key: "journalBackup",
    label: "Journal backup",
    read: (_, view) => JOURNAL_BACKUPS[Sb.s_jnl_backup_type.get(view, 0)],
  },
  {
    key: "firstOrphanInode",
    label: "First orphan inode",
    read: (_, view) => orNothing(Sb.s_last_orphan.get(view, 0)),
  },
  {
    key: "orphanFileInode",
    label: "Orphan file inode",
    read: (_, view) => orNothing(Sb.s_orphan_file_inum.get(view, 0)),
  },
  {
    key: "userQuotaInode",
    label: "User quota inode",
    read: (_, view) => orNothing(Sb.s_usr_quota_inum.get(view, 0)),
  },
  {
    key: "groupQuotaInode",
    label: "Group quota inode",
    read: (_, view) => orNothing(Sb.s_grp_quota_inum.get(view, 0)),
  },
  {
    key: "projectQuotaInode",
    label: "Project quota inode",
    read: (_, view) => orNothing(Sb.s_prj_quota_inum.get(view, 0)),
  },
  {
    key: "mmpBlock",
    label: "MMP block",
    read: ({ features }, view) => features.has("mmp") ? Sb.s_mmp_block.get(view, 0) : undefined,
  },
  {
    key: "mmpUpdateInterval",
    label: "MMP interval in seconds",
    read: ({ features }, view) => features.has("mmp") ? Sb.s_mmp_interval.get(view, 0) : undefined,
  },
  {
    key: "encryptionLevel",
    label: "Encryption level",
    read: ({ features }, view) =>
      features.has("encrypt") ? Sb.s_encryption_level.get(view, 0) : undefined,
  },
  {
    key: "encryptionPasswordSalt",
    label: "Encryption salt",
    read: ({ features }, view) =>
      features.has("encrypt") ? uuidText(Sb.s_encrypt_pw_salt.get(view, 0)) : undefined,
  },
  {
    key: "characterEncoding",
    label: "Character encoding",
    read: ({ features }, view) => features.has("casefold") ? encoding(view) : undefined,
  },
  {
    key: "snapshotInode",
    label: "Snapshot inode",
    read: (_, view) => orNothing(Sb.s_snapshot_inum.get(view, 0)),
  },
  {
    key: "snapshotId",
    label: "Snapshot number",
    read: (_, view) => hasSnapshot(view) ? Sb.s_snapshot_id.get(view, 0) : undefined,
  },
  {
    key: "snapshotReservedBlocks",
    label: "Snapshot reserved blocks",
    read: (_, view) => hasSnapshot(view) ? Sb.s_snapshot_r_blocks_count.get(view, 0) : undefined,
  },
  {
    key: "snapshotListHead",
    label: "Snapshot list head",
    read: (_, view) => orNothing(Sb.s_snapshot_list.get(view, 0)),
  },
  {
    key: "errorCount",
    label: "Errors so far",
    read: (_, view) => orNothing(Sb.s_error_count.get(view, 0)),
  },
  {
    key: "firstError",
    label: "First error",
    read: (_, view) => firstError(view),
    words: (value) => errorWords(value as RecordedError),
  },
  {
    key: "lastError",
    label: "Last error",
    read: (_, view) => lastError(view),
    words: (value) => errorWords(value as RecordedError),
  },
];

/** s_state: bit names; without `valid`, the file system was not unmounted. */
const STATES: Names = { 1: "valid", 2: "errors", 4: "orphans" };
const FLAGS: Names = {
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
const ERRORS_BEHAVIORS: Names = { 1: "continue", 2: "remount-ro", 3: "panic" };
const CREATORS = ["Linux", "Hurd", "Masix", "FreeBSD", "Lites"];
const HASHES = [
  "legacy",
  "half_md4",
  "tea",
  "legacy_unsigned",
  "half_md4_unsigned",
  "tea_unsigned",
  "siphash",
];
const JOURNAL_BACKUPS: Names = { 1: "inode blocks" };
const ENCODINGS: Names = { 1: "utf8-12.1" };
const ENCODING_STRICT = 1;
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
interface RecordedError {
  readonly [key: string]: string | number | null | undefined;
  readonly time: string | null;
  readonly function: string | null;
  readonly line: number;
  readonly inode: number | undefined;
  readonly block: number | undefined;
  readonly code: string | undefined;
}

function firstError(view: DataView): RecordedError | undefined {
  if (Sb.s_first_error_time.get(view, 0) === 0) return undefined;
  return {
    time: time(Sb.s_first_error_time.get(view, 0), Sb.s_first_error_time_hi.get(view, 0)),
    function: text(Sb.s_first_error_func.get(view, 0)),
    line: Sb.s_first_error_line.get(view, 0),
    inode: orNothing(Sb.s_first_error_ino.get(view, 0)),
    block: orNothing(Sb.s_first_error_block.get(view, 0)),
    code: ERROR_CODES[Sb.s_first_error_errcode.get(view, 0)] || undefined,
  };
}

function lastError(view: DataView): RecordedError | undefined {
  if (Sb.s_last_error_time.get(view, 0) === 0) return undefined;
  return {
    time: time(Sb.s_last_error_time.get(view, 0), Sb.s_last_error_time_hi.get(view, 0)),
    function: text(Sb.s_last_error_func.get(view, 0)),
    line: Sb.s_last_error_line.get(view, 0),
    inode: orNothing(Sb.s_last_error_ino.get(view, 0)),
    block: orNothing(Sb.s_last_error_block.get(view, 0)),
    code: ERROR_CODES[Sb.s_last_error_errcode.get(view, 0)] || undefined,
  };
}

function errorWords(error: RecordedError): string {
  const parts = [`${error.time} in ${error.function ?? "an unnamed function"}:${error.line}`];
  if (error.inode !== undefined) parts.push(`inode ${error.inode}`);
  if (error.block !== undefined) parts.push(`block ${error.block}`);
  if (error.code !== undefined) parts.push(error.code);
  return parts.join(", ");
}

/** The oldest name that the features allow. */
function generation({ features }: Superblock): string {
  const ofExt4 = features.incompat & ~0x0016 || features.roCompat & ~0x0007;
  if (ofExt4) return "ext4";
  return features.has("has_journal") ? "ext3" : "ext2";
}

/** In blocks even with bigalloc, unlike the counts of the group descriptors. */
function freeBlocks({ features, view }: Superblock): number {
  const high = features.has("64bit") ? Sb.s_free_blocks_count_hi.get(view, 0) : 0;
  return join32(Sb.s_free_blocks_count_lo.get(view, 0), high);
}

function defaultMountOptions(bits: number): string[] {
  const mode = JOURNAL_MODES[(bits >>> 5) & 3];
  return [...(mode === "" ? [] : [mode]), ...names(bits, MOUNT_OPTIONS)];
}

function stateWords(state: readonly string[]): string {
  const clean = state.includes("valid") ? "clean" : "not clean";
  return clean + (state.includes("errors") ? " with errors" : "") +
    (state.includes("orphans") ? ", orphans being removed" : "");
}

function nextCheck(view: DataView): string | undefined {
  const interval = Sb.s_checkinterval.get(view, 0);
  if (interval === 0) return undefined;
  const last = Sb.s_lastcheck_hi.get(view, 0) * 2 ** 32 + Sb.s_lastcheck.get(view, 0);
  return timeText(last + interval);
}

function backupGroups(view: DataView): number[] {
  const { offset } = Sb.s_backup_bgs;
  return [view.getUint32(offset, true), view.getUint32(offset + 4, true)]
    .filter((group) => group !== 0);
}

function checksumType(type: number): string {
  return type === 1 ? "crc32c" : `unknown ${type}`;
}

function encoding(view: DataView): string {
  const name = ENCODINGS[Sb.s_encoding.get(view, 0)] ?? "unknown";
  const strict = (Sb.s_encoding_flags.get(view, 0) & ENCODING_STRICT) !== 0;
  return strict ? `${name} strict` : name;
}

function hasSnapshot(view: DataView): boolean {
  return Sb.s_snapshot_inum.get(view, 0) !== 0;
}

function names(bits: number, table: Names): string[] {
  return Object.entries(table).filter(([bit]) => (bits & Number(bit)) !== 0).map(([, name]) =>
    name
  );
}

function listed(value: Json): string {
  return (value as readonly string[]).join(" ") || "none";
}

function orNothing(number: number): number | undefined {
  return number === 0 ? undefined : number;
}

function powerOfTwo(log: number): number | undefined {
  return log === 0 ? undefined : 2 ** log;
}

function hexText(number: number, digits: number): string {
  return `0x${number.toString(16).padStart(digits, "0")}`;
}

function hexOrNothing(number: number, digits: number): string | undefined {
  return number === 0 ? undefined : hexText(number, digits);
}

/** Up to the first NUL; null when that is nothing. */
function text(bytes: Uint8Array): string | null {
  const nul = bytes.indexOf(0);
  return new TextDecoder().decode(nul < 0 ? bytes : bytes.subarray(0, nul)) || null;
}

/** `b55ae8f8-1493-4de7-a240-5598938be864` */
export function uuidText(bytes: Uint8Array): string {
  return hex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

function uuidOrNothing(bytes: Uint8Array): string | undefined {
  return bytes.every((byte) => byte === 0) ? undefined : uuidText(bytes);
}

/** Seconds since 1970 in 40 bits; null for a time that never was. */
function time(low: number, high: number): string | null {
  return low === 0 && high === 0 ? null : timeText(high * 2 ** 32 + low);
}

/** `2026-11-24T11:47:47Z`; Date ends in the year 275760, before 40 bits do. */
function timeText(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime())
    ? `${seconds} s after 1970`
    : date.toISOString().replace(".000Z", "Z");
}
