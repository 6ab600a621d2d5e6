/** How a directory hashes its names: version, seed, case folding, or hashes kept with the names. */

import { EXT2_FLAGS_UNSIGNED_HASH, Ext4SuperBlock } from "../../disk/superblock.ts";
import { EXT4_CASEFOLD_FL } from "../../disk/inode.ts";
import { foldName } from "./casefold.ts";
import { type DirectoryHash, directoryHash, HashVersion } from "./dirhash.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";

/** The signed version of each hash is followed, three numbers on, by its unsigned one. */
const UNSIGNED_STEP = HashVersion.LEGACY_UNSIGNED - HashVersion.LEGACY;

export type NameHasher = (name: Uint8Array) => DirectoryHash;

/**
 * The hash of names in `dir`.
 * @param version as the root of its tree has it; without a tree, the file system's default
 */
export function nameHasher(fs: FileSystem, dir: Inode, version?: number): NameHasher {
  const { view } = fs.superblock;
  const stored = version ?? defaultHashVersion(fs);
  const unsigned = (Ext4SuperBlock.s_flags.get(view, 0) & EXT2_FLAGS_UNSIGNED_HASH) !== 0;
  const effective = unsigned && stored <= HashVersion.TEA ? stored + UNSIGNED_STEP : stored;
  const seed = fs.hashSeed;
  if (isCasefolded(fs, dir) && !dir.isEncrypted) {
    // A name that is no valid UTF-8 is hashed as it is.
    return (name) => directoryHash(effective, seed, foldName(name) ?? name);
  }
  return (name) => directoryHash(effective, seed, name);
}

/** The version of new trees. It also orders the listing of a directory without one. */
export function defaultHashVersion(fs: FileSystem): number {
  const version = Ext4SuperBlock.s_def_hash_version.get(fs.superblock.view, 0);
  return version <= HashVersion.TEA ? version : HashVersion.HALF_MD4;
}

/** True when lookups in the directory ignore case. */
export function isCasefolded(fs: FileSystem, dir: Inode): boolean {
  return dir.hasFlag(EXT4_CASEFOLD_FL) && fs.superblock.features.has("casefold");
}
