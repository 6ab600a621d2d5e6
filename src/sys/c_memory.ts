/**
 * Memory that is not JavaScript's: of the C allocator, for structures that a C library keeps or
 * frees itself, and of files that are mapped. What only one call reads is better off in an ordinary
 * Uint8Array.
 */

import { errnoWords } from "./errno.ts";
import { fail, FsError } from "./fs_error.ts";
import { lastErrno } from "./libc.ts";

const SYMBOLS = {
  calloc: {
    parameters: [
      "usize", // size_t nmemb
      "usize", // size_t size
    ],
    result: "pointer",
  },
  free: { parameters: ["pointer" /* void *ptr */], result: "void" },
  mmap: {
    parameters: [
      "pointer", // void *addr
      "usize", // size_t length
      "i32", // int prot
      "i32", // int flags
      "i32", // int fd
      "i64", // off_t offset
    ],
    result: "pointer",
  },
  munmap: {
    parameters: [
      "pointer", // void *addr
      "usize", // size_t length
    ],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

let opened: Deno.DynamicLibrary<typeof SYMBOLS> | undefined;

function allocator(): Deno.DynamicLibrary<typeof SYMBOLS>["symbols"] {
  opened ??= Deno.dlopen("libc.so.6", SYMBOLS);
  return opened.symbols;
}

/** A zeroed block. `bytes` and `view` are the memory itself: neither may be used after its end. */
export interface CBlock {
  readonly pointer: Deno.PointerObject;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
}

/** calloc(3). Throws ENOMEM. */
export function allocate(size: number): CBlock {
  const pointer = allocator().calloc(1n, BigInt(size));
  if (pointer === null) throw fail("ENOMEM", `Cannot allocate ${size} bytes`);
  const memory = Deno.UnsafePointerView.getArrayBuffer(pointer, size);
  return { pointer, bytes: new Uint8Array(memory), view: new DataView(memory) };
}

/** free(3), for a block that no C library has freed. */
export function release(block: CBlock): void {
  allocator().free(block.pointer);
}

/** The address as C keeps it in a structure; 0 is NULL. */
export function addressOf(pointer: Deno.PointerValue): bigint {
  return Deno.UnsafePointer.value(pointer);
}

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

/** Memory shared with whoever else has the file. `memory` may not be used after the end of it. */
export class SharedMapping implements Disposable {
  readonly memory: ArrayBuffer;
  #pointer: Deno.PointerValue;

  /**
   * mmap(2) of the first `size` bytes of a descriptor, which may be closed afterwards. Throws FsError.
   */
  constructor(fd: number, size: number) {
    const pointer = allocator().mmap(
      null,
      BigInt(size),
      PROT_READ | PROT_WRITE,
      MAP_SHARED,
      fd,
      0n,
    );
    if (pointer === null || addressOf(pointer) === MAP_FAILED) {
      const errno = lastErrno();
      throw new FsError(errno, `Cannot map ${size} bytes: ${errnoWords(errno)}`);
    }
    this.#pointer = pointer;
    this.memory = Deno.UnsafePointerView.getArrayBuffer(pointer, size);
  }

  [Symbol.dispose](): void {
    if (this.#pointer === null) return;
    allocator().munmap(this.#pointer, BigInt(this.memory.byteLength));
    this.#pointer = null;
  }
}
