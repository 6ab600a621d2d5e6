/**
 * The journal's structures (kernel documentation: filesystems/ext4/journal.rst). All numbers are
 * big-endian, unlike everything else of ext4. The log is a ring of whole blocks:
 *
 *     superblock | descriptor, data, data, ... | revoke | commit | descriptor, ... | fast commits
 *                 \____________ transaction ___________________/
 *
 * A descriptor holds a tag for each data block that follows it: where that block belongs.
 */

import { be16, be32, be64, bytes, struct, u8 } from "./struct.ts";

export const JBD2_MAGIC_NUMBER = 0xc03b3998;

/** h_blocktype */
export const JBD2_DESCRIPTOR_BLOCK = 1;
export const JBD2_COMMIT_BLOCK = 2;
export const JBD2_SUPERBLOCK_V1 = 3;
export const JBD2_SUPERBLOCK_V2 = 4;
export const JBD2_REVOKE_BLOCK = 5;

/** t_flags: the first four bytes of the block were the magic number, and are zero in the log. */
export const JBD2_FLAG_ESCAPE = 1;
/** t_flags: no UUID of 16 bytes follows the tag. */
export const JBD2_FLAG_SAME_UUID = 2;
/** t_flags: the last tag of this descriptor. */
export const JBD2_FLAG_LAST_TAG = 8;

/** s_checksum_type and h_chksum_type */
export const JBD2_CRC32_CHKSUM = 1;
export const JBD2_CRC32C_CHKSUM = 4;
/** h_chksum_size that goes with JBD2_CRC32_CHKSUM. */
export const JBD2_CRC32_CHKSUM_SIZE = 4;

/** Fewest blocks of a log, without the fast-commit area. */
export const JBD2_MIN_JOURNAL_BLOCKS = 1024;
/** Most blocks of a journal inside a file system: mke2fs(8) and tune2fs(8) make none longer. */
export const JBD2_MAX_INTERNAL_BLOCKS = 10_240_000;
/** Size of the fast-commit area where s_num_fc_blks is zero. */
export const JBD2_DEFAULT_FAST_COMMIT_BLOCKS = 256;

export const JournalHeader = struct("journal_header_t", 12, {
  h_magic: be32,
  h_blocktype: be32,
  h_sequence: be32,
});

export const JournalSuperblock = struct("journal_superblock_t", 1024, {
  h_magic: be32,
  h_blocktype: be32,
  h_sequence: be32,
  s_blocksize: be32,
  s_maxlen: be32,
  s_first: be32,
  s_sequence: be32,
  s_start: be32,
  s_errno: be32,
  // From here on only in JBD2_SUPERBLOCK_V2.
  s_feature_compat: be32,
  s_feature_incompat: be32,
  s_feature_ro_compat: be32,
  s_uuid: bytes(16),
  s_nr_users: be32,
  s_dynsuper: be32,
  s_max_transaction: be32,
  s_max_trans_data: be32,
  s_checksum_type: u8,
  s_padding2: bytes(3),
  s_num_fc_blks: be32,
  s_head: be32,
  s_padding: bytes(40 * 4),
  s_checksum: be32,
  s_users: bytes(16 * 48),
});

/**
 * A tag without checksums or with those of version 2, as long as it can be: without the 64-bit
 * feature, t_blocknr_high is absent. Version 2 adds two bytes that nobody uses: see tagSize.
 */
export const JournalBlockTag = struct("journal_block_tag_t", 12, {
  t_blocknr: be32,
  /** The low half of the checksum, with version 2. */
  t_checksum: be16,
  t_flags: be16,
  t_blocknr_high: be32,
});

/** A tag with checksums of version 3. */
export const JournalBlockTag3 = struct("journal_block_tag3_t", 16, {
  t_blocknr: be32,
  t_flags: be32,
  t_blocknr_high: be32,
  t_checksum: be32,
});

/** Length of the UUID behind a tag without JBD2_FLAG_SAME_UUID. */
export const TAG_UUID_SIZE = 16;

/** At the end of descriptor and revoke blocks, with checksums of version 2 and 3. */
export const JournalBlockTail = struct("jbd2_journal_block_tail", 4, {
  t_checksum: be32,
});

/** Block numbers of 4 bytes, or 8 with the 64-bit feature, follow up to byte r_count. */
export const JournalRevokeHeader = struct("jbd2_journal_revoke_header_t", 16, {
  h_magic: be32,
  h_blocktype: be32,
  h_sequence: be32,
  r_count: be32,
});

export const CommitHeader = struct("commit_header", 60, {
  h_magic: be32,
  h_blocktype: be32,
  h_sequence: be32,
  h_chksum_type: u8,
  h_chksum_size: u8,
  h_padding: bytes(2),
  /** The first of JBD2_CHECKSUM_BYTES words; the others are unused. */
  h_chksum: be32,
  h_chksum_rest: bytes(7 * 4),
  h_commit_sec: be64,
  h_commit_nsec: be32,
});
