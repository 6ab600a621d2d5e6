/** What this machine has for iomap BPF, each thing asked for by itself and nothing loaded. */

import { embeddedObject } from "../sys/embedded.ts";
import { FsError } from "../sys/fs_error.ts";
import { missingCapabilities } from "./capability.ts";
import { type Clang, findClang } from "./clang.ts";
import { installedVmlinuxHeader, vmlinuxHeaderPaths } from "./headers.ts";
import { findKernelInterface, type KernelInterface, readKernelBtf } from "./kernel_btf.ts";
import { openLibbpf } from "./library.ts";

/** A thing that is there, or why it is not. */
export type Probed<Value> = { readonly value: Value } | { readonly problem: string };

export interface BpfProbe {
  readonly kernelRelease: string;
  /** Number of types in the kernel's type information. */
  readonly kernelBtf: Probed<number>;
  /** Which fuse_iomap_bpf_ops the kernel has; undefined: none. */
  readonly kernelInterface: KernelInterface | undefined;
  readonly libbpf: Probed<{ readonly version: string; readonly origin: string }>;
  readonly clang: Probed<Clang>;
  /** Names of privileges that this process lacks. */
  readonly missingCapabilities: readonly string[];
  /** An installed vmlinux.h; without one, it is made from the kernel's BTF when a program asks. */
  readonly vmlinuxHeader: string | undefined;
  /** Where it was looked for. */
  readonly vmlinuxHeaderPaths: readonly string[];
  /** The program `extents` is in the executable, ready to be loaded without clang. */
  readonly carriesExtents: boolean;
}

export function probeBpf(choices: { readonly clang?: string; readonly libbpf?: string }): BpfProbe {
  return {
    kernelRelease: Deno.osRelease(),
    kernelBtf: probed(() => {
      const btf = readKernelBtf();
      return btf === undefined ? undefined : btf.typeCount - 1;
    }),
    kernelInterface: findKernelInterface(),
    libbpf: probed(() => {
      const { version, origin } = openLibbpf(choices.libbpf);
      return { version, origin };
    }),
    clang: probed(() => findClang(choices.clang)),
    missingCapabilities: missingCapabilities(),
    vmlinuxHeader: installedVmlinuxHeader(),
    vmlinuxHeaderPaths: vmlinuxHeaderPaths(),
    carriesExtents: embeddedObject("extents.2.bpf.o") !== undefined,
  };
}

function probed<Value>(probe: () => Value | undefined): Probed<Value> {
  try {
    const value = probe();
    return value === undefined ? { problem: "not there" } : { value };
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    return { problem: error.message };
  }
}
