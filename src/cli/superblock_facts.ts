/**
 * The superblock in words and as JSON: one table with a row for each fact. dumpe2fs(8) tells the
 * same with -h, under its own names.
 */

import { Ext4SuperBlock as Sb, FIRST_ERROR, LAST_ERROR } from "../disk/superblock.ts";
import { uuidText } from "../disk/uuid.ts";
import type { Superblock } from "../ext4/superblock/superblock.ts";
import type { Json } from "./json.ts";
import {
  backupGroups,
  checksumType,
  CREATORS,
  defaultMountOptions,
  encoding,
  ERRORS_BEHAVIORS,
  errorWords,
  FLAGS,
  freeBlocks,
  generation,
  HASHES,
  hasSnapshot,
  hexOrNothing,
  hexText,
  JOURNAL_BACKUPS,
  listed,
  names,
  nextCheck,
  orNothing,
  powerOfTwo,
  type RecordedError,
  recordedError,
  STATES,
  stateWords,
  text,
  time,
  uuidOrNothing,
} from "./superblock_values.ts";

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
    read: (_, view) => recordedError(view, FIRST_ERROR),
    words: (value) => errorWords(value as RecordedError),
  },
  {
    key: "lastError",
    label: "Last error",
    read: (_, view) => recordedError(view, LAST_ERROR),
    words: (value) => errorWords(value as RecordedError),
  },
];
