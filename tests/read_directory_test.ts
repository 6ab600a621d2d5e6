/** Directories through a mount: very large ones, positions, file handles, names in other case. */

import assert from "node:assert/strict";
import { S_IFREG } from "../src/sys/stat.ts";
import { debugfs } from "./support/images.ts";
import { link, mknod } from "./support/libc.ts";
import { mountFuse4fs, mountKernel } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { compileC, run, TempDir } from "./support/run.ts";
import { compareTrees, describeTree } from "./support/tree.ts";

const NEEDS = ["root", "loop", "fuse", "e2fsprogs", "gcc", "executable"] as const;

/** Makes a file system and has the kernel's ext4 mounted while `body` fills it. */
async function kernelImage(
  folder: TempDir,
  mke2fs: readonly string[],
  size: string,
  body: (root: string) => void,
): Promise<string> {
  const image = folder.join("image");
  await run("mke2fs", ["-q", "-F", "-t", "ext4", ...mke2fs, image, size]);
  await using mount = await mountKernel(image, folder.mkdir("filled"), "rw");
  body(mount.dir);
  return image;
}

function probe(...args: string[]): Promise<number> {
  return compileC("probe").then((path) => run(path, args)).then(({ stdout }) => Number(stdout));
}

Deno.test("mount: a directory of 200,000 names is listed whole and every name is found", async () => {
  if (!requires(...NEEDS)) return;
  const names = 200_000;
  using folder = new TempDir();
  const image = await kernelImage(folder, ["-N", "64"], "64M", (root) => {
    Deno.mkdirSync(`${root}/large`);
    // An inode has at most 65,000 names.
    for (let index = 0; index < names; index++) {
      const file = `${root}/file${Math.floor(index / 60_000)}`;
      if (index % 60_000 === 0) mknod(file, S_IFREG | 0o644);
      link(file, `${root}/large/name-${index}`);
    }
  });
  await using mount = await mountFuse4fs(image, folder.mkdir("mount"), "ro");
  const listed = new Set([...Deno.readDirSync(`${mount.dir}/large`)].map(({ name }) => name));
  assert.equal(listed.size, names);
  for (let index = 0; index < names; index++) assert.ok(listed.has(`name-${index}`));
  assert.equal(await probe("lookups", `${mount.dir}/large`), names + 2);
});

Deno.test("mount: positions of directories stay good for seekdir, handles for open_by_handle_at", async () => {
  if (!requires(...NEEDS)) return;
  using folder = new TempDir();
  const image = await kernelImage(folder, ["-b", "1024"], "32M", (root) => {
    for (const [dir, count] of [["one", 1], ["few", 20], ["indexed", 3000]] as const) {
      Deno.mkdirSync(`${root}/${dir}`);
      for (let index = 0; index < count; index++) {
        mknod(`${root}/${dir}/a-name-that-takes-some-room-${index}`, S_IFREG | 0o644);
      }
    }
  });
  // The same again as a list without index, where positions are bytes.
  const linear = folder.join("linear");
  await Deno.copyFile(image, linear);
  // tune2fs wants a check that is newer than the last mount.
  await run("e2fsck", ["-fy", linear]);
  await run("tune2fs", ["-O", "^dir_index", linear]);
  await run("e2fsck", ["-fyD", linear], { codes: [0, 1] });
  for (const [index, path] of [image, linear].entries()) {
    await using mount = await mountFuse4fs(path, folder.mkdir(`mount${index}`), "ro");
    for (const [dir, count] of [["one", 1], ["few", 20], ["indexed", 3000]] as const) {
      for (const command of ["seekdir", "lookups", "handles"]) {
        const seen = await probe(command, `${mount.dir}/${dir}`);
        const dots = command === "handles" ? 1 : 2;
        assert.equal(seen, count + dots, `${command} in ${dir} of image ${index}`);
      }
    }
  }
});

/** For each stored name, others that are the same to UTF-8 without regard to case. */
const SAME: Readonly<Record<string, readonly string[]>> = {
  "README": ["readme", "ReadMe", "README"],
  "stra\u00dfe": ["STRASSE", "Strasse", "STRA\u1e9eE"],
  "\u00c9t\u00e9": ["\u00e9T\u00c9", "e\u0301te\u0301", "E\u0301T\u00e9"],
  "\u03a3\u03b1\u03c2": ["\u03c3\u0391\u03a3", "\u03c2\u03b1\u03c3"],
  "\u212bngstrom": ["\u00e5NGSTROM", "A\u030angstrom"],
  "e\ufb03cient": ["EFFICIENT"],
  "soft\u00adhyphen": ["softhyphen", "SOFTHYPHEN"],
  "\ud55c\uae00": ["\u1112\u1161\u11ab\u1100\u1173\u11af"],
  "\u0414\u043e\u043c": ["\u0434\u041e\u041c"],
};
/** Names that are not the same as any of those. */
const OTHERS = ["READ ME", "\u0131", "ete", "strase", "README\u0301"];

