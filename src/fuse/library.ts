/**
 * libfuse3 by foreign function interface. Versions 3.10 and later work, of soname 3 and 4: only
 * calls whose meaning did not change are used, and no structure of libfuse but the few bytes of
 * fuse_args and fuse_buf that are the same in all of them.
 */

import { fail, messageOf } from "../sys/fs_error.ts";
import { embeddedLibrary } from "../sys/embedded.ts";
import { memoryFile } from "../sys/files.ts";

const SYMBOLS = {
  fuse_pkgversion: { parameters: [], result: "pointer" /* const char * */ },
  fuse_session_new: {
    parameters: [
      "buffer", // struct fuse_args *args
      "buffer", // const struct fuse_lowlevel_ops *op
      "usize", // size_t op_size
      "pointer", // void *userdata
    ],
    result: "pointer", // struct fuse_session *
    optional: true,
  },
  // Since 3.17 fuse_session_new is an inline function around this one.
  fuse_session_new_versioned: {
    parameters: [
      "buffer", // struct fuse_args *args
      "buffer", // const struct fuse_lowlevel_ops *op
      "usize", // size_t op_size
      "buffer", // struct libfuse_version *version
      "pointer", // void *userdata
    ],
    result: "pointer", // struct fuse_session *
    optional: true,
  },
  fuse_session_mount: {
    parameters: [
      "pointer", // struct fuse_session *se
      "buffer", // const char *mountpoint
    ],
    result: "i32",
  },
  fuse_session_fd: { parameters: ["pointer" /* struct fuse_session *se */], result: "i32" },
  fuse_session_receive_buf: {
    parameters: [
      "pointer", // struct fuse_session *se
      "buffer", // struct fuse_buf *buf
    ],
    result: "i32",
  },
  fuse_session_exited: { parameters: ["pointer" /* struct fuse_session *se */], result: "i32" },
  fuse_session_reset: { parameters: ["pointer" /* struct fuse_session *se */], result: "void" },
  fuse_session_unmount: { parameters: ["pointer" /* struct fuse_session *se */], result: "void" },
  fuse_session_destroy: { parameters: ["pointer" /* struct fuse_session *se */], result: "void" },
  fuse_set_signal_handlers: {
    parameters: ["pointer" /* struct fuse_session *se */],
    result: "i32",
  },
  fuse_remove_signal_handlers: {
    parameters: ["pointer" /* struct fuse_session *se */],
    result: "void",
  },
} as const satisfies Deno.ForeignLibraryInterface;

export type Symbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** An opened libfuse3. */
export interface Libfuse {
  readonly symbols: Symbols;
  /** Such as `3.14.0`. */
  readonly version: string;
  /** Where it came from: `embedded`, or the name under which the system had it. */
  readonly origin: string;
}

const SYSTEM_NAMES = ["libfuse3.so.4", "libfuse3.so.3"];

/**
 * Opens libfuse3: `embedded` (of the executable), `system`, or a path; `auto` is the embedded one,
 * else the system's. Throws ENOENT.
 */
export function openLibfuse(choice = "auto"): Libfuse {
  if (choice === "auto" || choice === "embedded") {
    const bytes = embeddedLibrary("libfuse3");
    if (bytes !== undefined) {
      return describe(Deno.dlopen(memoryFile("libfuse3", bytes).path, SYMBOLS), "embedded");
    }
    if (choice === "embedded") throw fail("ENOENT", "No libfuse3 is embedded in this build");
  }
  const names = choice === "auto" || choice === "system" ? SYSTEM_NAMES : [choice];
  for (const name of names) {
    try {
      return describe(Deno.dlopen(name, SYMBOLS), name);
    } catch (error) {
      if (names.length === 1) {
        throw fail("ENOENT", `Cannot open ${name}: ${messageOf(error)}`);
      }
    }
  }
  throw fail("ENOENT", `Cannot open libfuse3 (${names.join(", ")}): install libfuse3`);
}

function describe(library: Deno.DynamicLibrary<typeof SYMBOLS>, origin: string): Libfuse {
  const text = library.symbols.fuse_pkgversion();
  const version = text === null ? "unknown" : new Deno.UnsafePointerView(text).getCString();
  return { symbols: library.symbols, version, origin };
}
