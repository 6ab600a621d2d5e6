/**
 * The matrix of file systems that reading is checked with: how each is made, what is put into it,
 * and who knows what it looks like.
 */

import { mountKernel } from "./mount.ts";
import { type Contents, populate } from "./populate.ts";
import { run, TempDir } from "./run.ts";

export interface ImageConfig {
  readonly name: string;
  /** Arguments of mke2fs besides the block size. */
  readonly mke2fs: readonly string[];
  readonly blockSize: number;
  readonly megabytes: number;
  /** Who tells what is in the image: the kernel's ext4, or debugfs for what it cannot mount. */
  readonly oracle: "kernel" | "debugfs";
  readonly contents: Contents;
  /** Who fills the image: the kernel, or mke2fs -d. */
  readonly filledBy: "kernel" | "mke2fs";
  /** Options of the kernel's mount for the population. */
  readonly populateOptions?: string;
  /** Commands of debugfs before the population. */
  readonly before?: readonly string[];
  /** Options of tune2fs before the population, and after it. */
  readonly tuneBefore?: readonly string[];
  readonly tune2fs?: readonly string[];
  /** Commands of debugfs after that. */
  readonly after?: readonly string[];
}

interface Row {
  readonly mke2fs: string;
  readonly blockSize?: number;
  readonly megabytes?: number;
  readonly oracle?: "kernel" | "debugfs";
  readonly contents?: Partial<Contents>;
  readonly filledBy?: "mke2fs";
  readonly populateOptions?: string;
  readonly before?: readonly string[];
  readonly tuneBefore?: string;
  readonly tune2fs?: string;
  readonly after?: readonly string[];
}

/** s_flags: which hash of a name with bytes above 0x7f is meant. */
const SIGNED_HASH = ["ssv flags 1"];
const UNSIGNED_HASH = ["ssv flags 2"];

const NO_EXTENTS = { extents: false };

/** Inode fields that no system call sets: times of change and creation, generation, link counts. */
const ODD_FIELDS = [
  "sif /types/empty ctime 0x80000001",
  "sif /types/empty ctime_extra 0xee6b27fe",
  "sif /types/empty crtime 0xffffffff",
  "sif /types/empty crtime_extra 0x00000003",
  "sif /types/first generation 0xfedcba98",
  "sif /types/fifo ctime 0x7fffffff",
  "sif /types/fifo ctime_extra 0x00000001",
  "sif /directories/one links_count 1",
];

/** Space counted in blocks instead of sectors. */
const HUGE_FILE = [
  "sif /data/only-hole flags 0xc0000",
  "sif /data/only-hole blocks 0x10",
  "sif /data/zeros blocks_hi 0x7",
];

const PROJECTS = [
  "sif /types/first projid 4711",
  "sif /types/empty projid 0xfffffffe",
  "sif /directories/one projid 42",
  "sif /directories/one flags 0x20080000",
];

