/** Bundles fuse4fs, and the libraries that it carries, into one JavaScript module. */

import { brotliCompressSync } from "node:zlib";
import * as esbuild from "esbuild";
import type { LibraryName, ObjectName } from "../../src/sys/embedded.ts";

/** What to carry, by the names in src/sys/embedded.ts: files, and BPF objects themselves. */
export interface Carried {
  readonly libraries: Readonly<Partial<Record<LibraryName, string>>>;
  readonly objects: Readonly<Partial<Record<ObjectName, Uint8Array>>>;
}

const ROOT = new URL("../../", import.meta.url).pathname;

/** The module's text. Throws when the sources do not bundle. */
export async function bundle(carried: Carried): Promise<Uint8Array> {
  try {
    const result = await esbuild.build({
      stdin: { contents: entry(carried), resolveDir: ROOT, sourcefile: "standalone.ts" },
      bundle: true,
      write: false,
      format: "esm",
      platform: "neutral",
      target: "esnext",
      mainFields: ["module", "main"],
      external: ["node:*"],
      plugins: [nodeForCommanderPlugin()],
      define: { FUSE4FS_STANDALONE: "true" },
      // Names and lines stay readable in stack traces; parsing takes no time to speak of.
      minify: false,
      legalComments: "inline",
      logLevel: "warning",
    });
    return result.outputFiles[0].contents;
  } finally {
    await esbuild.stop();
  }
}

/** Hands the libraries over before anything else runs. */
function entry({ libraries, objects }: Carried): string {
  const lines: string[] = [`import { carry } from "./src/sys/embedded.ts";`];
  for (const [name, path] of Object.entries(libraries)) {
    const bytes = Deno.readFileSync(path);
    // Nearly every run needs libfuse3: it is carried as it is.
    lines.push(name === "libfuse3" ? carryLine(name, bytes) : carryCompressedLine(name, bytes));
  }
  for (const [name, bytes] of Object.entries(objects)) lines.push(carryCompressedLine(name, bytes));
  lines.push(`await import("./main.ts");`);
  return lines.join("\n");
}

function carryLine(name: string, bytes: Uint8Array): string {
  return `carry(${JSON.stringify(name)}, "${bytes.toBase64()}");`;
}

function carryCompressedLine(name: string, bytes: Uint8Array): string {
  const compressed = new Uint8Array(brotliCompressSync(bytes));
  return `carry(${JSON.stringify(name)}, "${compressed.toBase64()}", "brotli");`;
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
