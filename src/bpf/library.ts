/**
 * libbpf by foreign function interface: versions 1.2 to 1.7 of soname libbpf.so.1. Of its structures
 * only the skeleton's are written (skeleton.ts); all else are opaque pointers.
 */

import { embeddedLibrary, type LibraryName } from "../sys/embedded.ts";
import { fail, messageOf } from "../sys/fs_error.ts";
import { memoryFile } from "../sys/files.ts";
import { lastErrno } from "../sys/libc.ts";
import { LibbpfError, NotSupported } from "./errors.ts";
import { listenTo } from "./print_callback.ts";

const SYMBOLS = {
  libbpf_major_version: { parameters: [], result: "u32" },
  libbpf_minor_version: { parameters: [], result: "u32" },
  libbpf_set_print: { parameters: ["function" /* libbpf_print_fn_t fn */], result: "pointer" },

  bpf_object__open_skeleton: {
    parameters: [
      "pointer", // struct bpf_object_skeleton *s
      "pointer", // const struct bpf_object_open_opts *opts
    ],
    result: "i32",
  },
  bpf_object__load_skeleton: {
    parameters: ["pointer" /* struct bpf_object_skeleton *s */],
    result: "i32",
  },
  bpf_object__destroy_skeleton: {
    parameters: ["pointer" /* struct bpf_object_skeleton *s */],
    result: "void",
  },
  bpf_program__set_log_buf: {
    parameters: [
      "pointer", // struct bpf_program *prog
      "pointer", // char *log_buf
      "usize", // size_t log_size
    ],
    result: "i32",
  },
  bpf_map__initial_value: {
    parameters: [
      "pointer", // const struct bpf_map *map
      "buffer", // size_t *psize
    ],
    result: "pointer", // void *
  },
  bpf_map__fd: { parameters: ["pointer" /* const struct bpf_map *map */], result: "i32" },
  bpf_map__set_max_entries: {
    parameters: [
      "pointer", // struct bpf_map *map
      "u32", // __u32 max_entries
    ],
    result: "i32",
  },
  bpf_map__attach_struct_ops: {
    parameters: ["pointer" /* const struct bpf_map *map */],
    result: "pointer", // struct bpf_link *
  },
  bpf_link__destroy: { parameters: ["pointer" /* struct bpf_link *link */], result: "i32" },

  bpf_map_update_elem: {
    parameters: [
      "i32", // int fd
      "buffer", // const void *key
      "buffer", // const void *value
      "u64", // __u64 flags
    ],
    result: "i32",
  },
  bpf_map_delete_elem: {
    parameters: [
      "i32", // int fd
      "buffer", // const void *key
    ],
    result: "i32",
  },

  btf__load_vmlinux_btf: { parameters: [], result: "pointer" /* struct btf * */ },
  btf__load_module_btf: {
    parameters: [
      "buffer", // const char *module_name
      "pointer", // struct btf *vmlinux_btf
    ],
    result: "pointer", // struct btf *
  },
  btf__type_cnt: { parameters: ["pointer" /* const struct btf *btf */], result: "u32" },
  btf__free: { parameters: ["pointer" /* struct btf *btf */], result: "void" },
  btf_dump__new: {
    parameters: [
      "pointer", // const struct btf *btf
      "function", // btf_dump_printf_fn_t printf_fn
      "pointer", // void *ctx
      "pointer", // const struct btf_dump_opts *opts
    ],
    result: "pointer", // struct btf_dump *
  },
  btf_dump__dump_type: {
    parameters: [
      "pointer", // struct btf_dump *d
      "u32", // __u32 id
    ],
    result: "i32",
  },
  btf_dump__free: { parameters: ["pointer" /* struct btf_dump *d */], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

export type LibbpfSymbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** `.struct_ops.link` sections, whose maps are attached by a link. */
const LINK_SECTIONS_SINCE = 2;
/** struct_ops types that a module defines. */
export const MODULE_TYPES_SINCE = 4;

const SONAME = "libbpf.so.1";
/** In the order in which they need each other. */
const EMBEDDED: readonly LibraryName[] = ["libz", "libzstd", "libelf"];

/** An opened libbpf. */
export class Libbpf {
  readonly symbols: LibbpfSymbols;
  /** Such as `1.4`. */
  readonly version: string;
  readonly minor: number;
  /** `embedded`, or the name under which the system had it. */
  readonly origin: string;
  readonly #messages: string[] = [];

  constructor(symbols: LibbpfSymbols, origin: string) {
    this.symbols = symbols;
    this.origin = origin;
    this.minor = symbols.libbpf_minor_version();
    this.version = `${symbols.libbpf_major_version()}.${this.minor}`;
    listenTo(symbols.libbpf_set_print, (line) => this.#messages.push(line));
  }

  /** What libbpf has said since this was asked the last time. */
  takeMessages(): string {
    return this.#messages.splice(0).join("");
  }

  /** The result of a call that returns a negative error number. */
  check(result: number, doing: string): number {
    if (result >= 0) return result;
    throw new LibbpfError(doing, -result, this.takeMessages());
  }

  /** The result of a call that returns NULL and sets errno. */
  checkPointer(result: Deno.PointerValue, doing: string): Deno.PointerObject {
    if (result !== null) return result;
    throw new LibbpfError(doing, lastErrno(), this.takeMessages());
  }
}

let library: { readonly choice: string; readonly libbpf: Libbpf } | undefined;

/**
 * Opens libbpf: `embedded` (of the executable), `system`, or a path; `auto` is the embedded one,
 * else the system's. Throws {@linkcode NotSupported} when there is none that can be used.
 */
export function openLibbpf(choice = "auto"): Libbpf {
  if (library?.choice !== choice) library = { choice, libbpf: open(choice) };
  return library.libbpf;
}

function open(choice: string): Libbpf {
  const libbpf = choice === "auto"
    ? openEmbedded() ?? openFile(SONAME)
    : choice === "embedded"
    ? openEmbedded()
    : openFile(choice === "system" ? SONAME : choice);
  if (libbpf === undefined) {
    throw new NotSupported(`no libbpf (${choice})`, "install libbpf1, version 1.4 or newer");
  }
  if (libbpf.minor < LINK_SECTIONS_SINCE) {
    throw new NotSupported(
      `libbpf ${libbpf.version} (${libbpf.origin}) is too old`,
      `links of struct_ops need 1.${LINK_SECTIONS_SINCE}, those of modules 1.${MODULE_TYPES_SINCE}`,
    );
  }
  return libbpf;
}

function openEmbedded(): Libbpf | undefined {
  const bytes = embeddedLibrary("libbpf");
  if (bytes === undefined) return undefined;
  for (const name of EMBEDDED) {
    const needed = embeddedLibrary(name);
    // The loader knows an open library by the soname in it, wherever its file is.
    if (needed !== undefined) Deno.dlopen(memoryFile(name, needed).path, {});
  }
  return new Libbpf(Deno.dlopen(memoryFile("libbpf", bytes).path, SYMBOLS).symbols, "embedded");
}

function openFile(name: string): Libbpf | undefined {
  try {
    return new Libbpf(Deno.dlopen(name, SYMBOLS).symbols, name);
  } catch (error) {
    if (name === SONAME) return undefined;
    throw fail("ENOENT", `Cannot open ${name}: ${messageOf(error)}`);
  }
}
