/** The two maps of the program `extents`, with the table that is kept in them. */

import { SharedMapping } from "../sys/c_memory.ts";
import { close, duplicate } from "../sys/files.ts";
import { ExtentTable, type RunIndex, SLOT_SIZE } from "./extent_table.ts";
import type { Libbpf } from "./library.ts";
import type { LoadedObject } from "./loader.ts";

/** As in bpf/extents.bpf.c. */
const SLOTS = 65536;
const FILES = 8192;
const PAGE_SIZE = 4096;

export interface ExtentMaps extends Disposable {
  readonly table: ExtentTable;
}

/** The maps stay usable when `loaded` is gone. */
export function openExtentMaps(libbpf: Libbpf, loaded: LoadedObject, device: number): ExtentMaps {
  using cleanup = new DisposableStack();
  const size = Math.ceil(SLOTS * SLOT_SIZE / PAGE_SIZE) * PAGE_SIZE;
  const slots = cleanup.use(new SharedMapping(loaded.mapDescriptor("slots"), size));
  const files = cleanup.adopt(duplicate(loaded.mapDescriptor("files")), close);
  const table = new ExtentTable(slots.memory, new KernelRunIndex(libbpf, files), device, {
    files: FILES,
  });
  const kept = cleanup.move();
  return { table, [Symbol.dispose]: () => kept.dispose() };
}

const BPF_ANY = 0n;

/** The hash map `files`: u64 nodeid -> struct extent_run. */
class KernelRunIndex implements RunIndex {
  readonly #libbpf: Libbpf;
  readonly #descriptor: number;
  readonly #key = new DataView(new ArrayBuffer(8));
  readonly #keyBytes = new Uint8Array(this.#key.buffer);
  readonly #value = new DataView(new ArrayBuffer(8));
  readonly #valueBytes = new Uint8Array(this.#value.buffer);

  constructor(libbpf: Libbpf, descriptor: number) {
    this.#libbpf = libbpf;
    this.#descriptor = descriptor;
  }

  set(nodeId: number, first: number, count: number): void {
    this.#setKey(nodeId);
    this.#value.setUint32(0, first, true);
    this.#value.setUint32(4, count, true);
    this.#libbpf.check(
      this.#libbpf.symbols.bpf_map_update_elem(
        this.#descriptor,
        this.#keyBytes,
        this.#valueBytes,
        BPF_ANY,
      ),
      `publish extents of node ${nodeId}`,
    );
  }

  /** The slots say already that they mean nothing, so that it does not matter if this fails. */
  delete(nodeId: number): void {
    this.#setKey(nodeId);
    this.#libbpf.symbols.bpf_map_delete_elem(this.#descriptor, this.#keyBytes);
  }

  #setKey(nodeId: number): void {
    this.#key.setBigUint64(0, BigInt(nodeId), true);
  }
}
