/**
 * A journal on a device of its own (kernel documentation: filesystems/ext4/journal.rst, "External
 * Journal"). The device starts as a file system does, with a superblock at byte 1024, whose UUID
 * is the journal's; the journal's own superblock is in the next whole block:
 *
 *     blocks of 1 KiB:  boot block | superblock | journal superblock | log ...
 *     larger blocks:    boot block and superblock | journal superblock | log ...
 *
 * The log's blocks are numbered from the start of the device.
 */

import type { Device } from "../block/device.ts";
import { crc32c } from "../disk/crc32c.ts";
import { Features } from "../disk/features.ts";
import { EXT4_SUPER_MAGIC, Ext4SuperBlock as Sb, SUPERBLOCK_OFFSET } from "../disk/superblock.ts";
import { uuidText } from "../disk/uuid.ts";
import { sameBytes } from "../sys/bytes.ts";
import { badChecksum, corrupt, fail } from "../sys/fs_error.ts";
import { type Journal, openJournal, type WritableJournalBlocks } from "./journal.ts";

const MAX_LOG_BLOCK_SIZE = 6;

/**
 * Opens the journal on a device.
 *
 * @param uuid the file system's s_journal_uuid
 * Throws FsError: EINVAL where the device is no journal, or not this one; EUCLEAN or EBADMSG where
 * it is damaged.
 */
export function openExternalJournal(
  device: Device,
  uuid: Uint8Array,
): Journal<WritableJournalBlocks> {
  const view = readSuperblock(device);
  const own = Sb.s_uuid.get(view, 0);
  if (!sameBytes(own, uuid)) {
    throw fail(
      "EINVAL",
      `${device.name} is the journal ${uuidText(own)}, not ${uuidText(uuid)}`,
    );
  }
  const log = Sb.s_log_block_size.get(view, 0);
  if (log > MAX_LOG_BLOCK_SIZE) {
    throw corrupt(`external journal ${device.name}: blocks of 2^${10 + log} bytes`);
  }
  const blockSize = 1024 * 2 ** log;
  const journal = openJournal(deviceBlocks(device, blockSize), {
    superblockBlock: Math.floor(SUPERBLOCK_OFFSET / blockSize) + 1,
    maxBlocks: Infinity,
  });
  if (journal.userCount !== 1) {
    throw fail(
      "EINVAL",
      `${device.name} is the journal of ${journal.userCount} file systems: unsupported`,
    );
  }
  return journal;
}

/** True where the device starts with the superblock of an external journal. */
export function isExternalJournal(device: Device): boolean {
  if (device.size < SUPERBLOCK_OFFSET + Sb.byteLength) return false;
  const raw = new Uint8Array(Sb.byteLength);
  device.read(raw, SUPERBLOCK_OFFSET);
  const view = new DataView(raw.buffer);
  return Sb.s_magic.get(view, 0) === EXT4_SUPER_MAGIC && features(view).has("journal_dev");
}

function readSuperblock(device: Device): DataView<ArrayBuffer> {
  if (!isExternalJournal(device)) {
    throw fail("EINVAL", `${device.name} is not an external journal`);
  }
  const raw = new Uint8Array(Sb.byteLength);
  device.read(raw, SUPERBLOCK_OFFSET);
  const view = new DataView(raw.buffer);
  if (features(view).has("metadata_csum")) {
    const computed = crc32c(0xffffffff, raw, 0, Sb.s_checksum.offset);
    if (computed !== Sb.s_checksum.get(view, 0)) {
      throw badChecksum(`the superblock of the external journal ${device.name}`);
    }
  }
  return view;
}

function features(view: DataView): Features {
  return new Features(
    Sb.s_feature_compat.get(view, 0),
    Sb.s_feature_incompat.get(view, 0),
    Sb.s_feature_ro_compat.get(view, 0),
  );
}

function deviceBlocks(device: Device, blockSize: number): WritableJournalBlocks {
  return {
    device,
    blockSize,
    length: Math.floor(device.size / blockSize),
    read: (block, into) => device.read(into, block * blockSize),
    write: (block, bytes) => device.write(bytes, block * blockSize),
  };
}
