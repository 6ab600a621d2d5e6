/** The layers of CONTRIBUTING.md: imports point downwards only. */

import assert from "node:assert/strict";

/** For each layer, the ones it may import from besides itself. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  cli: ["mount", "fuse", "bpf", "ext4", "jbd2", "disk", "block", "sys"],
  mount: ["fuse", "bpf", "ext4", "jbd2", "disk", "block", "sys"],
  fuse: ["disk", "block", "sys"],
  bpf: ["disk", "sys"],
  ext4: ["jbd2", "disk", "block", "sys"],
  jbd2: ["disk", "block", "sys"],
  block: ["disk", "sys"],
  disk: ["sys"],
  sys: [],
};

/** Files of a lower layer that take part in foreign functions: src/ext4 must not need them. */
const FOREIGN_FUNCTIONS = [
  "sys/libc.ts",
  "sys/files.ts",
  "sys/messages.ts",
  "sys/system.ts",
  "sys/c_memory.ts",
  "sys/spawn.ts",
  "block/file_device.ts",
];

const ROOT = new URL("../", import.meta.url);

function* sourceFiles(dir: URL): Generator<URL> {
  for (const entry of Deno.readDirSync(dir)) {
    const url = new URL(entry.name + (entry.isDirectory ? "/" : ""), dir);
    if (entry.isDirectory) yield* sourceFiles(url);
    else if (entry.name.endsWith(".ts")) yield url;
  }
}

/** Paths below src/ that a module imports, and its own. */
function imports(file: URL): { self: string; targets: string[] } {
  const src = new URL("src/", ROOT).pathname;
  const text = Deno.readTextFileSync(file);
  const targets = [...text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)]
    .map(([, target]) => new URL(target, file).pathname)
    .filter((path) => path.startsWith(src))
    .map((path) => path.slice(src.length));
  return { self: file.pathname.slice(src.length), targets };
}

Deno.test("layers: every import in src points downwards", () => {
  const wrong: string[] = [];
  let seen = 0;
  for (const file of sourceFiles(new URL("src/", ROOT))) {
    const { self, targets } = imports(file);
    const layer = self.split("/")[0];
    assert.ok(layer in MAY_IMPORT, `${self}: src/${layer} is no layer`);
    for (const target of targets) {
      seen++;
      const other = target.split("/")[0];
      if (other !== layer && !MAY_IMPORT[layer].includes(other)) wrong.push(`${self} -> ${target}`);
    }
  }
  assert.ok(seen > 100, `only ${seen} imports found`);
  assert.deepEqual(wrong, []);
});

Deno.test("layers: ext4, jbd2 and disk reach no foreign functions", () => {
  const wrong: string[] = [];
  for (const layer of ["ext4", "jbd2", "disk"]) {
    for (const file of sourceFiles(new URL(`src/${layer}/`, ROOT))) {
      const { self, targets } = imports(file);
      wrong.push(
        ...targets.filter((target) => FOREIGN_FUNCTIONS.includes(target))
          .map((target) => `${self} -> ${target}`),
      );
      if (Deno.readTextFileSync(file).includes("Deno.")) wrong.push(`${self} uses Deno`);
    }
  }
  assert.deepEqual(wrong, []);
});
