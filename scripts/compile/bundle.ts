/**
 * Bundles fuse4fs, and the files that it carries, for the two ways in which it becomes an
 * executable: as one module for `deno compile`, and for the launcher (launcher.ts) as
 *
 *     carried files | program | loader
 *
 * Deno takes modules apart before it runs them, to find what they import. For all of fuse4fs that
 * would take longer than everything else at the start. So only the loader is a module: it reads the
 * program out of the executable, and hands it to V8 as it is.
 */

import { brotliCompressSync } from "node:zlib";
import * as esbuild from "esbuild";
import type { Carried, Encoding, LibraryName, ObjectName } from "../../src/sys/embedded.ts";

/** What to carry, by the names in src/sys/embedded.ts: files, and BPF objects themselves. */
export interface Cargo {
  readonly libraries: Readonly<Partial<Record<LibraryName, string>>>;
  readonly objects: Readonly<Partial<Record<ObjectName, Uint8Array>>>;
}

const ROOT = new URL("../../", import.meta.url).pathname;

/** One module with everything in it. Throws when the sources do not bundle. */
export async function bundleAsModule(cargo: Cargo): Promise<Uint8Array> {
  const pieces = piecesOf(cargo).map(({ name, bytes, encoding }) => ({
    name,
    file: bytes.toBase64(),
    encoding,
  }));
  return await build(entry(pieces));
}

/** Bytes that follow the entry stub, and where among them the loader is. */
export interface Packed {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly loader: { readonly start: number; readonly size: number };
}

/**
 * The same for the launcher.
 * @param offset byte of the executable at which these bytes are going to be
 * @param prelude what the loader does before anything else
 */
export async function bundleForLauncher(
  cargo: Cargo,
  offset: number,
  prelude = "",
): Promise<Packed> {
  const parts: Uint8Array[] = [];
  let size = 0;
  const add = (bytes: Uint8Array) => {
    const place = { offset: offset + size, size: bytes.length };
    parts.push(bytes);
    size += bytes.length;
    return place;
  };
  const pieces = piecesOf(cargo).map(({ name, bytes, encoding }) => ({
    name,
    file: add(bytes),
    encoding,
  }));
  const program = add(asScript(await build(entry(pieces))));
  const loader = add(new TextEncoder().encode(prelude + loaderOf(program)));
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return { bytes, loader: { start: loader.offset - offset, size: loader.size } };
}

/** A module without imports as an expression: the promise of its end. */
function asScript(module: Uint8Array): Uint8Array {
  const text = new TextDecoder().decode(module);
  const line = text.match(/^(?:import|export)\b.*$/m);
  if (line !== null) throw new Error(`The program is no module of its own: ${line[0]}`);
  return new TextEncoder().encode(
    `(async () => {"use strict";\n${text}\n})()\n//# sourceURL=fuse4fs.js\n`,
  );
}

function loaderOf({ offset, size }: { offset: number; size: number }): string {
  return `const file = Deno.openSync("/proc/self/exe");
file.seekSync(${offset}, Deno.SeekMode.Start);
const program = new Uint8Array(${size});
for (let done = 0; done < ${size};) done += file.readSync(program.subarray(done)) || Deno.exit(4);
file.close();
await (0, eval)(new TextDecoder().decode(program));
`;
}

/** Neither imports nor anything outside of ASCII, which V8 would take two bytes a character for. */
async function build(contents: string): Promise<Uint8Array> {
  try {
    const result = await esbuild.build({
      stdin: { contents, resolveDir: ROOT, sourcefile: "standalone.ts" },
      bundle: true,
      write: false,
      format: "esm",
      platform: "neutral",
      target: "esnext",
      charset: "ascii",
      mainFields: ["module", "main"],
      external: ["node:*"],
      plugins: [nodeForCommanderPlugin()],
      define: { FUSE4FS_STANDALONE: "true" },
      // Names and lines stay readable in stack traces; it would save a few milliseconds.
      minify: false,
      legalComments: "inline",
      logLevel: "warning",
    });
    return result.outputFiles[0].contents;
  } finally {
    await esbuild.stop();
  }
}

interface Piece {
  readonly name: LibraryName | ObjectName;
  readonly bytes: Uint8Array;
  readonly encoding: Encoding;
}

function piecesOf({ libraries, objects }: Cargo): Piece[] {
  const pieces: Piece[] = [];
  for (const [name, path] of Object.entries(libraries)) {
    pieces.push(pieceOf(name as LibraryName, Deno.readFileSync(path)));
  }
  for (const [name, bytes] of Object.entries(objects)) {
    pieces.push(pieceOf(name as ObjectName, bytes));
  }
  return pieces;
}

/** Nearly every run needs libfuse3: it is carried as it is. */
function pieceOf(name: LibraryName | ObjectName, bytes: Uint8Array): Piece {
  if (name === "libfuse3") return { name, bytes, encoding: "plain" };
  return { name, bytes: new Uint8Array(brotliCompressSync(bytes)), encoding: "brotli" };
}

/** Hands the files over before anything else runs. */
function entry(
  pieces: readonly { readonly name: string; readonly file: Carried; readonly encoding: Encoding }[],
): string {
  const calls = pieces.map(({ name, file, encoding }) =>
    `carry(${[name, file, encoding].map((value) => JSON.stringify(value)).join(", ")});`
  );
  return [
    `import { carry } from "./src/sys/embedded.ts";`,
    ...calls,
    `await import("./main.ts");`,
  ].join("\n");
}

/** What stands for Node's modules in commander; an empty one is never used. */
const NODE_FOR_COMMANDER: Readonly<Record<string, string>> = {
  "node:events": `export { EventEmitter } from "./src/cli/node_for_commander.ts";`,
  "node:process": `export { process as default } from "./src/cli/node_for_commander.ts";`,
  "node:util": `export { stripVTControlCharacters } from "./src/cli/node_for_commander.ts";`,
  "node:child_process": "export default {};",
  "node:fs": "export default {};",
  "node:path": "export default {};",
};

/** See src/cli/node_for_commander.ts. */
function nodeForCommanderPlugin(): esbuild.Plugin {
  const namespace = "node-for-commander";
  return {
    name: namespace,
    setup(build) {
      build.onResolve({ filter: /^node:/ }, ({ path, importer }) => {
        const isCommander = /\/commander(@[^/]*)?\//.test(importer);
        if (!isCommander) return undefined;
        if (path in NODE_FOR_COMMANDER) return { path, namespace };
        return { errors: [{ text: `commander imports ${path}: see node_for_commander.ts` }] };
      });
      build.onLoad({ filter: /.*/, namespace }, ({ path }) => ({
        contents: NODE_FOR_COMMANDER[path],
        loader: "ts",
        resolveDir: ROOT,
      }));
    },
  };
}
