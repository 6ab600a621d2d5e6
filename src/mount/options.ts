/**
 * The mount options: one table, one row an option. The parser below, the man page, the shell
 * completion and docs/options.md all come from it.
 *
 * A row's effect is one of three:
 * - `apply`: it changes the settings of the mount
 * - `libfuse`: it is handed on to libfuse, which knows what to do with it
 * - `ignored`: it is accepted for the sake of fstab lines and scripts, for the reason given
 */

import { fail } from "../sys/fs_error.ts";
import { parseNumber, parseSeconds, parseSize, splitOptionList } from "./option_list.ts";

/** What the options of one mount come to. */
export interface MountSettings {
  /** The user asked for no more than reading (`ro`, `norecovery`). */
  readonly readOnly: boolean;
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
  readonly dirsync: boolean;
  readonly sync: boolean;
  readonly lazytime: boolean;
  readonly strictatime: boolean;
  /** Seconds for which the kernel may keep names and attributes, where the user gave them. */
  readonly entryTimeout: number | undefined;
  readonly negativeTimeout: number | undefined;
  readonly attributeTimeout: number | undefined;

  readonly iomap: "on" | "off" | "auto";
  /** Which libfuse3 to load: `auto`, `system`, `embedded`, or a path. */
  readonly libfuse: string;
  /** Log what the server does. */
  readonly debug: boolean;
  /** Have libfuse print every request; implies staying in the foreground. */
  readonly libfuseDebug: boolean;
  /** Leave out the fsname and subtype that a mount otherwise gets. */
  readonly noDefaultOptions: boolean;
  /** Options for libfuse, in order and unescaped. */
  readonly libfuseOptions: readonly string[];
}

export type ErrorsBehavior = "continue" | "remount-ro" | "panic";

/** Settings while the options are being applied. */
type Draft = { -readonly [Key in keyof MountSettings]: MountSettings[Key] } & {
  libfuseOptions: string[];
};

/** One option. */
export interface MountOption {
  /** The name and, behind it, other names for the same. One that ends in `*` is a beginning. */
  readonly names: readonly string[];
  /** What stands behind the equals sign; without it, the option takes no value. */
  readonly argument?: string;
  /** The option may also stand without its value. */
  readonly argumentIsOptional?: boolean;
  readonly group: OptionGroup;
  /** What it does, as a sentence without its full stop; for an ignored one, why it is. */
  readonly doc: string;
  readonly effect: "apply" | "libfuse" | "ignored";
  readonly apply?: (settings: Draft, value: string, name: string) => void;
}

/** Headings of the documentation, in order. */
export const OPTION_GROUPS = {
  image: "Finding the file system",
  behavior: "Behavior of the mount",
  server: "The server",
  libfuse: "Handed on to libfuse",
  ignored: "Accepted without effect",
} as const;

export type OptionGroup = keyof typeof OPTION_GROUPS;

type Apply = NonNullable<MountOption["apply"]>;

/** An option without a value. Names may be several, parted by spaces. */
function flag(names: string, group: OptionGroup, doc: string, apply: Apply): MountOption {
  return { names: names.split(" "), group, doc, effect: "apply", apply };
}

function value(
  names: string,
  argument: string,
  group: OptionGroup,
  doc: string,
  apply: Apply,
): MountOption {
  return { names: names.split(" "), argument, group, doc, effect: "apply", apply };
}

function passed(name: string, doc: string, argument?: string): MountOption {
  return { names: [name], argument, group: "libfuse", doc, effect: "libfuse" };
}

function ignored(names: string, doc: string, argument?: string): MountOption {
  return { names: names.split(" "), argument, group: "ignored", doc, effect: "ignored" };
}

const OF_FSTAB = "for mount(8) and fstab, which have acted on it before the server starts";
const OF_WRITING = "about how the kernel's driver writes, which changes nothing in what is stored";
const OF_TUNING = "tunes the kernel's own driver";
const OF_QUOTA = "limits are kept in the file system by its own quota feature";
const OF_NEW_FILES = "about who owns new files and reserved blocks, of which a reader makes none";
const OF_ATIME = "the times of access are the server's, and reading does not change them";
const OF_CACHING = "the server owns the device, so what the kernel keeps never goes stale";
const OF_THREADS = "one thread serves the file system";
const OF_SIZES = "the server agrees on the best sizes and abilities with the kernel by itself";

