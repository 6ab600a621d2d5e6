/** The headers in bpf/, which are part of the executable, and vmlinux.h where a program asks for it. */

import bpfHelpers from "../../bpf/include/bpf/bpf_helpers.h" with { type: "text" };
import bpfTracing from "../../bpf/include/bpf/bpf_tracing.h" with { type: "text" };
import fuseIomapBpf from "../../bpf/fuse_iomap_bpf.h" with { type: "text" };

/** By the names by which programs include them. */
export const EMBEDDED_HEADERS: Readonly<Record<string, string>> = {
  "fuse_iomap_bpf.h": fuseIomapBpf,
  "bpf/bpf_helpers.h": bpfHelpers,
  "bpf/bpf_tracing.h": bpfTracing,
};

/** True for a source that includes vmlinux.h. */
export function asksForVmlinuxHeader(source: string): boolean {
  return /^\s*#\s*include\s*[<"]vmlinux\.h[>"]/m.test(source);
}

/** Where distributions put vmlinux.h, in the order in which it is looked for. */
export function vmlinuxHeaderPaths(release = Deno.osRelease()): string[] {
  return [
    `/usr/src/kernels/${release}/vmlinux.h`,
    `/usr/include/${Deno.build.arch}-linux-gnu/linux/bpf/vmlinux.h`,
  ];
}

/** The vmlinux.h that is installed, if one is that is not empty. */
export function installedVmlinuxHeader(paths = vmlinuxHeaderPaths()): string | undefined {
  return paths.find((path) => {
    try {
      return Deno.statSync(path).size > 0;
    } catch {
      return false;
    }
  });
}

/** True for a vmlinux.h of a kernel that has the interface: then it declares the types. */
export function declaresIomapTypes(header: Uint8Array): boolean {
  const text = new TextDecoder("latin1").decode(header);
  return text.includes("struct fuse_iomap_bpf_ops {");
}
