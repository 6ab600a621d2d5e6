/**
 * Feature bits of the journal's superblock, by the names that dumpe2fs prints. A journal with an
 * incompatible feature that is not in the table cannot be replayed.
 */

import { bitNames } from "../disk/features.ts";
import { JournalSuperblock as Sb } from "../disk/journal.ts";

/** s_feature_compat */
const COMPAT = {
  journal_checksum: 0x1,
} as const;

/** s_feature_incompat */
const INCOMPAT = {
  journal_incompat_revoke: 0x1,
  journal_64bit: 0x2,
  journal_async_commit: 0x4,
  journal_checksum_v2: 0x8,
  journal_checksum_v3: 0x10,
  fast_commit: 0x20,
} as const;

export type JournalFeatureName = keyof typeof COMPAT | keyof typeof INCOMPAT;

/** The feature sets of one journal. */
export class JournalFeatures {
  readonly #names: ReadonlySet<string>;
  /** Names of what is on and unknown here; empty where the journal can be read. */
  readonly unknown: readonly string[];

  constructor(compat: number, incompat: number, roCompat: number) {
    const required = [...bitNames("I", incompat, INCOMPAT), ...bitNames("R", roCompat, {})];
    this.#names = new Set([...bitNames("C", compat, COMPAT), ...required]);
    this.unknown = required.filter((name) => !(name in INCOMPAT));
  }

  /** True when the feature of this name is on. */
  has(name: JournalFeatureName): boolean {
    return this.#names.has(name);
  }

  /** Names of all features that are on. */
  names(): string[] {
    return [...this.#names];
  }
}

/** Switches features on and off in a superblock of version 2; others stay as they are. */
export function setJournalFeatures(
  view: DataView,
  features: Partial<Record<JournalFeatureName, boolean>>,
): void {
  for (const [name, on] of Object.entries(features)) {
    const isCompat = name in COMPAT;
    const field = isCompat ? Sb.s_feature_compat : Sb.s_feature_incompat;
    const bit: number = isCompat
      ? COMPAT[name as keyof typeof COMPAT]
      : INCOMPAT[name as keyof typeof INCOMPAT];
    const bits = field.get(view, 0);
    field.set(view, 0, on ? bits | bit : bits & ~bit);
  }
}
