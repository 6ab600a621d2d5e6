/**
 * Extent trees: where a file block is, and all of them in order.
 *
 *     i_block:  header depth 1 | index 0 -> block 700 | index 5000 -> block 701 |
 *     block 700:  header depth 0 | extent 0..99 at 2000 | extent 300..310 at 2500 | ... | tail
 */

import {
  childNode,
  entryCount,
  extentAt,
  type ExtentNode,
  type ExtentRun,
  keyAt,
  lastEntryUpTo,
  rootNode,
} from "./extent_node.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import type { Mapping } from "./block_map.ts";

export type { ExtentRun } from "./extent_node.ts";

/** {@linkcode mapBlocks} for an inode with an extent tree. */
export function mapExtents(
  fs: FileSystem,
  inode: Inode,
  fileBlock: number,
  count: number,
): Mapping {
  let node = rootNode(inode);
  while (node.depth > 0) {
    const entry = lastEntryUpTo(node, fileBlock);
    if (entry < 0) return hole(fileBlock, Math.min(count, keyAt(node, 0) - fileBlock));
    node = childNode(fs, inode, node, entry);
  }
  const entry = lastEntryUpTo(node, fileBlock);
  if (entry >= 0) {
    const run = extentAt(node, entry);
    const into = fileBlock - run.fileBlock;
    if (into < run.count) {
      return {
        kind: run.unwritten ? "unwritten" : "mapped",
        fileBlock,
        physicalBlock: run.physicalBlock + into,
        count: Math.min(count, run.count - into),
      };
    }
  }
  const next = entry + 1 < entryCount(node) ? keyAt(node, entry + 1) : node.end;
  return hole(fileBlock, Math.min(count, next - fileBlock));
}

/** All extents of the file in order. Each node of the tree is visited once. */
export function* extentRuns(fs: FileSystem, inode: Inode): Generator<ExtentRun> {
  yield* runsBelow(fs, inode, rootNode(inode));
}

function* runsBelow(fs: FileSystem, inode: Inode, node: ExtentNode): Generator<ExtentRun> {
  for (let entry = 0; entry < entryCount(node); entry++) {
    if (node.depth === 0) yield extentAt(node, entry);
    else yield* runsBelow(fs, inode, childNode(fs, inode, node, entry));
  }
}

function hole(fileBlock: number, count: number): Mapping {
  return { kind: "hole", fileBlock, physicalBlock: 0, count };
}
