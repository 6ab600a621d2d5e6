/** The built executable: where it is, and building it when its sources are newer. */

const ROOT = new URL("../", import.meta.url).pathname;

export const EXECUTABLE = `${ROOT}dist/fuse4fs`;

const SOURCES = [
  "main.ts",
  "deno.json",
  "deno.lock",
  "compile.sh",
  "src",
  "bpf",
  "scripts/compile",
];

/** Builds dist/fuse4fs unless it is there and up to date. Ends the process when that fails. */
export function buildIfNeeded(): void {
  const built = modified(EXECUTABLE);
  if (built !== undefined && built >= Math.max(...SOURCES.map((path) => newest(ROOT + path)))) {
    return;
  }
  const { success, code } = new Deno.Command(`${ROOT}compile.sh`, {
    env: { DENO: Deno.execPath() },
    stdin: "null",
    stdout: "inherit",
    stderr: "inherit",
  }).outputSync();
  if (!success) Deno.exit(code);
}

function modified(path: string): number | undefined {
  try {
    return Deno.statSync(path).mtime?.getTime();
  } catch {
    return undefined;
  }
}

function newest(path: string): number {
  const own = modified(path) ?? 0;
  if (!Deno.statSync(path).isDirectory) return own;
  return [...Deno.readDirSync(path)]
    .reduce((latest, entry) => Math.max(latest, newest(`${path}/${entry.name}`)), own);
}
