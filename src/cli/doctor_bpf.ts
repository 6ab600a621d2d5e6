/** The part of `fuse4fs doctor` about iomap BPF programs: without any of it, mounts work all the same. */

import { type BpfProbe, probeBpf } from "../bpf/probe.ts";
import { absent, type Finding, ok } from "./finding.ts";

export function bpfFindings(): Finding[] {
  const probe = probeBpf({});
  return [kernelBtf(probe), iomapBpf(probe), libbpf(probe), clang(probe), vmlinuxHeader(probe)];
}

function kernelBtf({ kernelBtf }: BpfProbe): Finding {
  const advice = "run a kernel with CONFIG_DEBUG_INFO_BTF: BPF programs need it";
  return "value" in kernelBtf
    ? ok("kernelBtf", "kernel BTF", `${kernelBtf.value} types`)
    : absent("kernelBtf", "kernel BTF", kernelBtf.problem, advice);
}

function iomapBpf({ kernelInterface, missingCapabilities }: BpfProbe): Finding {
  const name = "iomapBpf";
  const label = "FUSE iomap BPF";
  if (kernelInterface === undefined) {
    const advice = "run a kernel with FUSE iomap BPF: mappings then bypass the server too";
    return absent(name, label, "the kernel does not have it", advice);
  }
  const { generation, module } = kernelInterface;
  const found = `generation ${generation}, in ${module}`;
  if (missingCapabilities.length === 0) return ok(name, label, found);
  return absent(
    name,
    label,
    `${found}, but not for you`,
    `needs ${missingCapabilities.join(", ")}`,
  );
}

function libbpf({ libbpf }: BpfProbe): Finding {
  const advice = "apt install libbpf1: iomap BPF programs are loaded with it";
  return "value" in libbpf
    ? ok("libbpf", "libbpf", `${libbpf.value.version} (${libbpf.value.origin})`)
    : absent("libbpf", "libbpf", libbpf.problem, advice);
}

function clang({ clang }: BpfProbe): Finding {
  const advice = "apt install clang: iomap BPF programs are compiled with it";
  return "value" in clang
    ? ok("clang", "clang", `${clang.value.version} (${clang.value.program})`)
    : absent("clang", "clang", clang.problem, advice);
}

/** Not having it is no lack: what programs of fuse4fs need is in the executable. */
function vmlinuxHeader({ vmlinuxHeader, vmlinuxHeaderPaths }: BpfProbe): Finding {
  const value = vmlinuxHeader ??
    `none in ${vmlinuxHeaderPaths.join(" or ")}; made from the kernel BTF when a program asks`;
  return ok("vmlinuxHeader", "vmlinux.h", value);
}
