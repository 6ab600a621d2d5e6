/** How much memory this process needed, for workers that are measured step by step. */

declare global {
  /** There with --v8-flags=--expose-gc. */
  var gc: (() => void) | undefined;
}

/** Forgets the peak so far. */
export function resetPeak(): void {
  globalThis.gc?.();
  // 5 resets VmHWM: proc(5).
  Deno.writeTextFileSync("/proc/self/clear_refs", "5");
}

/** Largest resident size since the last reset, in MiB. */
export function peakMegabytes(): number {
  const status = Deno.readTextFileSync("/proc/self/status");
  const found = /^VmHWM:\s+(\d+) kB$/m.exec(status);
  if (found === null) throw new Error("no VmHWM in /proc/self/status");
  return Number(found[1]) / 1024;
}
