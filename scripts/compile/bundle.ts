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
      plugins: [librariesPlugin()],
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
