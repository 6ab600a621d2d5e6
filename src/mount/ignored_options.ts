/**
 * Mount options that are accepted and do nothing: those of mount(8), of the kernel's ext4 and of
 * FUSE that fstab lines and scripts carry. Each says why there is nothing to do.
 */

import { ignored, type MountOption } from "./mount_option.ts";

const OF_FSTAB = "for mount(8) and fstab, which have acted on it before the server starts";
const OF_WRITING = "about how the kernel's driver writes, which changes nothing in what is stored";
const OF_TUNING = "tunes the kernel's own driver";
const OF_RESERVED = "the superblock says whom the reserved blocks are for: tune2fs -u and -g";
const OF_CACHING = "the server owns the device, so what the kernel keeps never goes stale";
const OF_THREADS = "one thread serves the file system";
const OF_SIZES = "the server agrees on the best sizes and abilities with the kernel by itself";

export const IGNORED_OPTIONS: readonly MountOption[] = [
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
