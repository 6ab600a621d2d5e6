/** Bundles fuse4fs, and the libraries that it carries, into one JavaScript module. */

import * as esbuild from "esbuild";
import type { LibraryName } from "../../src/sys/embedded.ts";

/** A library to carry: the name in src/sys/embedded.ts and the file. */
export type Libraries = Readonly<Record<LibraryName, string | undefined>>;

const ROOT = new URL("../../", import.meta.url).pathname;

/** The module's text. Throws when the sources do not bundle. */
export async function bundle(libraries: Libraries): Promise<Uint8Array> {
  try {
    const result = await esbuild.build({
      stdin: { contents: entry(libraries), resolveDir: ROOT, sourcefile: "standalone.ts" },
      bundle: true,
      write: false,
      format: "esm",
      platform: "neutral",
      target: "esnext",
      mainFields: ["module", "main"],
      external: ["node:*"],
      loader: { ".so": "base64" },
      plugins: [librariesPlugin(), nodeForCommanderPlugin()],
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
function entry(libraries: Libraries): string {
  const lines: string[] = [`import { carry } from "./src/sys/embedded.ts";`];
  for (const [name, path] of Object.entries(libraries)) {
    if (path === undefined) continue;
    lines.push(`import ${name} from ${JSON.stringify(`library:${path}`)};`);
    lines.push(`carry(${JSON.stringify(name)}, ${name});`);
  }
  lines.push(`await import("./main.ts");`);
  return lines.join("\n");
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

/** Libraries are called libfuse3.so.3.14.0 and the like: their ending does not tell what they are. */
function librariesPlugin(): esbuild.Plugin {
  return {
    name: "libraries",
    setup(build) {
      build.onResolve({ filter: /^library:/ }, ({ path }) => ({
        path: path.slice("library:".length),
        namespace: "library",
      }));
      build.onLoad({ filter: /.*/, namespace: "library" }, async ({ path }) => ({
        contents: await Deno.readFile(path),
        loader: "base64",
      }));
    },
  };
}
