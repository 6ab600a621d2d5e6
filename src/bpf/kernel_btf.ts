/** The type information of the running kernel and its modules, and what it tells of the interface. */

import { Btf } from "./btf.ts";
import { NotSupported } from "./errors.ts";

const FOLDER = "/sys/kernel/btf";
const KERNEL = "vmlinux";
/** Where the interface is looked for first: FUSE may be a module. */
const FUSE = "fuse";

/** The struct_ops type. The kernel wraps it in one more, under which it is registered. */
export const OPS_TYPE = "fuse_iomap_bpf_ops";
const WRAPPER_TYPE = `bpf_struct_ops_${OPS_TYPE}`;
/** The first argument of programs, which changed while the interface was made. */
const INODE_TYPES = ["fuse_inode", "fuse_bpf_inode"];

/** 1: struct fuse_inode, programs do not sleep. 2: struct fuse_bpf_inode, programs may sleep. */
export type Generation = 1 | 2;

export interface KernelInterface {
  readonly generation: Generation;
  /** `vmlinux`, or the name of the module that has it. */
  readonly module: string;
}

/** The kernel's BTF, or undefined for a kernel that was built without. */
export function readKernelBtf(folder = FOLDER): Btf | undefined {
  const bytes = readIfThere(`${folder}/${KERNEL}`);
  return bytes === undefined ? undefined : new Btf(KERNEL, bytes);
}

/** The same where it must be there. Throws NotSupported. */
export function requireKernelBtf(): Btf {
  const btf = readKernelBtf();
  if (btf !== undefined) return btf;
  throw new NotSupported("the kernel has no BTF", "run one with CONFIG_DEBUG_INFO_BTF");
}

/**
 * The interface that this kernel has, or undefined. It may be in the kernel itself, in the module
 * fuse, or in one of the tests.
 */
export function findKernelInterface(folder = FOLDER): KernelInterface | undefined {
  const kernelBytes = readIfThere(`${folder}/${KERNEL}`);
  if (kernelBytes === undefined) return undefined;
  let kernel: Btf | undefined;
  for (const module of [KERNEL, ...moduleNames(folder)]) {
    const bytes = module === KERNEL ? kernelBytes : readIfThere(`${folder}/${module}`);
    // Most have no such string at all; only then is it worth to look at the types.
    if (bytes === undefined || !contains(bytes, WRAPPER_TYPE)) continue;
    kernel ??= new Btf(KERNEL, kernelBytes);
    const btf = module === KERNEL ? kernel : new Btf(module, bytes, kernel);
    const generation = generationOf(btf);
    if (generation !== undefined) return { generation, module };
  }
  return undefined;
}

/** Undefined when the BTF does not have the interface, or a later one than is known here. */
export function generationOf(btf: Btf): Generation | undefined {
  if (btf.find(WRAPPER_TYPE, "struct") === undefined) return undefined;
  const ops = btf.find(OPS_TYPE, "struct");
  if (ops === undefined) return undefined;
  const begin = btf.members(ops).find(({ name }) => name === "iomap_begin");
  if (begin === undefined) return undefined;
  const inode = btf.resolve(btf.parameters(begin.type).at(0) ?? 0);
  const index = INODE_TYPES.indexOf(btf.nameOf(btf.resolve(btf.target(inode))));
  return index < 0 ? undefined : index === 0 ? 1 : 2;
}

function moduleNames(folder: string): string[] {
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name)
    .filter((name) => name !== KERNEL && name !== FUSE);
  return [FUSE, ...names.sort()];
}

function readIfThere(path: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Deno.readFileSync(path);
  } catch {
    return undefined;
  }
}

/**
 * True when BTF has this string among its own, which are parted by NUL. Horspool's search: from the
 * last byte of where the string could be, the next place follows. A kernel has 5 MB of BTF, and this
 * is done at each mount with a program.
 */
function contains(bytes: Uint8Array, text: string): boolean {
  const wanted = new TextEncoder().encode(`\0${text}\0`);
  const last = wanted.length - 1;
  const skips = new Uint8Array(256).fill(wanted.length);
  for (let index = 0; index < last; index++) skips[wanted[index]] = last - index;
  for (let end = last; end < bytes.length; end += skips[bytes[end]]) {
    let index = last;
    while (index >= 0 && bytes[end - last + index] === wanted[index]) index--;
    if (index < 0) return true;
  }
  return false;
}
