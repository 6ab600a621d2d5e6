/** What the mount options of one mount come to, and what holds where none is given. */

import type { QuotaType } from "../ext4/quota/quota_file.ts";
import type { AccessTimeRule } from "./access_times.ts";
import type { ProgramSettings } from "./iomap_program.ts";
import type { WakeLatencySetting } from "./wake_latency.ts";

export const DEFAULT_COMMIT_SECONDS = 5;

export interface MountSettings {
  /** The user asked for no more than reading (`ro`, `norecovery`). */
  readonly readOnly: boolean;
  /** Change a mount that is there. */
  readonly remount: boolean;
  /** Do not replay a dirty journal. */
  readonly norecovery: boolean;
  /** Start of the file system on the device in bytes, where the user gave it. */
  readonly offset: number | undefined;
  /** Number of the partition that holds the file system, where the user gave it. */
  readonly partition: number | undefined;
  /** Block of the backup superblock to use, where the user gave one. */
  readonly superblockBlock: number | undefined;
  /** Device or image that holds the journal, where it is not in the file system. */
  readonly journalPath: string | undefined;
  /** Read and write the device past the page cache (O_DIRECT). */
  readonly direct: boolean;
  /** Memory for metadata blocks in bytes, where the user gave it. */
  readonly cacheBytes: number | undefined;
  /** File that is locked as long as the server has the image open. */
  readonly lockfile: string | undefined;

  /** df counts the file system's own structures as used space. */
  readonly minixdf: boolean;
  readonly acl: boolean;
  readonly userXattr: boolean;
  /** Everybody may do everything. */
  readonly fakeroot: boolean;
  /** Behave as the kernel's ext4 does towards other users, set-user-ID programs and devices. */
  readonly kernel: boolean;
  /** What damage does to the mount; undefined: what the superblock says. */
  readonly errors: ErrorsBehavior | undefined;
  /** Whose quota limits count. */
  readonly quotaLimits: ReadonlySet<QuotaType>;
  /** The user named quota files of the older kind. */
  readonly quotaFiles: boolean;
  readonly dirsync: boolean;
  readonly sync: boolean;
  readonly accessTimes: AccessTimeRule;
  /** Times of access of directories as well. */
  readonly directoryAccessTimes: boolean;
  /** New files belong to the group of their directory. */
  readonly groupOfDirectory: boolean;
  /** Seconds from a change to its commit. */
  readonly commitSeconds: number;
  /** Commits wait for the device. */
  readonly barrier: boolean;
  /** Seconds for which the kernel may keep names and attributes, where the user gave them. */
  readonly entryTimeout: number | undefined;
  readonly negativeTimeout: number | undefined;
  readonly attributeTimeout: number | undefined;

  /** How long processors may take to wake up while requests come one after the other. */
  readonly wakeLatency: WakeLatencySetting;
  readonly iomap: "on" | "off" | "auto";
  readonly bpf: ProgramSettings;
  /** Which libfuse3 to load: `auto`, `system`, `embedded`, or a path. */
  readonly libfuse: string;
  /** Log what the server does. */
  readonly debug: boolean;
  /** Log every request; implies staying in the foreground. */
  readonly libfuseDebug: boolean;
  /** Never mount with the type fuseblk. */
  readonly noFuseblk: boolean;
  /** Leave out the fsname and subtype that a mount otherwise gets. */
  readonly noDefaultOptions: boolean;
  /** Options for libfuse, in order and unescaped. */
  readonly libfuseOptions: readonly string[];
}

export type ErrorsBehavior = "continue" | "remount-ro" | "panic";

/** Settings while the options are being applied. */
export type Draft = { -readonly [Key in keyof MountSettings]: MountSettings[Key] } & {
  libfuseOptions: string[];
};

export function defaultSettings(): Draft {
  return {
    readOnly: false,
    remount: false,
    norecovery: false,
    offset: undefined,
    partition: undefined,
    superblockBlock: undefined,
    journalPath: undefined,
    direct: false,
    cacheBytes: undefined,
    lockfile: undefined,
    minixdf: false,
    acl: true,
    userXattr: true,
    fakeroot: false,
    kernel: false,
    errors: undefined,
    quotaLimits: new Set(),
    quotaFiles: false,
    dirsync: false,
    sync: false,
    accessTimes: "relative",
    directoryAccessTimes: true,
    groupOfDirectory: false,
    commitSeconds: DEFAULT_COMMIT_SECONDS,
    barrier: true,
    entryTimeout: undefined,
    negativeTimeout: undefined,
    attributeTimeout: undefined,
    wakeLatency: "auto",
    iomap: "auto",
    bpf: {
      program: undefined,
      required: false,
      clang: undefined,
      includeFolders: [],
      vmlinuxHeader: undefined,
      libbpf: "auto",
    },
    libfuse: "auto",
    debug: false,
    libfuseDebug: false,
    noFuseblk: false,
    noDefaultOptions: false,
    libfuseOptions: [],
  };
}
