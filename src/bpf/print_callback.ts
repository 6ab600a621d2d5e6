/**
 * Callbacks in the manner of vprintf(3), by which libbpf tells what it does and prints C headers.
 * On x86-64 and aarch64 a va_list is passed by reference, so that a pointer can carry it.
 */

const VPRINTF = {
  vsnprintf: {
    parameters: [
      "buffer", // char *str
      "usize", // size_t size
      "pointer", // const char *format
      "pointer", // va_list ap
    ],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** libbpf_print_fn_t(enum libbpf_print_level level, const char *format, va_list ap) */
const LIBBPF_PRINT = { parameters: ["i32", "pointer", "pointer"], result: "i32" } as const;
/** btf_dump_printf_fn_t(void *ctx, const char *format, va_list args) */
const BTF_DUMP_PRINTF = { parameters: ["pointer", "pointer", "pointer"], result: "void" } as const;

/** enum libbpf_print_level */
const LIBBPF_DEBUG = 2;

/** A longer text is cut: a va_list can be read only once. */
const MAX_TEXT = 1024 * 1024;

let opened: Deno.DynamicLibrary<typeof VPRINTF> | undefined;
let buffer: Uint8Array<ArrayBuffer> | undefined;

/** The text's bytes; good until the next call. */
function format(text: Deno.PointerValue, args: Deno.PointerValue): Uint8Array<ArrayBuffer> {
  opened ??= Deno.dlopen("libc.so.6", VPRINTF);
  buffer ??= new Uint8Array(MAX_TEXT);
  const length = opened.symbols.vsnprintf(buffer, BigInt(MAX_TEXT), text, args);
  return buffer.subarray(0, Math.max(0, Math.min(length, MAX_TEXT - 1)));
}

const DECODER = new TextDecoder();

/**
 * Hands libbpf's warnings and notes to `hear` from now on, instead of having them on stderr. The
 * callback stays for as long as the process: libbpf is never closed.
 */
export function listenTo(
  setPrint: (callback: Deno.PointerValue) => unknown,
  hear: (text: string) => void,
): void {
  const callback = new Deno.UnsafeCallback(LIBBPF_PRINT, (level, text, args) => {
    try {
      if (level !== LIBBPF_DEBUG) hear(DECODER.decode(format(text, args)));
    } catch {
      // A message is not worth more: nothing may be thrown into C.
    }
    return 0;
  });
  setPrint(callback.pointer);
}

/** Calls `print` with a callback for btf_dump__new, and gives all that was printed through it. */
export function collectDump(print: (callback: Deno.PointerValue) => void): Uint8Array<ArrayBuffer> {
  let collected = new Uint8Array(MAX_TEXT);
  let length = 0;
  using cleanup = new DisposableStack();
  const callback = new Deno.UnsafeCallback(BTF_DUMP_PRINTF, (_context, text, args) => {
    try {
      const piece = format(text, args);
      if (length + piece.length > collected.length) {
        const larger = new Uint8Array(collected.length * 2);
        larger.set(collected);
        collected = larger;
      }
      collected.set(piece, length);
      length += piece.length;
    } catch {
      // As above. What is missing makes clang complain.
    }
  });
  cleanup.defer(() => callback.close());
  print(callback.pointer);
  return collected.subarray(0, length);
}
