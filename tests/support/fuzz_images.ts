/**
 * Small, whole file systems that the fuzz test damages: one for each way to lay out inodes,
 * directories, attributes and files. Made by mke2fs and debugfs, so that no privilege is needed.
 */

import { debugfs } from "./images.ts";
import { join, link, mkdir, mknod, pwrite, setXattr, symlink, withFile } from "./libc.ts";
import { pattern, writeFile } from "./populate_data.ts";
import { run, TempDir } from "./run.ts";
import { S_IFBLK, S_IFIFO, S_IFREG } from "../../src/sys/stat.ts";

interface Base {
  readonly mke2fs: string;
  readonly kilobytes: number;
  /** Commands of debugfs behind the ones that all images get. */
  readonly debugfs?: readonly string[];
  /** Directories are indexed afterwards, by e2fsck -D. */
  readonly indexed?: boolean;
}

const NO_CHECKSUMS = "^metadata_csum,^has_journal";
const DIRTY_JOURNAL = [
  "journal_open",
  "journal_write -b 20,21,22,40 /dev/zero",
  "journal_write -r 21,23",
  "journal_write -b 30 /etc/passwd",
  "journal_close",
];

const BASES: Record<string, Base> = {
  "ext2": { mke2fs: "-t ext2 -b 1024", kilobytes: 1024, indexed: true },
  "ext2-4k": { mke2fs: "-t ext2 -b 4096 -I 128", kilobytes: 2048 },
  "ext4": { mke2fs: `-t ext4 -b 1024 -O ${NO_CHECKSUMS}`, kilobytes: 1024, indexed: true },
  "ext4-checksums": {
    mke2fs: "-t ext4 -b 1024 -O ^has_journal,metadata_csum_seed",
    kilobytes: 1024,
    indexed: true,
  },
  "ext4-32bit": {
    mke2fs: `-t ext4 -b 2048 -O ${NO_CHECKSUMS},^64bit,^flex_bg,uninit_bg`,
    kilobytes: 2048,
  },
  "inline": {
    mke2fs: `-t ext4 -b 1024 -O ${NO_CHECKSUMS},inline_data -I 512`,
    kilobytes: 1024,
    indexed: true,
  },
  "ea-inode": { mke2fs: `-t ext4 -b 1024 -O ${NO_CHECKSUMS},ea_inode`, kilobytes: 1024 },
  "meta-bg": {
    mke2fs: `-t ext4 -b 1024 -O ${NO_CHECKSUMS},meta_bg,^resize_inode -g 256`,
    kilobytes: 2048,
  },
  "bigalloc": { mke2fs: `-t ext4 -b 1024 -O ${NO_CHECKSUMS},bigalloc -C 4096`, kilobytes: 2048 },
  "casefold": {
    mke2fs: `-t ext4 -b 1024 -O ${NO_CHECKSUMS},casefold -E encoding=utf8`,
    kilobytes: 1024,
    debugfs: ["sif /names flags 0x40080000"],
    indexed: true,
  },
  "encrypt": {
    mke2fs: `-t ext4 -b 1024 -O ${NO_CHECKSUMS},encrypt`,
    kilobytes: 1024,
    // Names of 16 bytes and more pass for ciphertext.
    debugfs: ["sif /names flags 0x80800", "sif /data flags 0x80800"],
  },
  "large-dir-64k": {
    mke2fs: `-t ext4 -b 65536 -O ${NO_CHECKSUMS},large_dir -N 32`,
    kilobytes: 8192,
    indexed: true,
  },
  "orphan-file": {
    mke2fs: "-t ext4 -b 1024 -O orphan_file,quota,project,stable_inodes -J size=1",
    kilobytes: 3072,
  },
  "journal": {
    mke2fs: "-t ext4 -b 1024 -O ^metadata_csum -J size=1",
    kilobytes: 3072,
    debugfs: DIRTY_JOURNAL,
  },
  "journal-checksums": {
    mke2fs: "-t ext4 -b 1024 -J size=1",
    kilobytes: 3072,
    debugfs: DIRTY_JOURNAL,
  },
};

/**
 * Makes the images in a folder; gives their paths by name.
 * @param spare room for more than there is in them, in KiB
 */
export async function makeFuzzImages(folder: string, spare = 0): Promise<Map<string, string>> {
  const images = new Map<string, string>();
  using source = new TempDir();
  fill(source.path);
  for (const [name, base] of Object.entries(BASES)) {
    const image = `${folder}/${name}.img`;
    await makeFilled(image, source.path, base.mke2fs, base.kilobytes + spare);
    const hasExtents = base.mke2fs.includes("ext4") && !base.mke2fs.includes("inline_data");
    if (hasExtents) await debugfs(image, ["fallocate /unwritten 0 9"]);
    await debugfs(image, base.debugfs);
    // 1: directories were indexed, which counts as repaired.
    if (base.indexed) await run("e2fsck", ["-fyD", image], { codes: [0, 1] });
    images.set(name, image);
  }
  return images;
}

/** An image with what is in a folder, byte for byte the same each time. */
export async function makeFilled(
  image: string,
  content: string,
  mke2fs: string,
  kilobytes: number,
): Promise<void> {
  await run("mke2fs", [
    ...["-q", "-F", "-d", content],
    ...["-U", "01234567-89ab-cdef-0123-456789abcdef"],
    ...["-E", "hash_seed=89abcdef-0123-4567-89ab-cdef01234567"],
    ...mke2fs.split(" "),
    image,
    `${kilobytes}k`,
  ], { env: { E2FSPROGS_FAKE_TIME: "1700000000" } });
}

/** One of everything, and as little of it as will do. */
export function fill(root: string): void {
  mkdir(`${root}/names`);
  mknod(`${root}/linked`, S_IFREG | 0o644);
  for (let index = 0; index < 60; index++) {
    link(`${root}/linked`, join(`${root}/names`, `${index}-${"n".repeat(60)}`));
  }
  mkdir(`${root}/small`);
  mknod(`${root}/small/fifo`, S_IFIFO | 0o644);
  mknod(`${root}/small/block`, S_IFBLK | 0o644, 0x801n);
  symlink("fast", `${root}/fast`);
  symlink("s".repeat(200), `${root}/slow`);
  writeFile(`${root}/data`, pattern(1, 30_000));
  writeFile(`${root}/tiny`, pattern(2, 100));
  mknod(`${root}/unwritten`, S_IFREG | 0o644);
  withFile(`${root}/sparse`, (fd) => {
    for (let index = 0; index < 40; index++) pwrite(fd, pattern(index, 10), index * 131_072);
  });
  setXattr(`${root}/tiny`, "user.in-inode", pattern(3, 20));
  setXattr(`${root}/data`, "user.in-block", pattern(4, 500));
  setXattr(`${root}/small`, "system.posix_acl_access", ACL);
}

/** u::rw-, u:1000:r--, g::r--, m::r--, o::---, in the form of user space. */
export const ACL = Uint8Array.from([
  [2, 0, 0, 0],
  [1, 0, 6, 0, 255, 255, 255, 255],
  [2, 0, 4, 0, 232, 3, 0, 0],
  [4, 0, 4, 0, 255, 255, 255, 255],
  [16, 0, 4, 0, 255, 255, 255, 255],
  [32, 0, 0, 0, 255, 255, 255, 255],
].flat());
