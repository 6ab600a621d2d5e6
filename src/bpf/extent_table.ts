/**
 * The extents of recently opened files, where the program `extents` (bpf/extents.bpf.c) finds them.
 * The kernel then answers reads, FIEMAP and SEEK_DATA of these files without asking the server.
 *
 *     index: nodeid -> run        slots: ... | extent | extent | extent | ...
 *                       `-- first, count ------^^^^^^^^^^^^^^^^^ by offset, without overlap
 *
 * Slots are memory shared with the kernel, where the program reads at any moment. A slot's sequence
 * number is odd while the slot means nothing; it never has the same even value twice. The order:
 *
 *  - publish: number odd; write the extent; number even; when all are: the run into the index.
 *  - withdraw: numbers odd; then the run out of the index; then the slots may serve another file.
 *
 * An extent is withdrawn BEFORE the file system changes it, and published again after. What the
 * program answers from then on is the new state or nothing. An answer that the kernel got before
 * cannot be taken back, but is no danger: the operations that change a file's extents (write,
 * truncate, punch) hold locks of the kernel's inode that keep its readers out meanwhile, and blocks
 * get to another file only after such an operation on the first one.
 */

import { struct, u16, u32, u64 } from "../disk/struct.ts";

/** struct extent_slot of bpf/extents.bpf.c; `sequence` is accessed atomically, and not by this. */
const ExtentSlot = struct("extent_slot", 48, {
  sequence: u64,
  nodeid: u64,
  offset: u64,
  length: u64,
  addr: u64,
  dev: u32,
  type: u16,
  flags: u16,
});

export const SLOT_SIZE = ExtentSlot.byteLength;
const SEQUENCES_PER_SLOT = SLOT_SIZE / 8;

/** fuse_iomap_io.type of what can be published. */
export const ExtentType = { HOLE: 0, MAPPED: 2, UNWRITTEN: 3 } as const;

/** A range of a file. All are bytes. */
export interface PublishedExtent {
  readonly offset: number;
  readonly length: number;
  /** Byte on the device; undefined for a hole. */
  readonly address: number | undefined;
  readonly type: (typeof ExtentType)[keyof typeof ExtentType];
}

/** The map from node ids to runs of slots, in the kernel or in a test. */
export interface RunIndex {
  set(nodeId: number, first: number, count: number): void;
  delete(nodeId: number): void;
}

interface Run {
  readonly first: number;
  readonly count: number;
}

export interface ExtentTableLimits {
  /** Files at most. */
  readonly files: number;
  /** Extents of one file at most; what lies behind is asked of the server. */
  readonly extentsPerFile: number;
}

const DEFAULT_LIMITS: ExtentTableLimits = { files: 8192, extentsPerFile: 4096 };

export class ExtentTable {
  readonly #view: DataView<ArrayBuffer>;
  readonly #sequences: BigUint64Array<ArrayBuffer>;
  readonly #index: RunIndex;
  readonly #device: number;
  readonly #limits: ExtentTableLimits;
  /** In the order of their last use: a Map keeps the order in which keys were added. */
  readonly #runs = new Map<number, Run>();
  readonly #free: FreeRuns;

  /**
   * @param memory the slots
   * @param device device cookie of the extents
   */
  constructor(
    memory: ArrayBuffer,
    index: RunIndex,
    device: number,
    limits: Partial<ExtentTableLimits> = {},
  ) {
    const slots = Math.floor(memory.byteLength / SLOT_SIZE);
    this.#view = new DataView(memory);
    this.#sequences = new BigUint64Array(memory, 0, slots * SEQUENCES_PER_SLOT);
    this.#index = index;
    this.#device = device;
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
    this.#free = new FreeRuns(slots);
  }

  /** True for a file of which something is published. Counts as a use of it. */
  has(nodeId: number): boolean {
    const run = this.#runs.get(nodeId);
    if (run === undefined) return false;
    this.#runs.delete(nodeId);
    this.#runs.set(nodeId, run);
    return true;
  }