const ROWS: Record<string, Row> = {
  "ext2-1k": { mke2fs: "-t ext2", blockSize: 1024, contents: NO_EXTENTS },
  "ext2-2k-inode128": { mke2fs: "-t ext2 -I 128", blockSize: 2048, contents: NO_EXTENTS },
  "ext2-4k": { mke2fs: "-t ext2", contents: NO_EXTENTS },
  "ext2-revision0": { mke2fs: "-t ext2 -r 0 -O none", contents: NO_EXTENTS },
  "ext2-no-filetype": {
    mke2fs: "-t ext2 -O ^filetype,^dir_index",
    blockSize: 1024,
    contents: NO_EXTENTS,
  },
  "ext2-no-large-file": {
    mke2fs: "-t ext2 -O ^large_file,^sparse_super,^resize_inode",
    blockSize: 1024,
    contents: { ...NO_EXTENTS, hugeFiles: false },
  },
  "ext3-1k": { mke2fs: "-t ext3 -J size=4", blockSize: 1024, contents: NO_EXTENTS },
  "ext3-2k": { mke2fs: "-t ext3 -J size=4", blockSize: 2048, contents: NO_EXTENTS },
  "ext3-4k": { mke2fs: "-t ext3 -J size=4", contents: NO_EXTENTS },

  "ext4-1k": { mke2fs: "-t ext4", blockSize: 1024 },
  "ext4-2k": { mke2fs: "-t ext4", blockSize: 2048 },
  "ext4-4k": { mke2fs: "-t ext4", contents: { longNames: 6500 }, after: ODD_FIELDS },
  "ext4-deep-extents": {
    mke2fs: "-t ext4",
    blockSize: 1024,
    megabytes: 64,
    contents: { fragments: 30_000 },
  },
  "ext4-large-dir": {
    mke2fs: "-t ext4 -O large_dir",
    blockSize: 1024,
    megabytes: 64,
    contents: { longNames: 60_000 },
  },
  "ext4-inode128": { mke2fs: "-t ext4 -I 128" },
  "ext4-inode1024": { mke2fs: "-t ext4 -I 1024", blockSize: 2048 },
  "ext4-no-journal": { mke2fs: "-t ext4 -O ^has_journal,^dir_index" },
  "ext4-no-64bit": {
    mke2fs: "-t ext4 -O ^64bit,^huge_file,^dir_nlink,^extra_isize",
    after: ODD_FIELDS.slice(-1),
  },
  "ext4-no-checksums": {
    mke2fs: "-t ext4 -O ^metadata_csum,^uninit_bg,^flex_bg",
    blockSize: 1024,
    after: HUGE_FILE,
  },
  "ext4-uninit-bg": { mke2fs: "-t ext4 -O ^metadata_csum,uninit_bg -g 4096", blockSize: 1024 },
  "ext4-checksum-seed": { mke2fs: "-t ext4 -O metadata_csum_seed -G 2", after: HUGE_FILE },
  "ext4-meta-bg": { mke2fs: "-t ext4 -O meta_bg,^resize_inode -g 512", blockSize: 1024 },
  "ext4-meta-bg-32bit": {
    mke2fs: "-t ext4 -O meta_bg,^resize_inode,^64bit,^flex_bg -g 1024",
    blockSize: 2048,
  },
  "ext4-sparse-super2": { mke2fs: "-t ext4 -O sparse_super2 -g 2048", blockSize: 1024 },
  "ext4-bigalloc-1k": { mke2fs: "-t ext4 -O bigalloc -C 8192", blockSize: 1024 },
  "ext4-bigalloc-4k": { mke2fs: "-t ext4 -O bigalloc -C 65536", megabytes: 128 },
  "ext4-inline-1k": { mke2fs: "-t ext4 -O inline_data", blockSize: 1024 },
  "ext4-inline-inode512": { mke2fs: "-t ext4 -O inline_data -I 512" },
  "ext4-by-mke2fs": { mke2fs: "-t ext4", filledBy: "mke2fs" },
  "ext4-ea-inode": { mke2fs: "-t ext4 -O ea_inode", contents: { largeXattrs: true } },
  "ext4-ea-inode-inline-1k": {
    mke2fs: "-t ext4 -O ea_inode,inline_data -I 256",
    blockSize: 1024,
    contents: { largeXattrs: true },
  },
  "ext4-orphan-file": { mke2fs: "-t ext4 -O orphan_file,stable_inodes,fast_commit" },
  "ext4-mmp": { mke2fs: "-t ext4 -L a-label/16-bytes", tune2fs: "-O mmp" },
  "ext4-quota-project": {
    mke2fs: "-t ext4",
    tune2fs: "-O quota,project -Q usrquota,grpquota,prjquota",
    after: PROJECTS,
  },
  "ext4-encrypt": {
    mke2fs: "-t ext4 -O encrypt",
    contents: { longestTarget: 4000 },
    populateOptions: "test_dummy_encryption",
  },
  "ext4-encrypt-1k": {
    mke2fs: "-t ext4 -O encrypt,inline_data",
    blockSize: 1024,
    contents: { longestTarget: 1000 },
    populateOptions: "test_dummy_encryption",
  },
  "hash-legacy-signed": {
    mke2fs: "-t ext4",
    blockSize: 1024,
    tuneBefore: "-E hash_alg=legacy",
    before: SIGNED_HASH,
  },
  "hash-legacy-unsigned": {
    mke2fs: "-t ext4 -E hash_seed=01234567-89ab-cdef-0123-456789abcdef",
    blockSize: 2048,
    tuneBefore: "-E hash_alg=legacy",
    before: UNSIGNED_HASH,
  },
  "hash-half-md4-unsigned": { mke2fs: "-t ext4", blockSize: 1024, before: UNSIGNED_HASH },
  "hash-tea-signed": {
    mke2fs: "-t ext3 -J size=4",
    blockSize: 1024,
    contents: NO_EXTENTS,
    tuneBefore: "-E hash_alg=tea",
    before: SIGNED_HASH,
  },
  "hash-tea-unsigned": {
    mke2fs: "-t ext4",
    blockSize: 2048,
    tuneBefore: "-E hash_alg=tea",
    before: UNSIGNED_HASH,
  },

  "ext2-64k": { mke2fs: "-t ext2", blockSize: 65536, oracle: "debugfs", contents: NO_EXTENTS },
  "ext4-64k": { mke2fs: "-t ext4 -J size=64", blockSize: 65536, megabytes: 192, oracle: "debugfs" },
  "ext4-64k-inline": {
    mke2fs: "-t ext4 -O ^has_journal,inline_data,^metadata_csum",
    blockSize: 65536,
    oracle: "debugfs",
  },
  "ext4-16k": { mke2fs: "-t ext4 -O ^has_journal", blockSize: 16384, oracle: "debugfs" },
  "ext4-casefold": { mke2fs: "-t ext4 -O casefold -E encoding=utf8", oracle: "debugfs" },
  "ext4-verity": {
    mke2fs: "-t ext4 -O verity",
    oracle: "debugfs",
    // The tree of hashes lies behind the end of the file, which fs-verity moved back.
    after: ["sif /data/sizes/300001 size 100001", "sif /data/sizes/300001 flags 0x180000"],
  },
};

