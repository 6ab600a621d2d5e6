/**
 * Keeps what the BPF program `extents` answers from (src/bpf/extent_table.ts) in step with the file
 * system. A file's extents are published when it is opened, or asked about; then
 *
 *     an operation is about to change a range   its extents are withdrawn, and no sooner does the
 *                                               map change (block_map_write.ts, extents_write.ts)
 *     the changes have settled                  the file is published anew, if it is still known
 *     the kernel forgets the file               all of it is withdrawn
 *
 * Freed blocks get to another file only after all this, and after a commit. What an operation that
 * failed has withdrawn comes back with the others.
 */

import type { ExtentTable, PublishedExtent } from "../bpf/extent_table.ts";
import { ExtentType } from "../bpf/extent_table.ts";
import type { FileSystem } from "../ext4/filesystem.ts";
import type { Inode } from "../ext4/inode/inode.ts";
import { mapBlocks, type Mapping, MAX_FILE_BLOCKS } from "../ext4/map/block_map.ts";
import type { MapObserver } from "../ext4/map/map_observer.ts";
import { indirectBlocks } from "../ext4/map/size_limits.ts";
import { FsError } from "../sys/fs_error.ts";
import type { Timer } from "./loop.ts";
import type { Nodes } from "./nodes.ts";

/** A file that is being written to is not published after every request. */
const SETTLING_MS = 10;
/** Of a file in more pieces, the first ones are published. */
const MOST_EXTENTS = 4096;

export class ExtentPublisher implements MapObserver, Timer, Disposable {
  readonly #fs: FileSystem;
  readonly #nodes: Nodes;
  readonly #table: ExtentTable;
  /** Byte of the registered device at which the file system begins. */
  readonly #start: number;
  readonly #now: () => number;
  #isOver = false;
  /** Node ids of files of which something was withdrawn, and the time of the first of them. */
  readonly #stale = new Set<number>();
  #since = 0;

  constructor(
    fs: FileSystem,
    nodes: Nodes,
    table: ExtentTable,
    now: () => number = () => performance.now(),
  ) {
    this.#fs = fs;
    this.#nodes = nodes;
    this.#table = table;
    this.#start = fs.device.backing?.()?.position ?? 0;
    this.#now = now;
  }

  /** The table may not be touched any more: its memory goes. What happens to files matters to none. */
  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#stale.clear();
  }

  /** The file was opened, or asked about in vain. */
  wanted(inode: Inode): void {
    if (this.#isOver) return;
    const nodeId = this.#nodes.id(inode);
    if (!this.#table.has(nodeId)) this.#publish(nodeId, inode);
  }

  changing(inode: Inode, start: number, end: number): void {
    if (this.#isOver) return;
    const nodeId = this.#nodes.id(inode);
    const { blockSize } = this.#fs;
    if (!this.#table.withdrawRange(nodeId, start * blockSize, (end - start) * blockSize)) return;
    if (this.#stale.size === 0) this.#since = this.#now();
    this.#stale.add(nodeId);
  }

  /** The kernel does not know the file any more. */
  forget(nodeId: number): void {
    if (this.#isOver) return;
    this.#stale.delete(nodeId);
    this.#table.withdraw(nodeId);
  }

  due(): number | undefined {
    if (this.#stale.size === 0) return undefined;
    return Math.max(0, this.#since + SETTLING_MS - this.#now());
  }

  fire(): void {
    for (const nodeId of this.#stale) {
      this.#stale.delete(nodeId);
      try {
        this.#publish(nodeId, this.#nodes.inode(nodeId));
      } catch (error) {
        // It is gone, or damaged: whoever asks will hear of it.
        if (!(error instanceof FsError)) throw error;
        this.#table.withdraw(nodeId);
      }
    }
  }

  #publish(nodeId: number, inode: Inode): void {
    try {
      this.#table.publish(nodeId, this.#extentsOf(inode));
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      this.#table.withdraw(nodeId);
    }
  }

  /** With the holes, of which the last one goes on behind the end of the file. */
  #extentsOf(inode: Inode): PublishedExtent[] {
    const extents: PublishedExtent[] = [];
    if (!inode.isRegular || inode.isEncrypted || inode.hasInlineData) return extents;
    const end = inode.usesExtents ? MAX_FILE_BLOCKS : indirectBlocks(this.#fs.blockSize);
    let block = 0;
    for (let runs = 0; block < end && runs < MOST_EXTENTS; runs++) {
      const mapping = mapBlocks(this.#fs, inode, block, end - block);
      const extent = this.#published(mapping);
      const joined = joinedWith(extents.at(-1), extent);
      if (joined === undefined) extents.push(extent);
      else extents[extents.length - 1] = joined;
      block += mapping.count;
    }
    return extents;
  }

  #published({ kind, fileBlock, physicalBlock, count }: Mapping): PublishedExtent {
    const { blockSize } = this.#fs;
    return {
      offset: fileBlock * blockSize,
      length: count * blockSize,
      address: kind === "hole" ? undefined : this.#start + physicalBlock * blockSize,
      type: kind === "hole"
        ? ExtentType.HOLE
        : kind === "unwritten"
        ? ExtentType.UNWRITTEN
        : ExtentType.MAPPED,
    };
  }
}

/** Two neighbours as one, where they go together: maps of pointers tell of holes piece by piece. */
function joinedWith(
  before: PublishedExtent | undefined,
  { length, address, type }: PublishedExtent,
): PublishedExtent | undefined {
  if (before === undefined || before.type !== type) return undefined;
  const expected = before.address === undefined ? undefined : before.address + before.length;
  return address === expected ? { ...before, length: before.length + length } : undefined;
}
