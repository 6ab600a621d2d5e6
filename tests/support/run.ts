/** Running other programs, and folders that go away with the test. */

import { createHash } from "node:crypto";

export interface RunOptions {
  /** Text for standard input. */
  readonly input?: string;
  /** Exit codes that are no failure; 0 alone when left out. */
  readonly codes?: readonly number[];
  readonly env?: Record<string, string>;
}

/** What a program printed. */
export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. Throws, with all it printed, on an exit code that was not expected. */
export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const child = new Deno.Command(program, {
    args: [...args],
    env: options.env,
    stdin: options.input === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const output = child.output();
  if (options.input !== undefined) {
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(options.input));
    await writer.close();
  }
  const { code, stdout, stderr } = await output;
  const result = {
    code,
    stdout: new TextDecoder().decode(stdout),
    stderr: new TextDecoder().decode(stderr),
  };
  if (!(options.codes ?? [0]).includes(code)) {
    throw new Error(
      `${program} ${args.join(" ")}: exit code ${code}\n${result.stdout}${result.stderr}`,
    );
  }
  return result;
}

/** A new folder that is removed, with all that is in it, at the end of its scope. */
export class TempDir implements Disposable {
  readonly path: string;

  /** @param dir where to make it: the system's usual place, or `TempDir.MEMORY` */
  constructor(dir?: string) {
    this.path = Deno.makeTempDirSync({ dir, prefix: "fuse4fs_test_" });
  }

  /** Where files lie in memory, which saves the time that e2fsck waits for the disk. */
  static readonly MEMORY = "/dev/shm";

  /** A path in the folder. */
  join(name: string): string {
    return `${this.path}/${name}`;
  }

  /** Makes a folder in the folder. */
  mkdir(name: string): string {
    const path = this.join(name);
    Deno.mkdirSync(path);
    return path;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

const compiled = new Map<string, Promise<string>>();

/**
 * Compiles a C file that lies beside this module, once for each run of the tests, and gives the
 * path of the executable.
 */
export function compileC(name: string): Promise<string> {
  let path = compiled.get(name);
  if (path === undefined) {
    path = compile(name);
    compiled.set(name, path);
  }
  return path;
}

async function compile(name: string): Promise<string> {
  const folder = Deno.makeTempDirSync({ prefix: "fuse4fs_test_c_" });
  const executable = `${folder}/${name}`;
  const source = new URL(`${name}.c`, import.meta.url).pathname;
  globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
  await run("gcc", ["-O2", "-Wall", "-Werror", "-o", executable, source]);
  return executable;
}

/** A digest over all bytes of a file, to tell whether it was changed. */
export function digestOf(path: string): string {
  const hash = createHash("sha1");
  using file = Deno.openSync(path);
  const buffer = new Uint8Array(2 ** 22);
  for (let count = file.readSync(buffer); count !== null; count = file.readSync(buffer)) {
    hash.update(buffer.subarray(0, count));
  }
  return hash.digest("hex");
}