export const MOUNT_OPTIONS: readonly MountOption[] = [
  flag("ro", "image", "mount read-only; the device is never written to", (settings) => {
    settings.readOnly = true;
  }),
  flag("rw", "image", "mount for reading and writing, the default", (settings) => {
    settings.readOnly = settings.norecovery;
  }),
  value("partition", "N", "image", "use partition N of a disk or disk image", (settings, text) => {
    settings.partition = parseNumber("partition", text, 1);
  }),
  value("offset", "BYTES", "image", "start at this byte; k, m, g and t are units", (s, text) => {
    s.offset = parseSize("offset", text);
  }),
  value("sb", "BLOCK", "image", "use the backup superblock in this block, or at so many KiB", (settings, text) => {
    settings.superblockBlock = parseNumber("sb", text);
  }),
  flag(
    "norecovery noload",
    "image",
    "show the file system without what its dirty journal would add; implies ro",
    (settings) => {
      settings.norecovery = true;
      settings.readOnly = true;
    },
  ),
  value("journal_path", "PATH", "image", "device or image with the external journal", (s, path) => {
    s.journalPath = path;
  }),
  flag("direct directio", "image", "read the device past the page cache (O_DIRECT)", (settings) => {
    settings.direct = true;
  }),
  value(
    "lockfile",
    "PATH",
    "image",
    "hold a lock on this file while the image is open; the server makes it and removes it",
    (settings, path) => {
      settings.lockfile = path;
    },
  ),

  flag("bsddf", "behavior", "df leaves the file system's own structures out, the default", (s) => {
    s.minixdf = false;
  }),
  flag("minixdf", "behavior", "df counts the file system's own structures as used", (settings) => {
    settings.minixdf = true;
  }),
  flag("acl", "behavior", "keep to POSIX access control lists, the default", (settings) => {
    settings.acl = true;
  }),
  flag("noacl", "behavior", "leave access control lists out of account", (settings) => {
    settings.acl = false;
  }),
  flag("user_xattr", "behavior", "show extended attributes of users, the default", (settings) => {
    settings.userXattr = true;
  }),
  flag("nouser_xattr", "behavior", "hide extended attributes of users", (settings) => {
    settings.userXattr = false;
  }),
  value(
    "errors",
    "ACTION",
    "behavior",
    "on damage: continue, remount-ro, or panic (end the server); the superblock has the default",
    (settings, text) => {
      if (text !== "continue" && text !== "remount-ro" && text !== "panic") {
        throw fail("EINVAL", `errors: '${text}' is not continue, remount-ro or panic`);
      }
      settings.errors = text;
    },
  ),
  flag("fakeroot", "behavior", "let everybody do everything, as if root", (settings) => {
    settings.fakeroot = true;
  }),
  flag(
    "kernel",
    "behavior",
    "be like a kernel mount: implies allow_other, default_permissions, suid and dev",
    (settings) => {
      settings.kernel = true;
    },
  ),
  flag("dirsync", "behavior", "write changes of directories at once", (settings) => {
    settings.dirsync = true;
    settings.libfuseOptions.push("dirsync");
  }),
  flag("sync", "behavior", "write all changes at once", (settings) => {
    settings.sync = true;
    settings.libfuseOptions.push("sync");
  }),
  flag("async", "behavior", "write changes when it suits, the default", (settings) => {
    settings.sync = false;
    settings.libfuseOptions.push("async");
  }),
  flag("lazytime", "behavior", "write changes of times late, with iomap", (settings) => {
    settings.lazytime = true;
  }),
  flag("nolazytime", "behavior", "write changes of times with the others, the default", (s) => {
    s.lazytime = false;
  }),
  flag("strictatime", "behavior", "note every access in the time of access, with iomap", (s) => {
    s.strictatime = true;
  }),
  flag("nostrictatime", "behavior", "do not note every access, the default", (settings) => {
    settings.strictatime = false;
  }),
  value("entry_timeout", "SECONDS", "behavior", "how long the kernel keeps names", (s, text) => {
    s.entryTimeout = parseSeconds("entry_timeout", text);
  }),
  value(
    "negative_timeout",
    "SECONDS",
    "behavior",
    "how long the kernel keeps that there is no such name",
    (settings, text) => {
      settings.negativeTimeout = parseSeconds("negative_timeout", text);
    },
  ),
  value(
    "attr_timeout",
    "SECONDS",
    "behavior",
    "how long the kernel keeps attributes",
    (s, text) => {
      s.attributeTimeout = parseSeconds("attr_timeout", text);
    },
  ),

  value("cache_size", "BYTES", "server", "memory for metadata; k, m and g are units", (s, text) => {
    s.cacheBytes = parseCacheSize(text);
  }),
  {
    ...value(
      "iomap",
      "WHEN",
      "server",
      "let the kernel do the file I/O: 0, 1, default",
      (s, text) => {
        s.iomap = parseIomap(text);
      },
    ),
    argumentIsOptional: true,
  },
  flag("noiomap", "server", "as iomap=0", (settings) => {
    settings.iomap = "off";
  }),
  value(
    "libfuse",
    "WHICH",
    "server",
    "the libfuse3 to load: system, embedded, or the path of one",
    (settings, text) => {
      settings.libfuse = text;
    },
  ),
  flag("fuse4fs_debug fuse2fs_debug", "server", "log what the server does", (settings) => {
    settings.debug = true;
  }),
  flag("debug", "server", "as -d: have libfuse print every request; stays in front", (settings) => {
    settings.libfuseDebug = true;
  }),
  flag("no_default_opts", "server", "leave out the default fsname and subtype", (settings) => {
    settings.noDefaultOptions = true;
  }),

  passed("allow_other", "let all users in, not only the one who mounts"),
  passed("allow_root", "let root in as well"),
  passed("default_permissions", "have the kernel check permissions, the default without fakeroot"),
  passed("auto_unmount", "unmount when the server ends in whatever way"),
  passed("fsname", "the source that /proc/mounts shows; the default is the device", "NAME"),
  passed("subtype", "the type that /proc/mounts shows behind `fuse.`; fuse4fs by default", "NAME"),
  passed("blkdev", "mount with the type fuseblk, from a block device, as root"),
  passed("blksize", "block size of a fuseblk mount", "BYTES"),
  passed("max_read", "largest size of a read request", "BYTES"),
  passed("suid", "honor set-user-ID and set-group-ID bits, as root"),
  passed("nosuid", "do not honor set-user-ID and set-group-ID bits"),
  passed("dev", "honor device nodes, as root"),
  passed("nodev", "do not honor device nodes"),
  passed("exec", "let programs be run, the default"),
  passed("noexec", "do not let programs be run"),
  passed("atime", "note times of access, the default"),
  passed("noatime", "do not note times of access"),
  passed("context", "SELinux context of all files", "CONTEXT"),
  passed("fscontext", "SELinux context of the file system", "CONTEXT"),
  passed("defcontext", "SELinux context of files without one", "CONTEXT"),
  passed("rootcontext", "SELinux context of the root directory", "CONTEXT"),

  ignored("defaults auto noauto nouser users owner group", OF_FSTAB),
  { ...ignored("user", OF_FSTAB, "NAME"), argumentIsOptional: true },
  ignored("nofail _netdev _rnetdev remount silent loud", OF_FSTAB),
  { ...ignored("x-* X-* comment", OF_FSTAB, "TEXT"), argumentIsOptional: true },
  ignored("discard nodiscard", "a reader frees no blocks"),
  ignored("data data_err", OF_WRITING, "MODE"),
  ignored("commit max_batch_time min_batch_time", OF_WRITING, "TIME"),
  { ...ignored("barrier", OF_WRITING, "0|1"), argumentIsOptional: true },
  ignored("nobarrier", OF_WRITING),
  ignored("delalloc nodelalloc auto_da_alloc noauto_da_alloc", OF_WRITING),
  ignored("journal_checksum nojournal_checksum journal_async_commit", OF_WRITING),
  ignored("journal_ioprio", OF_WRITING, "LEVEL"),
  ignored("i_version noi_version iversion noiversion", OF_WRITING),
  ignored("dioread_lock dioread_nolock mblk_io_submit nomblk_io_submit bh nobh", OF_WRITING),
  ignored("orlov oldalloc reservation noreservation", OF_WRITING),
  ignored("stripe", OF_WRITING, "BLOCKS"),
  ignored("max_dir_size_kb", OF_WRITING, "KIB"),
  ignored("inode_readahead_blks mb_optimize_scan", OF_TUNING, "NUMBER"),
  { ...ignored("init_itable", OF_TUNING, "NUMBER"), argumentIsOptional: true },
  ignored("noinit_itable mbcache nombcache", OF_TUNING),
  ignored("prefetch_block_bitmaps no_prefetch_block_bitmaps", OF_TUNING),
  ignored("block_validity noblock_validity", "the server always checks where blocks lie"),
  {
    ...ignored("check", "the server always checks what it reads", "HOW"),
    argumentIsOptional: true,
  },
  ignored("nocheck", "the server always checks what it reads"),
  ignored("warn_on_error nowarn_on_error mand nomand", OF_TUNING),
  { ...ignored("dax", "FUSE has no such access to this device", "HOW"), argumentIsOptional: true },
  ignored("inlinecrypt", "the server does not decrypt"),
  ignored("quota noquota usrquota grpquota prjquota", OF_QUOTA),
  ignored("usrjquota grpjquota jqfmt", OF_QUOTA, "NAME"),
  ignored("grpid nogrpid bsdgroups sysvgroups", OF_NEW_FILES),
  ignored("resuid resgid", OF_NEW_FILES, "ID"),
  ignored("diratime nodiratime relatime norelatime", OF_ATIME),
  ignored("noblkdev", "fuseblk is used only when blkdev asks for it"),
  ignored("nonempty", "libfuse 3 always mounts over directories with content"),
  ignored("large_read big_writes", OF_SIZES),
  ignored("max_write max_readahead max_background congestion_threshold", OF_SIZES, "NUMBER"),
  ignored("async_read sync_read atomic_o_trunc async_dio no_async_dio", OF_SIZES),
  ignored("splice_read no_splice_read splice_write no_splice_write", OF_SIZES),
  ignored("splice_move no_splice_move", OF_SIZES),
  ignored("kernel_cache auto_cache noauto_cache no_auto_inval_data noforget", OF_CACHING),
  ignored("remember ac_attr_timeout", OF_CACHING, "SECONDS"),
  ignored("use_ino readdir_ino hard_remove nopath intr", "always so"),
  ignored("no_remote_lock no_remote_flock no_remote_posix_lock", "locks are the kernel's own"),
  ignored("clone_fd", OF_THREADS),
  ignored("max_threads max_idle_threads", OF_THREADS, "NUMBER"),
];

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
    dirsync: false,
    sync: false,
    lazytime: false,
    strictatime: false,
    entryTimeout: undefined,
    negativeTimeout: undefined,
    attributeTimeout: undefined,
    iomap: "auto",
    libfuse: "auto",
    debug: false,
    libfuseDebug: false,
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

/** The limits are those of fuse2fs: no less than a block, no more than 2 GiB. */
function parseCacheSize(text: string): number {
  const size = parseSize("cache_size", text);
  if (size < 1024 || size > 2 ** 31) {
    throw fail("EINVAL", `cache_size: '${text}' is not between one block and 2g`);
  }
  return size;
}

function parseIomap(text: string): MountSettings["iomap"] {
  if (["", "1", "on"].includes(text)) return "on";
  if (["0", "off"].includes(text)) return "off";
  if (["default", "auto"].includes(text)) return "auto";
  throw fail("EINVAL", `iomap: '${text}' is not 0, 1 or default`);
}
