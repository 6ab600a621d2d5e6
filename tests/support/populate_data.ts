/** File content for {@linkcode populate}: holes, unwritten extents, deep trees, the largest sizes. */

import {
  fallocate,
  fsync,
  ftruncate,
  link,
  mkdir,
  type Path,
  pwrite,
  SystemError,
  withFile,
} from "./libc.ts";
import type { Contents } from "./populate.ts";

/** Bytes that look like chance and depend on the seed only (xorshift32). */
export function pattern(seed: number, length: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = (seed * 2654435761 + 1) >>> 0 || 1;
  for (let index = 0; index < words.length; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
  return new Uint8Array(words.buffer, 0, length);
}

export function writeFile(path: Path, bytes: Uint8Array<ArrayBuffer>): void {
  withFile(path, (fd) => pwrite(fd, bytes, 0));
}

export function populateData(dir: string, contents: Contents): void {
  populateSizes(dir, contents);
  populateHoles(dir, contents);
  populateFragments(dir, contents);
  if (contents.extents) populateUnwritten(dir, contents);
  if (contents.hugeFiles) populateHuge(dir, contents);
}

/** Sizes around those that inline data and blocks end at. */
function populateSizes(dir: string, { blockSize }: Contents): void {
  mkdir(`${dir}/sizes`);
  const sizes = [1, 59, 60, 61, 100, 156, 157, 160, 300, blockSize - 1, blockSize, blockSize + 1];
  for (const size of [...sizes, 12 * blockSize, 12 * blockSize + 1, 300_001]) {
    writeFile(`${dir}/sizes/${size}`, pattern(size, size));
  }
  link(`${dir}/sizes/1`, `${dir}/another-name`);
}

/** Pieces of data at the edges of what direct, single, double and triple indirect blocks reach. */
function populateHoles(dir: string, { blockSize, hugeFiles }: Contents): void {
  const perBlock = blockSize / 4;
  const single = 12 + perBlock;
  const double = single + perBlock ** 2;
  const edges = [0, 5, 11, 12, 13, single - 1, single, single + perBlock - 1, single + perBlock];
  const far = [double - 1, double, double + 1, double + perBlock ** 2];
  withFile(`${dir}/sparse`, (fd) => {
    for (const block of hugeFiles ? [...edges, ...far] : edges) {
      pwriteIfPossible(fd, pattern(block, blockSize), block * blockSize);
    }
  });
  withFile(`${dir}/hole-at-start`, (fd) => pwrite(fd, pattern(3, 100), 40 * blockSize + 17));
  withFile(`${dir}/hole-at-end`, (fd) => {
    pwrite(fd, pattern(4, 3 * blockSize), 0);
    ftruncate(fd, 50 * blockSize + 5);
  });
  withFile(`${dir}/only-hole`, (fd) => ftruncate(fd, 1_000_003));
  withFile(`${dir}/zeros`, (fd) => pwrite(fd, new Uint8Array(8 * blockSize), 0));
}

/** Every other block: no two can share an extent, so the tree grows deep. */
function populateFragments(dir: string, { blockSize, fragments }: Contents): void {
  withFile(`${dir}/fragments`, (fd) => {
    for (let index = 0; index < fragments; index++) {
      pwrite(fd, pattern(index, blockSize), 2 * index * blockSize);
    }
  });
}

function populateUnwritten(dir: string, { blockSize }: Contents): void {
  withFile(`${dir}/unwritten`, (fd) => fallocate(fd, 0, 40 * blockSize));
  withFile(`${dir}/unwritten-and-written`, (fd) => {
    fallocate(fd, 0, 60 * blockSize);
    // Written behind the disk's back, the extent would not be split.
    for (const block of [3, 4, 20, 59]) pwrite(fd, pattern(block, blockSize), block * blockSize);
    pwrite(fd, pattern(9, 10), 30 * blockSize + 100);
    fsync(fd);
  });
  withFile(`${dir}/beyond-the-end`, (fd) => {
    pwrite(fd, pattern(5, 100), 0);
    fallocate(fd, 0, 30 * blockSize, true);
  });
  withFile(`${dir}/many-unwritten`, (fd) => {
    for (let index = 0; index < 200; index++) fallocate(fd, index * 3 * blockSize, blockSize);
  });
}

/** The largest file that is allowed, with data at its very end, and some of the sizes below. */
function populateHuge(dir: string, { blockSize }: Contents): void {
  withFile(`${dir}/largest`, (fd) => {
    let possible = 0;
    let impossible = 2 ** 53 - 2 ** 17;
    while (impossible - possible > 1) {
      const middle = possible + Math.floor((impossible - possible) / 2);
      if (truncates(fd, middle)) possible = middle;
      else impossible = middle;
    }
    ftruncate(fd, 0);
    ftruncate(fd, possible);
    // The last block of all has a number that the tree cannot end behind; some kernels refuse it.
    pwriteIfPossible(fd, pattern(6, 1000), possible - 1000);
    pwriteIfPossible(fd, pattern(7, 1000), Math.floor(possible / 2 / blockSize) * blockSize);
  });
  for (const size of [2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 40 + 1]) {
    withFile(`${dir}/size-${size}`, (fd) => {
      if (!truncates(fd, size)) return;
      pwriteIfPossible(fd, pattern(8, 10), size - 10);
    });
  }
}

function truncates(fd: number, size: number): boolean {
  return succeeds(() => ftruncate(fd, size));
}

function pwriteIfPossible(fd: number, bytes: Uint8Array<ArrayBuffer>, position: number): void {
  succeeds(() => pwrite(fd, bytes, position));
}

/** False for what the limits on the size of a file forbid. */
function succeeds(action: () => void): boolean {
  try {
    action();
    return true;
  } catch (error) {
    if (error instanceof SystemError && (error.code === "EFBIG" || error.code === "EINVAL")) {
      return false;
    }
    throw error;
  }
}
