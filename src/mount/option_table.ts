/**
 * The mount options: one table, one row an option. The parser (options.ts), the man page, the shell
 * completion and docs/options.md all come from it.
 *
 * A row's effect is one of three:
 * - `apply`: it changes the settings of the mount
 * - `libfuse`: it is handed on to libfuse, which knows what to do with it
 * - `ignored`: it is accepted for the sake of fstab lines and scripts, for the reason given
 */

import { parseProgramChoice } from "../bpf/program_choice.ts";
import type { QuotaType } from "../ext4/quota/quota_file.ts";
import { fail } from "../sys/fs_error.ts";
import { parseNumber, parseSeconds, parseSize } from "./option_list.ts";
import { DEFAULT_COMMIT_SECONDS, type Draft, type MountSettings } from "./settings.ts";

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
const OF_RESERVED = "the superblock says whom the reserved blocks are for: tune2fs -u and -g";
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
  value(
    "sb",
    "BLOCK",
    "image",
    "use the backup superblock in this block, or at so many KiB",
    (settings, text) => {
      settings.superblockBlock = parseNumber("sb", text);
    },
  ),
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
  flag(
    "direct directio",
    "image",
    "read and write the device past the page cache (O_DIRECT)",
    (settings) => {
      settings.direct = true;
    },
  ),
  value(
    "lockfile",
    "PATH",
    "image",
    "hold a lock on this file while the image is open; the server makes it and removes it",
    (settings, path) => {
      settings.lockfile = path;
    },
  ),

  flag(
    "remount",
    "behavior",
    "give a mount the flags that go with it, such as ro or nosuid; the server goes on as it is",
    (settings) => {
      settings.remount = true;
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
    "on damage: continue, remount-ro or panic (end the server); default: the superblock's. Only continue mounts rw what has errors already",
    (settings, text) => {
      if (text !== "continue" && text !== "remount-ro" && text !== "panic") {
        throw fail("EINVAL", `errors: '${text}' is not continue, remount-ro or panic`);
      }
      settings.errors = text;
    },
  ),
  flag(
    "usrquota quota",
    "behavior",
    "keep to the limits of users, with the quota feature, which counts their use in any case",
    (settings) => limit(settings, "user"),
  ),
  flag(
    "grpquota",
    "behavior",
    "the same for groups",
    (settings) => limit(settings, "group"),
  ),
  flag(
    "prjquota",
    "behavior",
    "the same for projects",
    (settings) => limit(settings, "project"),
  ),
  flag("noquota", "behavior", "keep to no limits, the default", (settings) => {
    settings.quotaLimits = new Set();
  }),
  {
    ...value(
      "usrjquota grpjquota",
      "FILE",
      "behavior",
      "the older quota files are not kept up: makes the mount read-only, unless FILE is empty",
      (settings, file) => {
        if (file !== "") settings.quotaFiles = true;
      },
    ),
    argumentIsOptional: true,
  },
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
  value(
    "commit",
    "SECONDS",
    "behavior",
    "commit this long after the first change at the latest; 5 by default",
    (settings, text) => {
      // As for the kernel, 0 is the default.
      settings.commitSeconds = parseNumber("commit", text) || DEFAULT_COMMIT_SECONDS;
    },
  ),
  {
    ...value(
      "barrier",
      "0|1",
      "behavior",
      "commits wait for the device, the default; with 0 a power failure may destroy anything",
      (settings, text) => {
        if (!["", "0", "1"].includes(text)) {
          throw fail("EINVAL", `barrier: '${text}' is not 0 or 1`);
        }
        settings.barrier = text !== "0";
      },
    ),
    argumentIsOptional: true,
  },
  flag("nobarrier", "behavior", "as barrier=0", (settings) => {
    settings.barrier = false;
  }),
  value(
    "data",
    "MODE",
    "behavior",
    "ordered: data are on the device before the commit that tells of them; writeback is the same here, journal refused",
    (_, text) => {
      if (text === "journal") {
        throw fail("EINVAL", "data=journal: file data cannot be journaled here, only ordered");
      }
      if (text !== "ordered" && text !== "writeback") {
        throw fail("EINVAL", `data: '${text}' is not ordered or writeback`);
      }
    },
  ),
  flag("grpid bsdgroups", "behavior", "new files belong to the group of their directory", (s) => {
    s.groupOfDirectory = true;
  }),
  flag(
    "nogrpid sysvgroups",
    "behavior",
    "new files belong to their maker's group, the default",
    (s) => {
      s.groupOfDirectory = false;
    },
  ),
  flag(
    "relatime norelatime atime nostrictatime",
    "behavior",
    "note the access to what has changed since the last one, or a day ago: the default",
    (settings) => {
      settings.accessTimes = "relative";
    },
  ),
  flag(
    "strictatime",
    "behavior",
    "note every access, as far as the kernel tells of it: not when it has the data in its cache",
    (settings) => {
      settings.accessTimes = "always";
    },
  ),
  flag("noatime", "behavior", "do not note times of access", (settings) => {
    settings.accessTimes = "never";
    settings.libfuseOptions.push("noatime");
  }),
  flag("diratime", "behavior", "note the access to directories, too, the default", (settings) => {
    settings.directoryAccessTimes = true;
  }),
  flag("nodiratime", "behavior", "do not note the access to directories", (settings) => {
    settings.directoryAccessTimes = false;
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
  value(
    "wake_latency",
    "MICROSECONDS",
    "server",
    "keep waiting processors ready to wake within this time while requests come one after the other; off: let them sleep; auto, the default: 0 in a virtual machine with the idle driver haltpoll, off elsewhere",
    (settings, text) => {
      settings.wakeLatency = text === "off" || text === "auto" ? text : parseLatency(text);
    },
  ),
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
    "iomap_bpf",
    "PROGRAM",
    "server",
    "give the kernel a BPF program that tells where data is: off, demo, extents, FILE.c or FILE.o",
    (settings, text) => {
      setBpf(settings, { program: text === "off" ? undefined : parseProgramChoice(text) });
    },
  ),
  flag("bpf_crap", "server", "as iomap_bpf=demo, which makes up what FIEMAP tells", (settings) => {
    setBpf(settings, { program: parseProgramChoice("demo") });
  }),
  flag("bpf_required", "server", "no mount without the BPF program", (settings) => {
    setBpf(settings, { required: true });
  }),
  value("bpf_clang", "PATH", "server", "name or path of the clang for BPF programs", (s, path) => {
    setBpf(s, { clang: path });
  }),
  value(
    "bpf_include",
    "DIR",
    "server",
    "folder of headers for a BPF program of one's own; may be repeated",
    (settings, path) => {
      setBpf(settings, { includeFolders: [...settings.bpf.includeFolders, path] });
    },
  ),
  value(
    "vmlinux_h",
    "FILE",
    "server",
    "the vmlinux.h for a BPF program that includes it",
    (s, path) => {
      setBpf(s, { vmlinuxHeader: path });
    },
  ),
  value(
    "libbpf",
    "WHICH",
    "server",
    "the libbpf to load: system, embedded, or the path of one",
    (settings, text) => {
      setBpf(settings, { libbpf: text });
    },
  ),
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
  flag("debug", "server", "as -d: log every request; stays in front", (settings) => {
    settings.libfuseDebug = true;
  }),
  flag(
    "blkdev",
    "server",
    "mount with the type fuseblk, the default for root when writing to a block device: sync(2) arrives, umount(8) waits",
    (settings) => {
      settings.noFuseblk = false;
      settings.libfuseOptions.push("blkdev");
    },
  ),
  flag("noblkdev", "server", "mount with the type fuse in any case", (settings) => {
    settings.noFuseblk = true;
    settings.libfuseOptions = settings.libfuseOptions.filter((option) => option !== "blkdev");
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
  passed("blksize", "block size of a fuseblk mount", "BYTES"),
  passed("max_read", "largest size of a read request", "BYTES"),
  passed("suid", "honor set-user-ID and set-group-ID bits, as root"),
  passed("nosuid", "do not honor set-user-ID and set-group-ID bits"),
  passed("dev", "honor device nodes, as root"),
  passed("nodev", "do not honor device nodes"),
  passed("exec", "let programs be run, the default"),
  passed("noexec", "do not let programs be run"),
  passed("context", "SELinux context of all files", "CONTEXT"),
  passed("fscontext", "SELinux context of the file system", "CONTEXT"),
  passed("defcontext", "SELinux context of files without one", "CONTEXT"),
  passed("rootcontext", "SELinux context of the root directory", "CONTEXT"),

  ignored("defaults auto noauto nouser users owner group", OF_FSTAB),
  { ...ignored("user", OF_FSTAB, "NAME"), argumentIsOptional: true },
  ignored("nofail _netdev _rnetdev silent loud", OF_FSTAB),
  { ...ignored("x-* X-* comment", OF_FSTAB, "TEXT"), argumentIsOptional: true },
  ignored("lazytime nolazytime", "changes of times are written with the next commit"),
  ignored("discard nodiscard", "freed space is given back to the device by fstrim(8)"),
  ignored("data_err", OF_WRITING, "MODE"),
  ignored("max_batch_time min_batch_time", OF_WRITING, "TIME"),
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
  ignored("jqfmt", "the format of quota files that are not kept up: see usrjquota", "NAME"),
  ignored("resuid resgid", OF_RESERVED, "ID"),
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

function limit(settings: Draft, type: QuotaType): void {
  settings.quotaLimits = new Set([...settings.quotaLimits, type]);
}

/** The limits are those of fuse2fs: no less than a block, no more than 2 GiB. */
function parseCacheSize(text: string): number {
  const size = parseSize("cache_size", text);
  if (size < 1024 || size > 2 ** 31) {
    throw fail("EINVAL", `cache_size: '${text}' is not between one block and 2g`);
  }
  return size;
}

function parseLatency(text: string): number {
  const microseconds = parseNumber("wake_latency", text);
  if (microseconds < 2 ** 31) return microseconds;
  throw fail("EINVAL", `wake_latency: '${text}' is more than half an hour`);
}

function setBpf(settings: Draft, change: Partial<MountSettings["bpf"]>): void {
  settings.bpf = { ...settings.bpf, ...change };
}

function parseIomap(text: string): MountSettings["iomap"] {
  if (["", "1", "on"].includes(text)) return "on";
  if (["0", "off"].includes(text)) return "off";
  if (["default", "auto"].includes(text)) return "auto";
  throw fail("EINVAL", `iomap: '${text}' is not 0, 1 or default`);
}
