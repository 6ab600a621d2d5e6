/**
 * vmlinux.h out of the running kernel's BTF, by libbpf's btf_dump: for a user's own program that
 * includes it on a machine that has none installed.
 */

import { cString } from "../sys/libc.ts";
import type { Libbpf } from "./library.ts";
import { collectDump } from "./print_callback.ts";

const HEAD = `#ifndef __VMLINUX_H__
#define __VMLINUX_H__

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif

`;

const TAIL = `
#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#endif /* __VMLINUX_H__ */
`;

/**
 * The header's text.
 * @param module whose types to add to those of the kernel
 */
export function generateVmlinuxHeader(libbpf: Libbpf, module?: string): Uint8Array<ArrayBuffer> {
  const { symbols } = libbpf;
  libbpf.takeMessages();
  using cleanup = new DisposableStack();
  const kernel = libbpf.checkPointer(symbols.btf__load_vmlinux_btf(), "read the kernel's BTF");
  cleanup.defer(() => symbols.btf__free(kernel));
  let btf = kernel;
  if (module !== undefined) {
    btf = libbpf.checkPointer(
      symbols.btf__load_module_btf(cString(module), kernel),
      `read the BTF of module ${module}`,
    );
    const own = btf;
    cleanup.defer(() => symbols.btf__free(own));
  }
  const body = collectDump((callback) => {
    const dump = libbpf.checkPointer(
      symbols.btf_dump__new(btf, callback, null, null),
      "write vmlinux.h",
    );
    try {
      const count = symbols.btf__type_cnt(btf);
      for (let type = 1; type < count; type++) {
        libbpf.check(symbols.btf_dump__dump_type(dump, type), `write type ${type} of vmlinux.h`);
      }
    } finally {
      symbols.btf_dump__free(dump);
    }
  });
  const encoder = new TextEncoder();
  const [head, tail] = [encoder.encode(HEAD), encoder.encode(TAIL)];
  const header = new Uint8Array(head.length + body.length + tail.length);
  header.set(head);
  header.set(body, head.length);
  header.set(tail, head.length + body.length);
  return header;
}
