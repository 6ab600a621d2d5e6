/** `fuse4fs extents`: where the data of a file lies, as `filefrag -v` tells of a mounted one. */

import { I_BLOCK_SIZE } from "../disk/inode.ts";
import type { FileSystem } from "../ext4/filesystem.ts";
import type { Inode } from "../ext4/inode/inode.ts";
import { mapBlocks, type Mapping, MAX_FILE_BLOCKS } from "../ext4/map/block_map.ts";
import { findInode, type ImageCommandOptions, withFileSystem } from "./image_access.ts";
import { printJson } from "./json.ts";
import { printLine } from "./output.ts";

export function extents(image: string, path: string, options: ImageCommandOptions): void {
  withFileSystem(image, options, (fs) => {
    const inode = findInode(fs, path, true);
    const found = [...fileExtents(fs, inode)];
    if (options.json) {
      printJson({
        path,
        ino: inode.ino,
        size: inode.size,
        blockSize: fs.blockSize,
        extents: found.map(({ kind, fileBlock, physicalBlock, count }) =>
          kind === "inline" ? { kind } : { kind, fileBlock, physicalBlock, count }
        ),
      });
    } else {
      printExtents(fs, path, inode, found);
    }
  });
}

/** The extents of a file, with those that lie behind its end, without its holes. */
function* fileExtents(fs: FileSystem, inode: Inode): Generator<Mapping> {
  if (inode.hasInlineData) {
    yield mapBlocks(fs, inode, 0, 1);
    return;
  }
  if (!hasBlocks(inode)) return;
  const end = inode.usesExtents ? MAX_FILE_BLOCKS : Math.ceil(inode.size / fs.blockSize);
  for (let fileBlock = 0; fileBlock < end;) {
    const mapping = mapBlocks(fs, inode, fileBlock, end - fileBlock);
    if (mapping.kind !== "hole") yield mapping;
    fileBlock += mapping.count;
  }
}

/** Devices, pipes, and symbolic links that fit into the inode, have none. */
function hasBlocks(inode: Inode): boolean {
  return inode.isRegular || inode.isDirectory || (inode.isSymlink && inode.size >= I_BLOCK_SIZE);
}

const HEADINGS = ["ext", "file blocks", "physical blocks", "length", "expected", "flags"];

function printExtents(
  fs: FileSystem,
  path: string,
  inode: Inode,
  found: readonly Mapping[],
): void {
  const blocks = Math.ceil(inode.size / fs.blockSize);
  printLine(`${path}: ${inode.size} bytes in ${blocks} blocks of ${fs.blockSize} bytes`);
  const rows = found.map((extent, index) => extentCells(extent, index, found, blocks));
  const widths = HEADINGS.map((heading, column) =>
    rows.reduce((width, row) => Math.max(width, row[column].length), heading.length)
  );
  for (const row of rows.length === 0 ? [] : [HEADINGS, ...rows]) {
    printLine(row.map((cell, column) => cell.padStart(widths[column])).join("  "));
  }
  const runs = found.filter((extent, index) => !continues(extent, found[index - 1])).length;
  printLine(`${runs} contiguous ${runs === 1 ? "run" : "runs"}`);
}

function extentCells(
  extent: Mapping,
  index: number,
  found: readonly Mapping[],
  blocks: number,
): string[] {
  const { kind, fileBlock, physicalBlock, count } = extent;
  const isLast = index === found.length - 1;
  if (kind === "inline") return [String(index), "", "", "", "", "inline"];
  const previous = found[index - 1];
  const isExpected = index === 0 || continues(extent, previous);
  const flags = [
    kind === "unwritten" ? "unwritten" : "",
    isLast ? "last" : "",
    fileBlock + count >= blocks ? "eof" : "",
  ];
  return [
    String(index),
    `${fileBlock}..${fileBlock + count - 1}`,
    `${physicalBlock}..${physicalBlock + count - 1}`,
    String(count),
    isExpected ? "" : String(previous.physicalBlock + previous.count),
    flags.filter((flag) => flag !== "").join(","),
  ];
}

/** True when an extent begins on the disk where the one before it ends. */
function continues(extent: Mapping, previous: Mapping | undefined): boolean {
  return previous !== undefined && extent.kind !== "inline" &&
    previous.physicalBlock + previous.count === extent.physicalBlock;
}
