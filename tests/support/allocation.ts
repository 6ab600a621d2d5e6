/** File systems of many layouts to allocate on, and what e2fsprogs say of them afterwards. */

import type { Device } from "../../src/block/device.ts";
import { FileDevice } from "../../src/block/file_device.ts";
import { FileSystem, type OpenOptions } from "../../src/ext4/filesystem.ts";
import type { Inode } from "../../src/ext4/inode/inode.ts";
import { lookup } from "../../src/ext4/directory/lookup.ts";
import type { WriteOptions } from "../../src/ext4/writing.ts";
import { run, TempDir } from "./run.ts";

/** Arguments of mke2fs, and the size. Each has files `first` and `second`, and a folder `folder`. */
export const LAYOUTS: Readonly<Record<string, { mke2fs: string; megabytes: number }>> = {
  "ext2-1k": { mke2fs: "-t ext2 -b 1024", megabytes: 20 },
  "ext2-4k": { mke2fs: "-t ext2 -b 4096", megabytes: 40 },
  "ext2-revision0": { mke2fs: "-t ext2 -r 0 -O none -b 1024", megabytes: 20 },
  "ext3-2k": { mke2fs: "-t ext3 -b 2048 -J size=4 -g 4096", megabytes: 40 },
  "ext4-1k": { mke2fs: "-t ext4 -b 1024", megabytes: 60 },
  "ext4-4k": { mke2fs: "-t ext4 -b 4096 -g 1024", megabytes: 60 },
  "ext4-64k": { mke2fs: "-t ext4 -b 65536 -O ^has_journal -g 1024", megabytes: 300 },
  "ext4-no-extent": { mke2fs: "-t ext4 -b 1024 -O ^extent,^64bit", megabytes: 40 },
  "ext4-uninit-bg": { mke2fs: "-t ext4 -b 1024 -O ^metadata_csum,uninit_bg", megabytes: 60 },
  "ext4-no-checksums": { mke2fs: "-t ext4 -b 1024 -O ^metadata_csum,^uninit_bg", megabytes: 40 },
  "ext4-no-64bit": { mke2fs: "-t ext4 -b 1024 -O ^64bit", megabytes: 40 },
  "ext4-no-flex": { mke2fs: "-t ext4 -b 1024 -O ^flex_bg", megabytes: 40 },
  "ext4-flex2": { mke2fs: "-t ext4 -b 1024 -G 2 -g 2048", megabytes: 40 },
  "ext4-meta-bg": { mke2fs: "-t ext4 -b 1024 -O meta_bg,^resize_inode -g 512", megabytes: 40 },
  "ext4-meta-bg-no-flex": {
    mke2fs: "-t ext4 -b 1024 -O meta_bg,^resize_inode,^flex_bg -g 1024",
    megabytes: 40,
  },
  "ext4-sparse-super2": { mke2fs: "-t ext4 -b 1024 -O sparse_super2 -g 2048", megabytes: 40 },
  "ext4-bigalloc-1k": { mke2fs: "-t ext4 -b 1024 -O bigalloc -C 8192", megabytes: 200 },
  "ext4-bigalloc-4k": { mke2fs: "-t ext4 -b 4096 -O bigalloc -C 65536 -g 16384", megabytes: 300 },
  "ext4-no-large-file": {
    mke2fs: "-t ext4 -b 1024 -O ^large_file,^huge_file,^resize_inode",
    megabytes: 40,
  },
  "ext4-inode128": { mke2fs: "-t ext4 -b 1024 -I 128", megabytes: 40 },
  "ext4-inode1024": { mke2fs: "-t ext4 -b 4096 -I 1024", megabytes: 40 },
  "ext4-no-lazy": { mke2fs: "-t ext4 -b 1024 -E lazy_itable_init=0", megabytes: 40 },
  "ext4-mmp-journal": { mke2fs: "-t ext4 -b 1024 -O mmp -J size=8", megabytes: 40 },
  "ext4-orphan-file": { mke2fs: "-t ext4 -b 1024 -O orphan_file", megabytes: 40 },
  "ext4-bigalloc-plain": {
    mke2fs: "-t ext4 -b 1024 -O bigalloc,^metadata_csum -C 4096 -J size=4",
    megabytes: 40,
  },
  "ext4-inline-plain": {
    mke2fs: "-t ext4 -b 1024 -O inline_data,^metadata_csum",
    megabytes: 20,
  },
  "ext4-inline": { mke2fs: "-t ext4 -b 1024 -O inline_data", megabytes: 40 },
  "ext4-project": { mke2fs: "-t ext4 -b 1024 -I 256 -O project,quota", megabytes: 40 },
};

