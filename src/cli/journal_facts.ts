/** What the superblock of a journal says: a row for each fact, as dumpe2fs(8) tells with -h. */

import { JBD2_SUPERBLOCK_V2, JournalSuperblock as Jsb } from "../disk/journal.ts";
import { JBD2_DEFAULT_FAST_COMMIT_BLOCKS, JBD2_MAGIC_NUMBER } from "../disk/journal.ts";
import { Ext4SuperBlock as Sb } from "../disk/superblock.ts";
import { uuidText } from "../disk/uuid.ts";
import { readRaw } from "../ext4/content/read.ts";
import type { FileSystem } from "../ext4/filesystem.ts";
import { FsError } from "../sys/fs_error.ts";
import type { Fact } from "./superblock_facts.ts";

/** Features that only journals have, by set and bit. */
const COMPAT: readonly Feature[] = [[0x1, "journal_checksum"]];
const INCOMPAT: readonly Feature[] = [
  [0x01, "journal_incompat_revoke"],
  [0x02, "journal_64bit"],
  [0x04, "journal_async_commit"],
  [0x08, "journal_checksum_v2"],
  [0x10, "journal_checksum_v3"],
  [0x20, "fast_commit"],
];
const CHECKSUM_TYPES: Readonly<Record<number, string>> = {
  1: "crc32",
  2: "md5",
  3: "sha1",
  4: "crc32c",
};

type Feature = readonly [bit: number, name: string];

/** The facts, or undefined for a file system without a journal of its own. */
export function journalFacts(fs: FileSystem): Fact[] | undefined {
  const ino = Sb.s_journal_inum.get(fs.superblock.view, 0);
  if (!fs.superblock.features.has("has_journal") || ino === 0) return undefined;
  try {
    const inode = fs.inode(ino);
    const bytes = readRaw(fs, inode, 0, Jsb.byteLength);
    const view = new DataView(bytes.buffer);
    if (bytes.length < Jsb.byteLength || Jsb.h_magic.get(view, 0) !== JBD2_MAGIC_NUMBER) {
      return [{ key: "error", label: "Error", value: "it has no superblock" }];
    }
    return [
      { key: "sizeBytes", label: "Size", value: inode.size, words: `${inode.size} bytes` },
      ...superblockRows(view),
    ];
  } catch (error) {
    // A damaged journal is a fact too.
    if (!(error instanceof FsError)) throw error;
    return [{ key: "error", label: "Error", value: error.message }];
  }
}

function superblockRows(view: DataView): Fact[] {
  const hasFeatures = Jsb.h_blocktype.get(view, 0) === JBD2_SUPERBLOCK_V2;
  const features = hasFeatures ? featureNames(view) : [];
  const fastCommitBlocks = fastCommitLength(view, features);
  const blocks = Jsb.s_maxlen.get(view, 0);
  const start = Jsb.s_start.get(view, 0);
  const errno = Jsb.s_errno.get(view, 0) | 0;
  return [
    { key: "features", label: "Features", value: features, words: features.join(" ") || "none" },
    { key: "blockSize", label: "Block size", value: Jsb.s_blocksize.get(view, 0) },
    { key: "blockCount", label: "Blocks", value: blocks },
    {
      key: "maximumTransactionBlocks",
      label: "Blocks for transactions",
      value: blocks - fastCommitBlocks,
    },
    { key: "fastCommitBlocks", label: "Blocks for fast commits", value: fastCommitBlocks },
    { key: "firstBlock", label: "First block", value: Jsb.s_first.get(view, 0) },
    { key: "sequence", label: "Sequence number", value: Jsb.s_sequence.get(view, 0) },
    {
      key: "start",
      label: "Starts in block",
      value: start,
      words: start === 0 ? "0 (nothing to replay)" : `${start} (to be replayed)`,
    },
    ...checksumRows(view, hasFeatures),
    {
      key: "uuid",
      label: "UUID",
      value: hasFeatures ? uuidText(Jsb.s_uuid.get(view, 0)) : undefined,
    },
    {
      key: "users",
      label: "File systems that use it",
      value: hasFeatures ? Jsb.s_nr_users.get(view, 0) : undefined,
    },
    { key: "errno", label: "Error number", value: errno === 0 ? undefined : errno },
  ];
}

function checksumRows(view: DataView, hasFeatures: boolean): Fact[] {
  const type = Jsb.s_checksum_type.get(view, 0);
  if (!hasFeatures || type === 0) return [];
  const checksum = Jsb.s_checksum.get(view, 0).toString(16).padStart(8, "0");
  return [
    {
      key: "checksumType",
      label: "Checksum type",
      value: CHECKSUM_TYPES[type] ?? `unknown ${type}`,
    },
    { key: "checksum", label: "Checksum", value: `0x${checksum}` },
  ];
}

/** mke2fs(8) reserves the area before the first fast commit turns the feature on. */
function fastCommitLength(view: DataView, features: readonly string[]): number {
  const reserved = Jsb.s_num_fc_blks.get(view, 0);
  if (reserved !== 0) return reserved;
  return features.includes("fast_commit") ? JBD2_DEFAULT_FAST_COMMIT_BLOCKS : 0;
}

function featureNames(view: DataView): string[] {
  return [
    ...setNames(Jsb.s_feature_compat.get(view, 0), COMPAT, "C"),
    ...setNames(Jsb.s_feature_incompat.get(view, 0), INCOMPAT, "I"),
    ...setNames(Jsb.s_feature_ro_compat.get(view, 0), [], "R"),
  ];
}

/** A bit without a name is called as the e2fsprogs call it, such as `FEATURE_I9`. */
function setNames(bits: number, known: readonly Feature[], set: string): string[] {
  const names: string[] = [];
  for (let bit = 0; bit < 32; bit++) {
    const mask = 2 ** bit;
    if (Math.floor(bits / mask) % 2 === 0) continue;
    names.push(known.find(([value]) => value === mask)?.[1] ?? `FEATURE_${set}${bit}`);
  }
  return names;
}
