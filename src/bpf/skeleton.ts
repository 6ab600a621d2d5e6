/**
 * struct bpf_object_skeleton, as `bpftool gen skeleton` would write it in C, but built at run time
 * for an object whose programs and maps have just been read from it.
 *
 *     bpf_object_skeleton --maps--> bpf_map_skeleton[]  --name--> "demo_ops"
 *             |    |                        `-map--> cell: struct bpf_map *, which libbpf fills in
 *             |    `------progs--> bpf_prog_skeleton[] (likewise)
 *             `--data--> the object file;  --obj--> cell: struct bpf_object *
 *
 * bpf_object__destroy_skeleton() frees the three structures with free(), so each is a block of the
 * C allocator. What they point to (names, cells, the file) is one more block, which is ours.
 */

import { addressOf, allocate, type CBlock, release } from "../sys/c_memory.ts";
import { struct, u32, u64 } from "../disk/struct.ts";
import type { Libbpf } from "./library.ts";
import type { BpfObject } from "./object.ts";

const BpfObjectSkeleton = struct("bpf_object_skeleton", 72, {
  sz: u64,
  name: u64,
  data: u64,
  data_sz: u64,
  obj: u64,
  map_cnt: u32,
  map_skel_sz: u32,
  maps: u64,
  prog_cnt: u32,
  prog_skel_sz: u32,
  progs: u64,
});

const BpfMapSkeleton = struct("bpf_map_skeleton", 24, { name: u64, map: u64, mmaped: u64 });
/** Since libbpf 1.5 there is a member `link` at the end. */
const BPF_MAP_SKELETON_WITH_LINK = 32;
const LINK_MEMBER_SINCE = 5;

const BpfProgSkeleton = struct("bpf_prog_skeleton", 24, { name: u64, prog: u64, link: u64 });

const POINTER_SIZE = 8;
const ALIGNMENT = 8;

/** Bytes from one bpf_map_skeleton to the next, as this libbpf has them. */
export function mapStride(libbpfMinor: number): number {
  return libbpfMinor >= LINK_MEMBER_SINCE ? BPF_MAP_SKELETON_WITH_LINK : BpfMapSkeleton.byteLength;
}

/** A skeleton in C memory. Dispose of it: libbpf then closes what was opened with it. */
export class Skeleton implements Disposable {
  readonly #libbpf: Libbpf;
  readonly #skeleton: CBlock;
  /** Names, the file, and cells that libbpf writes pointers to. */
  readonly #store: Store;
  readonly #mapCells = new Map<string, number>();
  readonly #programCells = new Map<string, number>();
  #isDestroyed = false;

  constructor(libbpf: Libbpf, object: BpfObject) {
    this.#libbpf = libbpf;
    const { maps, programs } = object;
    this.#store = new Store(storeSize(object));
    this.#skeleton = allocate(BpfObjectSkeleton.byteLength);
    const { view } = this.#skeleton;
    const stride = mapStride(libbpf.minor);
    const store = this.#store;
    BpfObjectSkeleton.sz.set(view, 0, BpfObjectSkeleton.byteLength);
    setPointer(view, BpfObjectSkeleton.name, 0, store.text(objectName(object.name)));
    setPointer(view, BpfObjectSkeleton.data, 0, store.add(object.bytes));
    BpfObjectSkeleton.data_sz.set(view, 0, object.bytes.length);
    setPointer(view, BpfObjectSkeleton.obj, 0, store.cell().address);

    const mapBlock = allocate(Math.max(1, maps.length) * stride);
    BpfObjectSkeleton.map_cnt.set(view, 0, maps.length);
    BpfObjectSkeleton.map_skel_sz.set(view, 0, stride);
    setPointer(view, BpfObjectSkeleton.maps, 0, addressOf(mapBlock.pointer));
    maps.forEach(({ name }, index) => {
      const at = index * stride;
      const cell = store.cell();
      setPointer(mapBlock.view, BpfMapSkeleton.name, at, store.text(name));
      setPointer(mapBlock.view, BpfMapSkeleton.map, at, cell.address);
      // The link is never asked for, but libbpf 1.5 writes through this pointer all the same.
      if (stride > BpfMapSkeleton.byteLength) {
        mapBlock.view.setBigUint64(at + BpfMapSkeleton.byteLength, store.cell().address, true);
      }
      this.#mapCells.set(name, cell.offset);
    });

    const programBlock = allocate(Math.max(1, programs.length) * BpfProgSkeleton.byteLength);
    BpfObjectSkeleton.prog_cnt.set(view, 0, programs.length);
    BpfObjectSkeleton.prog_skel_sz.set(view, 0, BpfProgSkeleton.byteLength);
    setPointer(view, BpfObjectSkeleton.progs, 0, addressOf(programBlock.pointer));
    programs.forEach(({ name }, index) => {
      const at = index * BpfProgSkeleton.byteLength;
      const cell = store.cell();
      setPointer(programBlock.view, BpfProgSkeleton.name, at, store.text(name));
      setPointer(programBlock.view, BpfProgSkeleton.prog, at, cell.address);
      setPointer(programBlock.view, BpfProgSkeleton.link, at, store.cell().address);
      this.#programCells.set(name, cell.offset);
    });
  }