export const CONFIGS: readonly ImageConfig[] = Object.entries(ROWS).map(([name, row]) => {
  const blockSize = row.blockSize ?? 4096;
  const oracle = row.oracle ?? "kernel";
  const filledBy = oracle === "debugfs" ? "mke2fs" : row.filledBy ?? "kernel";
  return {
    name,
    mke2fs: row.mke2fs.split(" "),
    blockSize,
    megabytes: row.megabytes ?? 48,
    oracle,
    filledBy,
    contents: {
      blockSize,
      extents: true,
      longNames: blockSize === 1024 ? 600 : 1200,
      fragments: 500,
      hugeFiles: filledBy === "kernel",
      plainNames: oracle === "debugfs",
      inodeFlags: filledBy === "kernel",
      ...row.contents,
    },
    populateOptions: row.populateOptions,
    before: row.before,
    tuneBefore: row.tuneBefore?.split(" "),
    tune2fs: row.tune2fs?.split(" "),
    after: row.after,
  };
});

/** Makes the image of a configuration in a folder and gives its path. */
export async function makeImage(config: ImageConfig, folder: string): Promise<string> {
  const image = `${folder}/${config.name}.img`;
  const make = (...more: string[]) =>
    run("mke2fs", [
      ...["-q", "-F", "-b", `${config.blockSize}`, ...config.mke2fs, ...more],
      ...[image, `${config.megabytes}M`],
    ]);
  if (config.filledBy === "kernel") {
    await make();
    if (config.tuneBefore !== undefined) await run("tune2fs", [...config.tuneBefore, image]);
    await debugfs(image, config.before);
    await populateByKernel(image, folder, config);
  } else {
    using source = new TempDir();
    populate(source.path, config.contents);
    await make("-d", source.path);
  }
  if (config.tune2fs !== undefined) await run("tune2fs", [...config.tune2fs, image]);
  await debugfs(image, config.after);
  return image;
}

async function populateByKernel(
  image: string,
  folder: string,
  config: ImageConfig,
): Promise<void> {
  const dir = `${folder}/${config.name}.populated`;
  Deno.mkdirSync(dir, { recursive: true });
  const options = config.populateOptions ?? "user_xattr,acl";
  await using mounted = await mountKernel(image, dir, options);
  populate(mounted.dir, config.contents);
}

/** Lets debugfs change an image. Throws when it complains. */
export async function debugfs(image: string, commands: readonly string[] = []): Promise<void> {
  if (commands.length === 0) return;
  const { stderr } = await run("debugfs", ["-w", "-f", "/dev/stdin", image], {
    input: commands.join("\n") + "\n",
  });
  const complaints = stderr.split("\n").filter((line) =>
    line !== "" && !/^debugfs [0-9]/.test(line)
  );
  if (complaints.length > 0) throw new Error(`debugfs ${image}: ${complaints.join("\n")}`);
}