/** Makes an image in a folder, and gives its path. */
export async function makeLayout(name: string, folder: TempDir): Promise<string> {
  const { mke2fs, megabytes } = LAYOUTS[name];
  const content = folder.mkdir(`${name}.content`);
  for (const file of ["first", "second"]) Deno.writeTextFileSync(`${content}/${file}`, file);
  Deno.mkdirSync(`${content}/folder`);
  const image = folder.join(`${name}.img`);
  const fill = name.includes("revision0") ? [] : ["-d", content];
  await run("mke2fs", ["-q", "-F", ...mke2fs.split(" "), ...fill, image, `${megabytes}M`]);
  if (fill.length === 0) {
    await run("debugfs", ["-w", "-f", "/dev/stdin", image], {
      input: ["first", "second"].map((file) => `write ${content}/${file} ${file}\n`).join("") +
        "mkdir folder\n",
    });
  }
  // mke2fs does not count what it copies.
  if (name.includes("project")) await run("e2fsck", ["-fy", image], { codes: [0, 1] });
  return image;
}

/** An image that is open for writing, and what it complained of. */
export interface Opened extends Disposable {
  readonly fs: FileSystem;
  /** Errors and warnings. */
  readonly complaints: string[];
  /** What it told beside these. */
  readonly messages: string[];
}

/** Opens an image for writing. Times and generations are the same each time. */
export function openForWriting(
  image: string,
  more: Partial<WriteOptions> = {},
  options: Partial<OpenOptions> = {},
): Opened {
  return openDeviceForWriting(FileDevice.open(image, { readOnly: false }), more, options);
}

/** The same for an image on another device. */
export function openDeviceForWriting(
  device: Device,
  more: Partial<WriteOptions> = {},
  options: Partial<OpenOptions> = {},
): Opened {
  const complaints: string[] = [];
  const messages: string[] = [];
  const note = (message: string) => void complaints.push(message);
  let clock = 0;
  const fs = FileSystem.open(device, {
    ...options,
    log: {
      error: note,
      warn: note,
      info: (message) => void messages.push(message),
      debug: () => {},
    },
    write: {
      now: () => ({ sec: 1_700_000_000 + clock++, nsec: 0 }),
      monotonic: () => clock,
      commitInterval: 5000,
      random: () => (clock++ * 0x9e3779b1) >>> 0,
      ...more,
    },
  });
  return { fs, complaints, messages, [Symbol.dispose]: () => fs.close() };
}

/** A new image of a layout, open for writing, in a folder that goes with it. */
export async function openLayout(
  name: string,
  more: Partial<WriteOptions> = {},
  options: Partial<OpenOptions> = {},
): Promise<Opened & { readonly image: string }> {
  const folder = new TempDir();
  const image = await makeLayout(name, folder);
  const opened = openForWriting(image, more, options);
  return {
    ...opened,
    image,
    [Symbol.dispose]: () => {
      opened[Symbol.dispose]();
      folder[Symbol.dispose]();
    },
  };
}

/** Ends writing, and gives what `e2fsck -fn` complains of: nothing when it finds all clean. */
export async function complaintsAfter(fs: FileSystem, image: string): Promise<string> {
  fs.stopWriting();
  return await complaintsOf(image);
}

/** What `e2fsck -fn` complains of. */
export async function complaintsOf(image: string): Promise<string> {
  const { code, stdout, stderr } = await run("e2fsck", ["-fn", image], {
    codes: [0, 1, 2, 3, 4, 8, 12],
  });
  return code === 0 ? "" : stdout + stderr;
}

/** A file of the root directory, or of another one. */
export function fileNamed(fs: FileSystem, name: string, dir = fs.root): Inode {
  const found = lookup(fs, dir, new TextEncoder().encode(name));
  if (found === undefined) throw new Error(`no file ${name}`);
  return fs.inode(found);
}

/** Sets, or takes away, an inode's flag, without asking whether it may be. */
export function setFlag(fs: FileSystem, inode: Inode, flag: number, on = true): void {
  fs.change((handle) => {
    fs.modifyInode(handle, inode);
    inode.setFlag(flag, on);
  });
}

/** Free clusters and inodes of the whole file system, by dumpe2fs. */
export interface FreeByDumpe2fs {
  readonly clusters: ReadonlySet<number>;
  readonly inodes: ReadonlySet<number>;
}

/** Also verifies the checksums of descriptors and bitmaps, without which dumpe2fs fails. */
export async function freeByDumpe2fs(image: string, fs: FileSystem): Promise<FreeByDumpe2fs> {
  const { stdout, stderr } = await run("dumpe2fs", [image]);
  if (/checksum|error/i.test(stderr)) throw new Error(stderr);
  const { firstDataBlock, clusterRatio } = fs.superblock;
  const clusters = new Set<number>();
  const inodes = new Set<number>();
  for (const [, what, list] of stdout.matchAll(/^ {2}Free (blocks|inodes): (.*)$/mg)) {
    for (const range of list.split(", ").filter((text) => text !== "")) {
      const [start, end = start] = range.split("-").map(Number);
      if (what === "inodes") { for (let ino = start; ino <= end; ino++) inodes.add(ino); }
      else {
        for (let block = start; block <= end; block += clusterRatio) {
          clusters.add(Math.floor((block - firstDataBlock) / clusterRatio));
        }
      }
    }
  }
  return { clusters, inodes };
}
