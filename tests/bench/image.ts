/**
 * The image that all servers read: a tree of small files and one large file, written by the
 * kernel's ext4, so that blocks and directories lie as they do on a disk in use.
 *
 *     tree/   regular files of /usr/include, folders and symbolic links as they are there
 *     big     one file of bytes that look like chance
 */

import { pattern } from "../support/populate_data.ts";
import { run } from "../support/run.ts";
import { mountKernel } from "../support/mount.ts";

/** How much there is to read. */
export interface ImageSize {
  readonly imageMiB: number;
  /** Regular files in `tree`. */
  readonly files: number;
  readonly bigMiB: number;
}

/** Where the files come from. Any machine that builds C programs has it. */
const SOURCE = "/usr/include";

const MIB = 2 ** 20;

/** Hashes of names, and with them places in folders, are the same each time. */
const UUID = "6b1f2d0e-4c3a-4f5e-9d87-0a1b2c3d4e5f";

/** An image of an empty file system, of a size that is a disk's own once and for all. */
export class FreshImage {
  readonly #path: string;
  readonly #mebibytes: number;
  #isThere = false;

  constructor(path: string, mebibytes: number) {
    this.#path = path;
    this.#mebibytes = mebibytes;
  }

  /** Makes the file system anew, and gives the path. */
  async format(): Promise<string> {
    if (!this.#isThere) await this.#occupy();
    // Without nodiscard, mke2fs would give the space back, and the next work had to find it again.
    await run("mke2fs", [
      ...["-q", "-F", "-t", "ext4", "-U", UUID],
      ...["-E", `nodiscard,hash_seed=${UUID},lazy_itable_init=0,lazy_journal_init=0`],
      this.#path,
    ]);
    return this.#path;
  }

  /** All of it is written once, or the disk below would have to find places for it later. */
  async #occupy(): Promise<void> {
    const size = [`bs=1M`, `count=${this.#mebibytes}`];
    await run("dd", ["if=/dev/zero", `of=${this.#path}`, ...size, "conv=fsync"]);
    this.#isThere = true;
  }
}

/** Puts the tree of an image into an archive in a folder. */
export async function archiveTree(image: string, folder: string): Promise<string> {
  const mountpoint = `${folder}/archived.mnt`;
  const archive = `${folder}/tree.tar`;
  Deno.mkdirSync(mountpoint);
  {
    await using mount = await mountKernel(image, mountpoint, "ro");
    await run("tar", ["-cf", archive, "-C", mount.dir, "tree"]);
  }
  Deno.removeSync(mountpoint);
  return archive;
}

/** Makes the image in a folder, which must lie on a disk: in memory, nothing would be cold. */
export async function makeImage(folder: string, size: ImageSize): Promise<string> {
  const image = `${folder}/image`;
  const mountpoint = `${folder}/image.mnt`;
  // All of the space at once, so that the image is not scattered over the disk below it.
  await run("fallocate", ["--length", `${size.imageMiB}MiB`, image]);
  // Without lazy initialization the kernel has nothing left to write while others are measured.
  await run("mke2fs", [
    ...["-q", "-F", "-t", "ext4", "-E", "lazy_itable_init=0,lazy_journal_init=0"],
    image,
  ]);
  Deno.mkdirSync(mountpoint);
  {
    await using mount = await mountKernel(image, mountpoint, "rw");
    copyFiles(SOURCE, `${mount.dir}/tree`, size.files);
    writeBigFile(`${mount.dir}/big`, size.bigMiB);
  }
  Deno.removeSync(mountpoint);
  return image;
}

/**
 * Copies just so many regular files, in the order of their names. When the source has fewer, it is
 * copied again into a folder of its own, until there are enough.
 */
function copyFiles(source: string, target: string, count: number): void {
  Deno.mkdirSync(target);
  let left = copyTree(source, target, count);
  if (left === count) throw new Error(`${source} has no files`);
  for (let copy = 2; left > 0; copy++) {
    const again = `${target}/copy${copy}`;
    Deno.mkdirSync(again);
    left = copyTree(source, again, left);
  }
}

/** Copies at most `count` files into an empty folder. Returns how many of them are left to copy. */
function copyTree(source: string, target: string, count: number): number {
  const entries = [...Deno.readDirSync(source)].sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const { name, isDirectory, isSymlink } of entries) {
    if (count === 0) break;
    const from = `${source}/${name}`;
    const to = `${target}/${name}`;
    if (isSymlink) {
      Deno.symlinkSync(Deno.readLinkSync(from), to);
    } else if (isDirectory) {
      Deno.mkdirSync(to);
      count = copyTree(from, to, count);
    } else {
      Deno.copyFileSync(from, to);
      count--;
    }
  }
  return count;
}

/** Every mebibyte differs from the others: no layer below can take two of them for one. */
function writeBigFile(path: string, mebibytes: number): void {
  using file = Deno.openSync(path, { write: true, createNew: true });
  for (let number = 0; number < mebibytes; number++) {
    const bytes = pattern(number + 1, MIB);
    for (let written = 0; written < MIB;) written += file.writeSync(bytes.subarray(written));
  }
  file.syncSync();
}
