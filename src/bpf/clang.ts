/**
 * Runs clang: source in and object out through memory, headers too. Nothing is written to a disk;
 * what the program includes lies in descriptors that clang sees as files of a folder:
 *
 *     -ivfsoverlay /proc/self/fd/3:   /fuse4fs/fuse_iomap_bpf.h  ->  /proc/self/fd/4
 *                                     /fuse4fs/bpf/bpf_helpers.h ->  /proc/self/fd/5  ...
 */

import { isNotFound, spawnSync } from "../sys/spawn.ts";
import { CompileError, NotSupported } from "./errors.ts";

/** Older ones lack parts of BPF that programs here need. */
const MIN_VERSION = 14;
/** Names that distributions give it, the newest first. */
const NAMES = ["clang", ...Array.from({ length: 12 }, (_, index) => `clang-${25 - index}`)];
const DEFAULT_TIMEOUT_MS = 60_000;
const VERSION_TIMEOUT_MS = 10_000;

/** As the prototype has them. */
const TARGET_FLAGS = ["--target=bpf", "-Wall", "-O2", "-g"];
/**
 * Where clang finds the source, and what it calls it in messages and in the object. It is a path, so
 * that clang can read it again for the lines that the verifier shows: of `-` it has none.
 */
export const SOURCE_NAME = "/proc/self/fd/0";
/** Where the headers appear to be. */
const VIRTUAL_FOLDER = "/fuse4fs";
/** Behind stdin, stdout, stderr and the overlay. */
const FIRST_HEADER_DESCRIPTOR = 4;

export interface Clang {
  /** Name or path. */
  readonly program: string;
  /** Such as `14.0.6`. */
  readonly version: string;
}

export interface Compilation {
  /** For messages: `demo`, or the path of a user's program. */
  readonly name: string;
  readonly source: string;
  readonly flags?: readonly string[];
  /** Headers by the name by which they are included. */
  readonly headers?: Readonly<Record<string, string | Uint8Array<ArrayBuffer>>>;
  /** Folders of this machine that are searched before those headers. */
  readonly includeFolders?: readonly string[];
  /** Longest time in milliseconds. */
  readonly timeout?: number;
}

const found = new Map<string, Clang>();

/**
 * The clang of this name or path; without one, the first of the usual names. Throws NotSupported
 * when there is none, or it is too old.
 */
export function findClang(choice?: string): Clang {
  const key = choice ?? "";
  const known = found.get(key);
  if (known !== undefined) return known;
  const candidates = choice === undefined ? NAMES : [choice];
  let tooOld: Clang | undefined;
  for (const program of candidates) {
    const version = versionOf(program);
    if (version === undefined) continue;
    const clang = { program, version };
    if (Number.parseInt(version) >= MIN_VERSION) {
      found.set(key, clang);
      return clang;
    }
    tooOld ??= clang;
  }
  if (tooOld !== undefined) {
    throw new NotSupported(
      `${tooOld.program} ${tooOld.version} is too old`,
      `install clang ${MIN_VERSION} or newer, or use an object built elsewhere`,
    );
  }
  throw new NotSupported(
    `no ${choice ?? "clang"} to compile BPF programs`,
    `install clang ${MIN_VERSION} or newer, or use an object built elsewhere`,
  );
}

function versionOf(program: string): string | undefined {
  try {
    const { stdout } = spawnSync(program, {
      args: ["--version"],
      env: environment(),
      timeout: VERSION_TIMEOUT_MS,
    });
    return /clang version (\d+(?:\.\d+)*)/.exec(new TextDecoder().decode(stdout))?.[1];
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** Objects that were compiled already: a mount and its checks may ask for the same one. */
const compiled = new Map<string, Uint8Array<ArrayBuffer>>();

/** The object file. Throws CompileError with what clang printed, NotSupported, ETIMEDOUT. */
export function compile(clang: Clang, compilation: Compilation): Uint8Array<ArrayBuffer> {
  const { name, source, flags = [], headers = {}, includeFolders = [] } = compilation;
  const encoder = new TextEncoder();
  const files = Object.entries(headers).map(([path, content]) => ({
    name: path,
    bytes: typeof content === "string" ? encoder.encode(content) : content,
  }));
  // A folder's headers may change meanwhile, which nothing here would notice.
  const isCachable = includeFolders.length === 0 &&
    files.every(({ bytes }) => bytes.length < 65536);
  const key = JSON.stringify([clang, source, flags, headers]);
  const known = isCachable ? compiled.get(key) : undefined;
  if (known !== undefined) return known;

  const { code, stdout, stderr } = spawnSync(clang.program, {
    args: [
      ...TARGET_FLAGS,
      ...flags,
      // A crash of clang would leave files behind.
      ...["-fno-crash-diagnostics", "-fno-color-diagnostics"],
      ...includeFolders.flatMap((folder) => ["-I", folder]),
      ...["-ivfsoverlay", `/proc/self/fd/${FIRST_HEADER_DESCRIPTOR - 1}`, "-I", VIRTUAL_FOLDER],
      ...["-x", "c", "-c", SOURCE_NAME, "-o", "-"],
    ],
    env: environment(),
    input: encoder.encode(source),
    files: [
      { name: "overlay", bytes: encoder.encode(overlay(files.map((file) => file.name))) },
      ...files,
    ],
    timeout: compilation.timeout ?? DEFAULT_TIMEOUT_MS,
  });
  const log = new TextDecoder().decode(stderr).replaceAll(SOURCE_NAME, name);
  if (code !== 0) throw new CompileError(name, log === "" ? `clang exited with ${code}` : log);
  if (isCachable) compiled.set(key, stdout);
  return stdout;
}

/** No variable that would change what clang does: CPATH, CCC_OVERRIDE_OPTIONS and so on. */
function environment(): Record<string, string> {
  return { PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin", LC_ALL: "C" };
}

/** clang's description of files that are elsewhere than they appear to be; JSON is YAML, too. */
function overlay(paths: readonly string[]): string {
  const roots = paths.map((path, index) => ({
    type: "file",
    name: `${VIRTUAL_FOLDER}/${path}`,
    "external-contents": `/proc/self/fd/${FIRST_HEADER_DESCRIPTOR + index}`,
  }));
  return JSON.stringify({
    version: 0,
    "case-sensitive": "true",
    "use-external-names": "false",
    roots,
  });
}
