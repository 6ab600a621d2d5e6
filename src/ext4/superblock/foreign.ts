/**
 * What a device holds that has no ext4 superblock: by a few bytes in a certain place. It makes a
 * better message, and keeps a mount from a backup superblock that an earlier ext4 left there.
 */

import type { Device } from "../../block/device.ts";
import { FsError } from "../../sys/fs_error.ts";

interface Signature {
  readonly position: number;
  /** One byte a character. */
  readonly bytes: string;
  readonly what: string;
}

const PARTITIONS = "a disk with partitions, of which -o partition=N chooses one";

const SIGNATURES: readonly Signature[] = [
  { position: 0, bytes: "XFSB", what: "an XFS file system" },
  { position: 65600, bytes: "_BHRfS_M", what: "a btrfs file system" },
  { position: 1024, bytes: "\x10\x20\xf5\xf2", what: "an F2FS file system" },
  { position: 1024, bytes: "\xe2\xe1\xf5\xe0", what: "an EROFS file system" },
  { position: 0, bytes: "hsqs", what: "a squashfs file system" },
  { position: 3, bytes: "NTFS    ", what: "an NTFS file system" },
  { position: 3, bytes: "EXFAT   ", what: "an exFAT file system" },
  { position: 54, bytes: "FAT1", what: "a FAT file system" },
  { position: 82, bytes: "FAT32   ", what: "a FAT file system" },
  { position: 32769, bytes: "CD001", what: "an ISO 9660 file system" },
  { position: 0, bytes: "LUKS\xba\xbe", what: "encrypted by LUKS: cryptsetup opens it" },
  { position: 512, bytes: "LABELONE", what: "a physical volume of LVM" },
  { position: 4086, bytes: "SWAPSPACE2", what: "swap space" },
  { position: 512, bytes: "EFI PART", what: PARTITIONS },
  { position: 4096, bytes: "EFI PART", what: PARTITIONS },
  {
    position: 0,
    bytes: "QFI\xfb",
    what: "an image in the format qcow2: qemu-img makes it a raw one",
  },
  { position: 0, bytes: "\x1f\x8b\x08", what: "compressed by gzip" },
  { position: 0, bytes: "\xfd7zXZ\0", what: "compressed by xz" },
  { position: 0, bytes: "\x28\xb5\x2f\xfd", what: "compressed by zstd" },
];

/** In words, as `an XFS file system`; undefined for what nobody knows. */
export function foreignContent(device: Device): string | undefined {
  return SIGNATURES.find((signature) => matches(device, signature))?.what;
}

function matches(device: Device, { position, bytes }: Signature): boolean {
  if (position + bytes.length > device.size) return false;
  const found = new Uint8Array(bytes.length);
  try {
    device.read(found, position);
  } catch (error) {
    if (error instanceof FsError) return false;
    throw error;
  }
  return found.every((byte, index) => byte === bytes.charCodeAt(index));
}
