/**
 * Feature bits of the superblock, by the names that mke2fs and dumpe2fs use (ext4(5)).
 *
 * A file system with an incompatible feature that is not in the table cannot be read; one with an
 * unknown read-only-compatible feature cannot be written.
 */

/** s_feature_compat: whoever does not know them may read and write all the same. */
export const COMPAT = {
  dir_prealloc: 0x0001,
  imagic_inodes: 0x0002,
  has_journal: 0x0004,
  ext_attr: 0x0008,
  resize_inode: 0x0010,
  dir_index: 0x0020,
  lazy_bg: 0x0040,
  exclude_inode: 0x0080,
  exclude_bitmap: 0x0100,
  sparse_super2: 0x0200,
  fast_commit: 0x0400,
  stable_inodes: 0x0800,
  orphan_file: 0x1000,
} as const;

/** s_feature_incompat: whoever does not know one of them must not mount. */
export const INCOMPAT = {
  compression: 0x0001,
  filetype: 0x0002,
  needs_recovery: 0x0004,
  journal_dev: 0x0008,
  meta_bg: 0x0010,
  extent: 0x0040,
  "64bit": 0x0080,
  mmp: 0x0100,
  flex_bg: 0x0200,
  ea_inode: 0x0400,
  dirdata: 0x1000,
  metadata_csum_seed: 0x2000,
  large_dir: 0x4000,
  inline_data: 0x8000,
  encrypt: 0x10000,
  casefold: 0x20000,
} as const;

/** s_feature_ro_compat: whoever does not know one of them must not write. */
export const RO_COMPAT = {
  sparse_super: 0x0001,
  large_file: 0x0002,
  btree_dir: 0x0004,
  huge_file: 0x0008,
  uninit_bg: 0x0010,
  dir_nlink: 0x0020,
  extra_isize: 0x0040,
  snapshot: 0x0080,
  quota: 0x0100,
  bigalloc: 0x0200,
  metadata_csum: 0x0400,
  replica: 0x0800,
  "read-only": 0x1000,
  project: 0x2000,
  shared_blocks: 0x4000,
  verity: 0x8000,
  orphan_present: 0x10000,
} as const;

/** Incompatible features whose files nobody but their makers can read: the kernel refuses them too. */
const UNREADABLE = INCOMPAT.compression | INCOMPAT.journal_dev | INCOMPAT.dirdata;

const READABLE = Object.values(INCOMPAT).reduce((all, bit) => all | bit, 0) & ~UNREADABLE;

export type CompatName = keyof typeof COMPAT;
export type IncompatName = keyof typeof INCOMPAT;
export type RoCompatName = keyof typeof RO_COMPAT;
export type FeatureName = CompatName | IncompatName | RoCompatName;

/** The feature sets of one superblock. */
export class Features {
  constructor(public compat: number, public incompat: number, public roCompat: number) {}

  /** True when the feature of this name is on. */
  has(name: FeatureName): boolean {
    if (name in INCOMPAT) return (this.incompat & INCOMPAT[name as IncompatName]) !== 0;
    if (name in RO_COMPAT) return (this.roCompat & RO_COMPAT[name as RoCompatName]) !== 0;
    return (this.compat & COMPAT[name as CompatName]) !== 0;
  }

  /** Switches a feature on or off. */
  set(name: FeatureName, on: boolean): void {
    const change = (bits: number, mask: number) => (on ? bits | mask : bits & ~mask) >>> 0;
    if (name in INCOMPAT) this.incompat = change(this.incompat, INCOMPAT[name as IncompatName]);
    else if (name in RO_COMPAT) {
      this.roCompat = change(this.roCompat, RO_COMPAT[name as RoCompatName]);
    } else this.compat = change(this.compat, COMPAT[name as CompatName]);
  }

  /** Names of all features that are on, in the order of dumpe2fs. */
  names(): string[] {
    return [
      ...bitNames("C", this.compat, COMPAT),
      ...bitNames("I", this.incompat, INCOMPAT),
      ...bitNames("R", this.roCompat, RO_COMPAT),
    ];
  }

  /** Names of the features that make the file system unreadable here; empty when none does. */
  unreadable(): string[] {
    return bitNames("I", this.incompat & ~READABLE, INCOMPAT);
  }

  /** Names of the features that are unknown here and forbid writing. */
  unwritable(): string[] {
    const known = Object.values(RO_COMPAT).reduce((all, bit) => all | bit, 0);
    return bitNames("R", this.roCompat & ~known, RO_COMPAT);
  }
}

/**
 * The names of bits, from the lowest on. `FEATURE_I18` is how the e2fsprogs print an incompatible
 * feature of bit 18 that has no name.
 */
export function bitNames(
  set: "C" | "I" | "R",
  bits: number,
  table: Readonly<Record<string, number>>,
): string[] {
  const names: string[] = [];
  for (let bit = 0; bit < 32; bit++) {
    if ((bits >>> bit) % 2 === 0) continue;
    const known = Object.entries(table).find(([, value]) => value === 2 ** bit);
    names.push(known?.[0] ?? `FEATURE_${set}${bit}`);
  }
  return names;
}
