/**
 * The life of a BPF object: open, set initial values, load, attach.
 *
 *     const loaded = LoadedObject.load(libbpf, object, { structOps: { demo_ops: { fuse_fd: 7 } } });
 *     const link = loaded.attach("demo_ops");   // the kernel calls the programs from here on
 *     loaded[Symbol.dispose]();                 // drops the skeleton; the link goes on
 *     link[Symbol.dispose]();                   // detaches
 *
 * Each step is done only when the one before was: libbpf does not survive to be asked to load what
 * could not be opened.
 */

import { allocate, type CBlock, release } from "../sys/c_memory.ts";
import { Errno } from "../sys/errno.ts";
import { requireBpfCapability } from "./capability.ts";
import { SOURCE_NAME } from "./clang.ts";
import { BadObject, LibbpfError, VerifierError } from "./errors.ts";
import type { Libbpf } from "./library.ts";
import type { BpfObject } from "./object.ts";
import { Skeleton } from "./skeleton.ts";

/** For each variable of a struct_ops section: values for its members that are numbers. */
export type InitialValues = Readonly<Record<string, Readonly<Record<string, number>>>>;

export interface LoadOptions {
  readonly structOps?: InitialValues;
  /** Other sizes for maps than the object gives. */
  readonly maxEntries?: Readonly<Record<string, number>>;
}

/** What the verifier may write about one program; it keeps the end when there is more. */
const LOG_SIZE = 1024 * 1024;

/** Programs and maps that are in the kernel. Disposing of it leaves links alone. */
export class LoadedObject implements Disposable {
  readonly #libbpf: Libbpf;
  readonly #object: BpfObject;
  readonly #skeleton: Skeleton;

  private constructor(libbpf: Libbpf, object: BpfObject, skeleton: Skeleton) {
    this.#libbpf = libbpf;
    this.#object = object;
    this.#skeleton = skeleton;
  }

  /**
   * Has the verifier look at all programs, and keeps them in the kernel. Throws NotSupported
   * without the privilege, VerifierError, BadObject, LibbpfError.
   */
  static load(libbpf: Libbpf, object: BpfObject, options: LoadOptions = {}): LoadedObject {
    requireBpfCapability();
    libbpf.takeMessages();
    using cleanup = new DisposableStack();
    const skeleton = cleanup.use(new Skeleton(libbpf, object));
    libbpf.check(
      libbpf.symbols.bpf_object__open_skeleton(skeleton.pointer, null),
      `open ${object.name}`,
    );
    for (const [name, values] of Object.entries(options.structOps ?? {})) {
      setInitialValues(libbpf, object, skeleton, name, values);
    }
    for (const [name, count] of Object.entries(options.maxEntries ?? {})) {
      libbpf.check(
        libbpf.symbols.bpf_map__set_max_entries(skeleton.map(name), count),
        `size map ${name} of ${object.name}`,
      );
    }
    loadSkeleton(libbpf, object, skeleton);
    cleanup.move();
    return new LoadedObject(libbpf, object, skeleton);
  }

  /** Puts a struct_ops to work. Throws LibbpfError with the errno of the kernel's answer. */
  attach(structOps: string): StructOpsLink {
    const map = this.#skeleton.map(structOps);
    const { symbols } = this.#libbpf;
    this.#libbpf.takeMessages();
    const link = this.#libbpf.checkPointer(
      symbols.bpf_map__attach_struct_ops(map),
      `attach ${structOps} of ${this.#object.name}`,
    );
    return new StructOpsLink(this.#libbpf, link);
  }

  /** Descriptor of a map, good until this object is disposed of. */
  mapDescriptor(name: string): number {
    return this.#libbpf.check(
      this.#libbpf.symbols.bpf_map__fd(this.#skeleton.map(name)),
      `find map ${name} of ${this.#object.name}`,
    );
  }

  [Symbol.dispose](): void {
    this.#skeleton[Symbol.dispose]();
  }
}

/** The connection between a struct_ops and what it serves. Disposing of it detaches. */
export class StructOpsLink implements Disposable {
  readonly #libbpf: Libbpf;
  #link: Deno.PointerValue;

  constructor(libbpf: Libbpf, link: Deno.PointerObject) {
    this.#libbpf = libbpf;
    this.#link = link;
  }

  /** Returns when the kernel calls the programs no more. */
  [Symbol.dispose](): void {
    if (this.#link === null) return;
    this.#libbpf.symbols.bpf_link__destroy(this.#link);
    this.#link = null;
  }
}

/** Writes numbers into a struct_ops before it is loaded, at the places that the object's BTF names. */
function setInitialValues(
  libbpf: Libbpf,
  object: BpfObject,
  skeleton: Skeleton,
  name: string,
  values: Readonly<Record<string, number>>,
): void {
  const facts = object.structOps.find((candidate) => candidate.name === name);
  if (facts === undefined) throw new BadObject(object.name, `no struct_ops ${name}`);
  const sizeCell = new BigUint64Array(1);
  const memory = libbpf.checkPointer(
    libbpf.symbols.bpf_map__initial_value(skeleton.map(name), new Uint8Array(sizeCell.buffer)),
    `set up ${name} of ${object.name}`,
  );
  const view = new DataView(Deno.UnsafePointerView.getArrayBuffer(memory, Number(sizeCell[0])));
  for (const [memberName, value] of Object.entries(values)) {
    const member = facts.members.find((candidate) => candidate.name === memberName);
    if (member?.size !== 4 || member.offset + member.size > view.byteLength) {
      throw new BadObject(object.name, `${name} has no 32-bit member ${memberName}`);
    }
    view.setInt32(member.offset, value, true);
  }
}

function loadSkeleton(libbpf: Libbpf, object: BpfObject, skeleton: Skeleton): void {
  using cleanup = new DisposableStack();
  const logs = object.programs.map(({ name }) => {
    const log = cleanup.adopt(allocate(LOG_SIZE), release);
    libbpf.check(
      libbpf.symbols.bpf_program__set_log_buf(
        skeleton.program(name),
        log.pointer,
        BigInt(LOG_SIZE),
      ),
      `prepare program ${name} of ${object.name}`,
    );
    return { name, log };
  });
  const result = libbpf.symbols.bpf_object__load_skeleton(skeleton.pointer);
  if (result >= 0) return;
  const messages = libbpf.takeMessages();
  // libbpf loads one program after the other and stops at the first that fails.
  const rejected = logs.findLast(({ log }) => log.bytes[0] !== 0);
  const isPrivilege = result === -Errno.EPERM && rejected === undefined;
  if (rejected === undefined || isPrivilege) {
    throw new LibbpfError(`load ${object.name}`, -result, messages);
  }
  const log = textOf(rejected.log).replaceAll(SOURCE_NAME, object.name);
  throw new VerifierError(rejected.name, -result, log);
}

function textOf({ bytes }: CBlock): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(bytes.subarray(0, end < 0 ? bytes.length : end));
}
