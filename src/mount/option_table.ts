/**
 * The mount options: one table, one row an option; those without effect are in ignored_options.ts.
 * The parser (options.ts), the man page, the shell completion and docs/options.md all come from it.
 */

import { parseProgramChoice } from "../bpf/program_choice.ts";
import type { QuotaType } from "../ext4/quota/quota_file.ts";
import { fail } from "../sys/fs_error.ts";
import { IGNORED_OPTIONS } from "./ignored_options.ts";
import { flag, type MountOption, passed, value } from "./mount_option.ts";
import { parseNumber, parseSeconds, parseSize } from "./option_list.ts";
import { DEFAULT_COMMIT_SECONDS, type Draft, type MountSettings } from "./settings.ts";

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

  ...IGNORED_OPTIONS,
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
