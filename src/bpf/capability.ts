/** The privileges that the kernel asks of those who load BPF programs. */

import { NotSupported } from "./errors.ts";

/** linux/capability.h */
const CAP_SYS_ADMIN = 21n;
const CAP_PERFMON = 38n;
const CAP_BPF = 39n;

/** Names of the capabilities that this process lacks to load struct_ops programs. */
export function missingCapabilities(status = Deno.readTextFileSync("/proc/self/status")): string[] {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  const has = (capability: bigint) => (effective >> capability & 1n) === 1n;
  if (has(CAP_SYS_ADMIN)) return [];
  return [
    ...has(CAP_BPF) ? [] : ["CAP_BPF"],
    ...has(CAP_PERFMON) ? [] : ["CAP_PERFMON"],
  ];
}

/** Throws NotSupported for a process that may not load programs. */
export function requireBpfCapability(): void {
  const missing = missingCapabilities();
  if (missing.length === 0) return;
  throw new NotSupported(
    `no privilege to load BPF programs (${missing.join(", ")})`,
    "run as root, or give fuse4fs these capabilities",
  );
}