  /** `struct bpf_object_skeleton *` */
  get pointer(): Deno.PointerObject {
    return this.#skeleton.pointer;
  }

  /** `struct bpf_map *`; the skeleton must have been opened. */
  map(name: string): Deno.PointerObject {
    return this.#store.pointerIn(this.#mapCells.get(name), `map ${name}`);
  }

  /** `struct bpf_program *`; the skeleton must have been opened. */
  program(name: string): Deno.PointerObject {
    return this.#store.pointerIn(this.#programCells.get(name), `program ${name}`);
  }

  [Symbol.dispose](): void {
    if (this.#isDestroyed) return;
    this.#isDestroyed = true;
    this.#libbpf.symbols.bpf_object__destroy_skeleton(this.#skeleton.pointer);
    this.#store[Symbol.dispose]();
  }
}

/** Pieces of one C block, given out one after the other. */
class Store implements Disposable {
  readonly #block: CBlock;
  #used = 0;

  constructor(size: number) {
    this.#block = allocate(size);
  }

  /** Copies bytes into the block; their address. */
  add(bytes: Uint8Array): bigint {
    const offset = this.#take(bytes.length);
    this.#block.bytes.set(bytes, offset);
    return this.#address(offset);
  }

  text(text: string): bigint {
    return this.add(new TextEncoder().encode(`${text}\0`));
  }

  /** Room for a pointer, NULL at first. */
  cell(): { readonly offset: number; readonly address: bigint } {
    const offset = this.#take(POINTER_SIZE);
    return { offset, address: this.#address(offset) };
  }

  pointerIn(cell: number | undefined, what: string): Deno.PointerObject {
    const address = cell === undefined ? 0n : this.#block.view.getBigUint64(cell, true);
    const pointer = Deno.UnsafePointer.create(address);
    if (pointer === null) throw new Error(`The skeleton has no ${what}`);
    return pointer;
  }

  [Symbol.dispose](): void {
    release(this.#block);
  }

  #take(size: number): number {
    const offset = this.#used;
    this.#used += alignUp(size);
    return offset;
  }

  #address(offset: number): bigint {
    return addressOf(this.#block.pointer) + BigInt(offset);
  }
}

/** At least what the constructor takes: three pointers for each map and program, names, the file. */
function storeSize({ name, bytes, maps, programs }: BpfObject): number {
  const texts = [objectName(name), ...maps.map(({ name }) => name), ...programs.map((p) => p.name)];
  return texts.reduce(
    (size, text) => size + alignUp(new TextEncoder().encode(text).length + 1) + 3 * POINTER_SIZE,
    alignUp(bytes.length) + POINTER_SIZE,
  );
}

/** What the kernel shows as the object's name: the file's, as far as it is an identifier. */
function objectName(path: string): string {
  return (path.split("/").at(-1) ?? "").replace(/\..*$/, "").replace(/\W/g, "_");
}

function alignUp(size: number): number {
  return Math.ceil(size / ALIGNMENT) * ALIGNMENT;
}

/** Addresses do not fit a number. */
function setPointer(
  view: DataView,
  field: { readonly offset: number },
  at: number,
  address: bigint,
): void {
  view.setBigUint64(at + field.offset, address, true);
}