Deno.test("mount: casefold directories find names in any case, and only those", async () => {
  if (!requires(...NEEDS)) return;
  using folder = new TempDir();
  const source = folder.mkdir("source");
  for (const dir of ["indexed", "small", "exact"]) {
    Deno.mkdirSync(`${source}/${dir}`);
    for (const name of Object.keys(SAME)) Deno.writeTextFileSync(`${source}/${dir}/${name}`, name);
  }
  // Enough of them for an index, which e2fsck builds from hashes of folded names.
  for (let index = 0; index < 800; index++) {
    Deno.writeTextFileSync(`${source}/indexed/Some-Name-In-Mixed-Case-${index}`, "");
  }
  const image = folder.join("image");
  const options = ["-O", "casefold", "-E", "encoding=utf8", "-d", source];
  await run("mke2fs", ["-q", "-F", "-t", "ext4", "-b", "1024", ...options, image, "16M"]);
  const flags = ["indexed", "small"].map((dir) => `sif /${dir} flags 0x40080000`);
  await debugfs(image, flags);
  await run("e2fsck", ["-fyD", image], { codes: [0, 1] });
  const { stdout } = await run("debugfs", ["-R", "htree_dump /indexed", image]);
  assert.match(stdout, /Number of entries/);

  await using mount = await mountFuse4fs(image, folder.mkdir("mount"), "ro");
  for (const dir of ["indexed", "small"]) {
    for (const [stored, others] of Object.entries(SAME)) {
      for (const name of [stored, ...others]) {
        assert.equal(Deno.readTextFileSync(`${mount.dir}/${dir}/${name}`), stored);
      }
    }
    for (const name of OTHERS) {
      assert.throws(() => Deno.statSync(`${mount.dir}/${dir}/${name}`), Deno.errors.NotFound, name);
    }
  }
  for (let index = 0; index < 800; index++) {
    Deno.statSync(`${mount.dir}/indexed/SOME-name-IN-mixed-CASE-${index}`);
  }
  // Without its flag a directory tells upper from lower case.
  Deno.statSync(`${mount.dir}/exact/README`);
  assert.throws(() => Deno.statSync(`${mount.dir}/exact/readme`), Deno.errors.NotFound);
});

Deno.test("mount: extent trees of every depth are read as the kernel reads them", async () => {
  if (!requires(...NEEDS)) return;
  using folder = new TempDir();
  const image = await kernelImage(folder, ["-b", "1024", "-O", "^metadata_csum"], "8M", (root) => {
    using file = Deno.openSync(`${root}/file`, { write: true, create: true });
    for (let index = 0; index < 300; index++) {
      file.seekSync(index * 4096, Deno.SeekMode.Start);
      file.writeSync(new Uint8Array(1024).fill(index));
    }
  });
  for (let depth = await deepen(image); depth <= 5; depth = await deepen(image)) {
    await using kernel = await mountKernel(image, folder.mkdir(`kernel${depth}`), "ro,noload");
    await using mount = await mountFuse4fs(image, folder.mkdir(`mount${depth}`), "ro");
    const [expected, actual] = [await describeTree(kernel.dir), await describeTree(mount.dir)];
    assert.match(expected.get("/file")!.get("map")!, /^300:/);
    const differences = compareTrees(expected, actual, { ignore: ["btime", "uuid"] });
    assert.equal(differences.join("\n"), "", `depth ${depth}`);
  }
});

const EXTENT_HEADER_SIZE = 12;
const I_BLOCK_OFFSET = 40;
const I_BLOCK_SIZE = 60;

/**
 * Puts a level on top of the extent tree of /file: the root moves into a free block, and becomes
 * an index of that block alone. Gives the new depth.
 */
async function deepen(image: string): Promise<number> {
  const ask = async (request: string) => (await run("debugfs", ["-R", request, image])).stdout;
  const [, block, offset] = /located at block (\d+), offset (0x[0-9a-f]+)/.exec(
    await ask("imap /file"),
  )!;
  const free = Number(/Free blocks found: (\d+)/.exec(await ask("ffb 1 7000"))![1]);
  await debugfs(image, [`setb ${free}`]);
  using file = Deno.openSync(image, { read: true, write: true });
  const at = Number(block) * 1024 + Number(offset) + I_BLOCK_OFFSET;
  const root = new Uint8Array(I_BLOCK_SIZE);
  file.seekSync(at, Deno.SeekMode.Start);
  file.readSync(root);
  const node = new Uint8Array(1024);
  node.set(root);
  // eh_max: all the room of a block.
  new DataView(node.buffer).setUint16(4, Math.floor((1024 - EXTENT_HEADER_SIZE) / 12), true);
  file.seekSync(free * 1024, Deno.SeekMode.Start);
  file.writeSync(node);
  const view = new DataView(root.buffer);
  const depth = view.getUint16(6, true) + 1;
  view.setUint16(2, 1, true);
  view.setUint16(6, depth, true);
  root.fill(0, EXTENT_HEADER_SIZE);
  view.setUint32(EXTENT_HEADER_SIZE + 4, free, true);
  file.seekSync(at, Deno.SeekMode.Start);
  file.writeSync(root);
  return depth;
}
