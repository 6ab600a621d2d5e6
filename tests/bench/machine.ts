/** What the figures were taken on. */

import { FUSE4FS } from "../support/mount.ts";
import { run } from "../support/run.ts";

export interface Machine {
  readonly processor: string;
  readonly processors: number;
  readonly memoryMiB: number;
  readonly kernel: string;
  /** Load average over the last minute. */
  readonly load: number;
  /** Programs by name, each with the version it tells. */
  readonly versions: Readonly<Record<string, string>>;
}

export async function describeMachine(): Promise<Machine> {
  return {
    processor: firstMatch(Deno.readTextFileSync("/proc/cpuinfo"), /^model name\s*: (.*)$/m),
    processors: navigator.hardwareConcurrency,
    memoryMiB: Math.round(Deno.systemMemoryInfo().total / 2 ** 20),
    kernel: Deno.osRelease(),
    load: Deno.loadavg()[0],
    versions: {
      fuse4fs: await versionOf("fuse4fs", FUSE4FS),
      fuse2fs: await versionOf("fuse2fs"),
      fio: await versionOf("fio"),
    },
  };
}

/** The number behind a program's name in what it prints on --version. */
async function versionOf(name: string, program = name): Promise<string> {
  const { stdout, stderr } = await run(program, ["--version"]);
  return firstMatch(stdout + stderr, new RegExp(`^${name}[ -]([0-9][0-9.]*)`, "m"));
}

function firstMatch(text: string, pattern: RegExp): string {
  return pattern.exec(text)?.[1] ?? "unknown";
}
