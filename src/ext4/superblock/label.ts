/**
 * The label of the file system, in the superblock and its backups: the only field for which the
 * kernel keeps these up to date, too.
 */

import { EXT4_SUPER_MAGIC, Ext4SuperBlock as Sb } from "../../disk/superblock.ts";
import type { Handle } from "../../jbd2/handle.ts";
import type { FileSystem } from "../filesystem.ts";
import { hasValidChecksum, modifySuperblock, sealSuperblock } from "./superblock_write.ts";

/** Backups that one operation changes. */
const AT_ONCE = 32;

/** @param label up to 16 bytes, without the NUL behind it */
export function setLabel(fs: FileSystem, label: Uint8Array): void {
  fs.change((handle) => storeLabel(modifySuperblock(fs, handle), label));
  const { superblock } = fs;
  let groups: number[] = [];
  for (let group = 1; group < superblock.groupCount; group++) {
    if (superblock.groupHasSuperblock(group)) groups.push(group);
    if (groups.length < AT_ONCE && group + 1 < superblock.groupCount) continue;
    fs.change((handle) => groups.forEach((group) => storeInBackup(fs, handle, group, label)));
    groups = [];
  }
}

/** A backup that is damaged stays so. */
function storeInBackup(fs: FileSystem, handle: Handle, group: number, label: Uint8Array): void {
  const { superblock, cache, log, device } = fs;
  const block = cache.read(superblock.groupStart(group));
  const view = new DataView(block.bytes.buffer, block.bytes.byteOffset, Sb.byteLength);
  const { hasMetadataChecksums } = superblock;
  const backup = { view, hasMetadataChecksums };
  if (Sb.s_magic.get(view, 0) !== EXT4_SUPER_MAGIC || !hasValidChecksum(backup)) {
    log.warn(`${device.name}: the backup superblock in block ${block.number} is damaged`);
    return;
  }
  handle.modify(block);
  storeLabel(view, label);
  sealSuperblock(backup);
}

function storeLabel(view: DataView, label: Uint8Array): void {
  const field = Sb.s_volume_name.get(view, 0);
  field.fill(0);
  field.set(label);
}