  /**
   * Makes these the file's extents. They are in ascending order and do not overlap; between them
   * and behind them, the kernel asks the server. Files that were not used for long make room.
   */
  publish(nodeId: number, extents: readonly PublishedExtent[]): void {
    this.withdraw(nodeId);
    const count = Math.min(extents.length, this.#limits.extentsPerFile);
    if (count === 0) return;
    const first = this.#makeRoom(count);
    if (first === undefined) return;
    for (let index = 0; index < count; index++) this.#write(first + index, nodeId, extents[index]);
    this.#index.set(nodeId, first, count);
    this.#runs.set(nodeId, { first, count });
  }

  /** The file's extents are about to change, or the kernel has forgotten the file. */
  withdraw(nodeId: number): void {
    const run = this.#runs.get(nodeId);
    if (run === undefined) return;
    for (let slot = run.first; slot < run.first + run.count; slot++) this.#invalidate(slot);
    this.#index.delete(nodeId);
    this.#runs.delete(nodeId);
    this.#free.give(run);
  }

  /**
   * The file's extents in this range, in bytes, are about to change. Others stay published. False
   * when nothing of the file is.
   */
  withdrawRange(nodeId: number, offset: number, length: number): boolean {
    const run = this.#runs.get(nodeId);
    if (run === undefined) return false;
    const last = run.first + run.count;
    for (let slot = this.#firstBehind(run, offset); slot < last; slot++) {
      if (ExtentSlot.offset.get(this.#view, slot * SLOT_SIZE) >= offset + length) break;
      this.#invalidate(slot);
    }
    return true;
  }

  /** The first slot of a run whose extent ends behind this byte. */
  #firstBehind({ first, count }: Run, offset: number): number {
    let low = first;
    let high = first + count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const at = middle * SLOT_SIZE;
      const start = ExtentSlot.offset.get(this.#view, at);
      if (start + ExtentSlot.length.get(this.#view, at) <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** First slot of a free run, or undefined when even an empty table would have none. */
  #makeRoom(count: number): number | undefined {
    const room = this.#runs.size < this.#limits.files ? this.#free.take(count) : undefined;
    if (room !== undefined) return room;
    for (const leastRecent of [...this.#runs.keys()]) {
      this.withdraw(leastRecent);
      const first = this.#free.take(count);
      if (first !== undefined) return first;
    }
    return undefined;
  }

  #write(slot: number, nodeId: number, extent: PublishedExtent): void {
    const at = slot * SLOT_SIZE;
    const view = this.#view;
    const odd = this.#invalidate(slot);
    ExtentSlot.nodeid.set(view, at, nodeId);
    ExtentSlot.offset.set(view, at, extent.offset);
    ExtentSlot.length.set(view, at, extent.length);
    const isHole = extent.address === undefined;
    view.setBigUint64(
      at + ExtentSlot.addr.offset,
      isHole ? NO_ADDRESS : BigInt(extent.address),
      true,
    );
    ExtentSlot.dev.set(view, at, isHole ? 0 : this.#device);
    ExtentSlot.type.set(view, at, extent.type);
    ExtentSlot.flags.set(view, at, 0);
    Atomics.store(this.#sequences, slot * SEQUENCES_PER_SLOT, odd + 1n);
  }

  /** Makes the number odd, if it is not. Atomic operations keep their place among other writes. */
  #invalidate(slot: number): bigint {
    const at = slot * SEQUENCES_PER_SLOT;
    const odd = Atomics.load(this.#sequences, at) | 1n;
    Atomics.store(this.#sequences, at, odd);
    return odd;
  }
}

const NO_ADDRESS = 0xffff_ffff_ffff_ffffn;

/** Which slots are free, as runs in ascending order that do not touch. */
class FreeRuns {
  readonly #runs: { first: number; count: number }[];

  constructor(slots: number) {
    this.#runs = slots === 0 ? [] : [{ first: 0, count: slots }];
  }

  /** Takes the first run that is long enough. */
  take(count: number): number | undefined {
    const index = this.#runs.findIndex((run) => run.count >= count);
    if (index < 0) return undefined;
    const run = this.#runs[index];
    const { first } = run;
    if (run.count === count) {
      this.#runs.splice(index, 1);
    } else {
      run.first += count;
      run.count -= count;
    }
    return first;
  }

  give({ first, count }: Run): void {
    let index = this.#runs.findIndex((run) => run.first > first);
    if (index < 0) index = this.#runs.length;
    const before = this.#runs[index - 1];
    const after = this.#runs[index];
    const joinsBefore = before !== undefined && before.first + before.count === first;
    const joinsAfter = after !== undefined && first + count === after.first;
    if (joinsBefore) {
      before.count += count + (joinsAfter ? after.count : 0);
      if (joinsAfter) this.#runs.splice(index, 1);
    } else if (joinsAfter) {
      after.first = first;
      after.count += count;
    } else {
      this.#runs.splice(index, 0, { first, count });
    }
  }
}
