/** `fuse4fs bpf probe`: what this machine has for iomap BPF programs. */

import { OPS_TYPE } from "../bpf/kernel_btf.ts";
import { type BpfProbe, probeBpf, type Probed } from "../bpf/probe.ts";
import { type JsonObject, printJson } from "./json.ts";
import { printLine } from "./output.ts";

export interface BpfProbeOptions {
  readonly clang?: string;
  readonly json?: boolean;
}

export function bpfProbe(options: BpfProbeOptions): void {
  const probe = probeBpf(options);
  if (options.json) {
    printJson(probeJson(probe));
    return;
  }
  for (const [label, value] of probeLines(probe)) printLine(`${`${label}:`.padEnd(17)}${value}`);
  const can = canAttach(probe) ? "can be attached here" : "cannot be attached here";
  printLine(`iomap BPF programs ${can}.`);
}

function probeJson(probe: BpfProbe): JsonObject {
  const { kernelInterface } = probe;
  return {
    kernel: {
      release: probe.kernelRelease,
      btfTypes: "value" in probe.kernelBtf ? probe.kernelBtf.value : null,
      iomapBpf: kernelInterface === undefined ? null : { ...kernelInterface },
    },
    libbpf: "value" in probe.libbpf ? { ...probe.libbpf.value } : problemJson(probe.libbpf),
    clang: "value" in probe.clang ? { ...probe.clang.value } : problemJson(probe.clang),
    missingCapabilities: probe.missingCapabilities,
    vmlinuxHeader: probe.vmlinuxHeader ?? null,
    vmlinuxHeaderPaths: probe.vmlinuxHeaderPaths,
    carriesExtents: probe.carriesExtents,
    canCompile: "value" in probe.clang,
    canAttach: canAttach(probe),
  };
}

function problemJson({ problem }: { readonly problem: string }): JsonObject {
  return { problem };
}

function canAttach({ kernelInterface, libbpf, missingCapabilities }: BpfProbe): boolean {
  return kernelInterface !== undefined && "value" in libbpf && missingCapabilities.length === 0;
}

function* probeLines(probe: BpfProbe): Generator<readonly [label: string, value: string]> {
  const { kernelInterface: kernel, missingCapabilities: missing } = probe;
  yield ["kernel", probe.kernelRelease];
  yield ["kernel BTF", textOf(probe.kernelBtf, (count) => `${count} types`)];
  yield [
    "FUSE iomap BPF",
    kernel === undefined
      ? `the kernel has no ${OPS_TYPE}`
      : `generation ${kernel.generation}, in ${kernel.module}`,
  ];
  yield ["libbpf", textOf(probe.libbpf, ({ version, origin }) => `${version} (${origin})`)];
  yield ["clang", textOf(probe.clang, ({ version, program }) => `${version} (${program})`)];
  yield ["privilege", missing.length === 0 ? "sufficient" : `lacks ${missing.join(" and ")}`];
  yield [
    "vmlinux.h",
    probe.vmlinuxHeader ?? `none in ${probe.vmlinuxHeaderPaths.join(", ")}: made from kernel BTF`,
  ];
  yield ["extents", probe.carriesExtents ? "carried as an object" : "has to be compiled"];
}

function textOf<Value>(probed: Probed<Value>, text: (value: Value) => string): string {
  return "value" in probed ? text(probed.value) : probed.problem;
}
