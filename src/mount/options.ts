/** What the mount options of one mount come to, and how they get there from the values of -o. */

import type { QuotaType } from "../ext4/quota/quota_file.ts";
import { fail } from "../sys/fs_error.ts";
import type { AccessTimeRule } from "./access_times.ts";
import type { ProgramSettings } from "./iomap_program.ts";
import { splitOptionList } from "./option_list.ts";
import { DEFAULT_COMMIT_SECONDS, MOUNT_OPTIONS, type MountOption } from "./option_table.ts";
import type { WakeLatencySetting } from "./wake_latency.ts";

/** What the options of one mount come to. */
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
  readonly lazytime: boolean;
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

const BY_NAME = new Map(MOUNT_OPTIONS.flatMap((row) => row.names.map((name) => [name, row])));

/**
 * The settings of a mount from its option lists, the value of each `-o` in order. Of options that
 * contradict each other the last one counts. Throws EINVAL and names the option that is wrong.
 */
export function parseMountOptions(lists: readonly string[]): MountSettings {
  const settings = defaultSettings();
  for (const option of lists.flatMap(splitOptionList)) applyOption(settings, option);
  if (settings.offset !== undefined && settings.partition !== undefined) {
    throw fail("EINVAL", "Mount options offset and partition exclude each other");
  }
  return settings;
}

/** The row of an option by one of its names, or undefined. */
export function findMountOption(name: string): MountOption | undefined {
  const exact = BY_NAME.get(name);
  if (exact !== undefined) return exact;
  return MOUNT_OPTIONS.find((row) =>
    row.names.some((pattern) => pattern.endsWith("*") && name.startsWith(pattern.slice(0, -1)))
  );
}

function defaultSettings(): Draft {
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
    wakeLatency: "auto",
    dirsync: false,
    sync: false,
    lazytime: false,
    accessTimes: "relative",
    directoryAccessTimes: true,
    groupOfDirectory: false,
    commitSeconds: DEFAULT_COMMIT_SECONDS,
    barrier: true,
    entryTimeout: undefined,
    negativeTimeout: undefined,
    attributeTimeout: undefined,
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

function applyOption(settings: Draft, option: string): void {
  const equals = option.indexOf("=");
  const name = equals < 0 ? option : option.slice(0, equals);
  const text = equals < 0 ? undefined : option.slice(equals + 1);
  const row = findMountOption(name);
  if (row === undefined) throw fail("EINVAL", `Unknown mount option '${option}'`);
  if (text !== undefined && row.argument === undefined) {
    throw fail("EINVAL", `Mount option '${name}' takes no value`);
  }
  if (!text && row.argument !== undefined && !row.argumentIsOptional) {
    throw fail("EINVAL", `Mount option '${name}' needs a value: ${name}=${row.argument}`);
  }
  if (row.effect === "libfuse") settings.libfuseOptions.push(option);
  row.apply?.(settings, text ?? "", name);
}
