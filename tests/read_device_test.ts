/**
 * What a file system lies on: parts of disks, backup superblocks, external journals, block devices,
 * and a medium that fails.
 */

import assert from "node:assert/strict";
import { CONFIGS, makeImage } from "./support/images.ts";
import { fsync, withFile } from "./support/libc.ts";
import { pattern, writeFile } from "./support/populate_data.ts";
import { attachLoop, FUSE4FS, mountFuse4fs, mountKernel } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { compileC, digestOf, run, TempDir } from "./support/run.ts";
import { compareTrees, describeTree, type Tree } from "./support/tree.ts";

const NEEDS = ["root", "loop", "fuse", "e2fsprogs", "gcc", "executable"] as const;
const NOT_IN_FUSE = ["btime", "uuid"];
const MEBIBYTE = 2 ** 20;

async function imageOf(name: string, folder: TempDir): Promise<string> {
  const config = CONFIGS.find((config) => config.name === name);
  assert.ok(config !== undefined, name);
  return await makeImage(config, folder.path);
}

async function kernelTree(image: string, folder: TempDir, options = "ro,noload"): Promise<Tree> {
  await using mount = await mountKernel(image, folder.mkdir("kernel"), options);
  return await describeTree(mount.dir);
}

let mounts = 0;

async function fuseTree(image: string, folder: TempDir, options = "ro"): Promise<Tree> {
  await using mount = await mountFuse4fs(image, folder.mkdir(`mount${mounts++}`), options);
  return await describeTree(mount.dir);
}

function assertSame(expected: Tree, actual: Tree, what: string, ignore: string[] = []): void {
  const differences = compareTrees(expected, actual, { ignore: [...NOT_IN_FUSE, ...ignore] });
  assert.equal(differences.join("\n"), "", what);
}

Deno.test("mount: partition=N and offset= find the file system in a disk image", async () => {
  if (!requires(...NEEDS)) return;
  using folder = new TempDir();
  const image = await imageOf("ext4-1k", folder);
  const expected = await kernelTree(image, folder);
  const { size } = Deno.statSync(image);
  const script = `start=1MiB, size=1MiB\nstart=2MiB, size=${size / MEBIBYTE}MiB\n`;
  for (const label of ["gpt", "dos"]) {
    const disk = folder.join(`${label}.disk`);
    using file = Deno.openSync(disk, { create: true, write: true });
    file.truncateSync(size + 4 * MEBIBYTE);
    await run("sfdisk", ["-q", disk], { input: `label: ${label}\n${script}` });
    const copy = ["bs=1M", "seek=2", "conv=notrunc", "status=none"];
    await run("dd", [`if=${image}`, `of=${disk}`, ...copy]);
    assertSame(expected, await fuseTree(disk, folder, "ro,partition=2"), `${label}, partition 2`);
    const options = `ro,offset=${2 * MEBIBYTE}`;
    assertSame(expected, await fuseTree(disk, folder, options), `${label}, offset`);
    const { stderr } = await run(FUSE4FS, [disk, folder.path, "-o", "ro,partition=9"], {
      codes: [1, 2, 4, 32],
    });
    assert.match(stderr, /partition/);
  }
});

Deno.test("mount: sb= and the search for a backup make up for a destroyed superblock", async () => {
  if (!requires(...NEEDS)) return;
  using folder = new TempDir();
  // The backup of groups of an unusual size is found only where the user says that it is, counting
  // in blocks, here of 2 KiB, or in KiB.
  const cases = [["ext4-1k", 8193, ["ro"]], ["ext4-meta-bg-32bit", 3072, ["ro,sb=6144"]]] as const;
  for (const [name, block, others] of cases) {
    const image = await imageOf(name, folder);
    const expected = await kernelTree(image, folder);
    Deno.removeSync(folder.join("kernel"));
    const sound = await fuseTree(image, folder, `ro,sb=${block}`);
    using file = Deno.openSync(image, { write: true });
    file.seekSync(1024, Deno.SeekMode.Start);
    file.writeSync(new Uint8Array(1024));
    // A backup does not follow the counts of free blocks and inodes.
    for (const tree of [expected, sound]) (tree as Map<string, unknown>).delete("%");
    for (const options of [...others, `ro,sb=${block}`]) {
      const actual = new Map(await fuseTree(image, folder, options));
      actual.delete("%");
      assertSame(expected, actual, `${name} with ${options}`);
    }
    assertSame(expected, sound, `${name}, whole, with its backup`);
  }
});

Deno.test("mount: an external journal is replayed, and missed when it is not named", async () => {
  if (!requires(...NEEDS)) return;
  using folder = new TempDir();
  const [image, journal] = [folder.join("image"), folder.join("journal")];
  await run("mke2fs", ["-q", "-F", "-b", "4096", "-O", "journal_dev", journal, "8M"]);
  await run("truncate", ["-s", "32M", image]);
  {
    await using journalLoop = await attachLoop(journal);
    const options = ["-b", "4096", "-J", `device=${journalLoop.path}`];
    await run("mke2fs", ["-q", "-F", "-t", "ext4", ...options, image]);
    const journalOption = `rw,commit=600,journal_path=${journalLoop.path}`;
    await using mount = await mountKernel(image, folder.mkdir("filled"), journalOption);
    for (let index = 0; index < 50; index++) {
      Deno.mkdirSync(`${mount.dir}/dir${index}`);
      writeFile(`${mount.dir}/dir${index}/file`, pattern(index, 5000));
    }
    // What is committed is in the journal, and not yet at its place.
    withFile(`${mount.dir}/dir49/file`, fsync);
    await Deno.copyFile(image, folder.join("dirty-image"));
    await Deno.copyFile(journal, folder.join("dirty-journal"));
  }
  const [dirty, dirtyJournal] = [folder.join("dirty-image"), folder.join("dirty-journal")];
  const { stdout } = await run("dumpe2fs", ["-h", dirty]);
  assert.match(stdout, /needs_recovery/);
  const digests = [digestOf(dirty), digestOf(dirtyJournal)];
  const actual = await fuseTree(dirty, folder, `ro,journal_path=${dirtyJournal}`);
  const { stderr } = await run(FUSE4FS, [dirty, folder.path, "-o", "ro"], { codes: [1, 2, 4, 32] });
  assert.match(stderr, /journal_path=/);
  const stale = await fuseTree(dirty, folder, "ro,norecovery");
  assert.ok(!stale.has("/dir49/file"), "the journal had nothing in it");
  assert.deepEqual([digestOf(dirty), digestOf(dirtyJournal)], digests, "something was written");

  // The kernel writes what it replays, to a device that is writable, whatever the mount is.
  await using journalLoop = await attachLoop(dirtyJournal);
  await using loop = await attachLoop(dirty);
  const expected = await kernelTree(loop.path, folder, `ro,journal_path=${journalLoop.path}`);
  assert.ok(expected.has("/dir49/file"));
  assertSame(expected, actual, "after recovery", ["bfree", "bavail", "ffree"]);
});

Deno.test("mount: minixdf counts blocks as the kernel's minixdf", async () => {
  if (!requires(...NEEDS)) return;
  using folder = new TempDir();
  for (const name of ["ext2-1k", "ext4-4k", "ext4-bigalloc-1k", "ext4-meta-bg", "ext4-no-64bit"]) {
    const image = await imageOf(name, folder);
    const expected = await kernelTree(image, folder, "ro,noload,minixdf");
    Deno.removeSync(folder.join("kernel"));
    const actual = await fuseTree(image, folder, "ro,minixdf");
    assertSame(new Map([["%", expected.get("%")!]]), new Map([["%", actual.get("%")!]]), name);
  }
});

/** FIBMAP's answers for a file: how large a block is to it, and where each of the first is. */
async function blockMap(file: string): Promise<{ size: number; blocks: number[] }> {
  const { stdout } = await run(await compileC("probe"), ["bmap", file, "80"]);
  const [size, ...blocks] = stdout.trim().split(" ").map(Number);
  return { size, blocks };
}

Deno.test("mount: FIBMAP on a block device gives the places that the kernel gives", async () => {
  if (!requires(...NEEDS)) return;
  using folder = new TempDir();
  const files = ["sparse", "fragments", "hole-at-start", "sizes/300001", "zeros"];
  for (const name of ["ext2-2k-inode128", "ext4-1k", "ext4-bigalloc-4k"]) {
    const image = await imageOf(name, folder);
    await using loop = await attachLoop(image, ["--read-only"]);
    const mapsBelow = (dir: string) =>
      Promise.all(files.map((file) => blockMap(`${dir}/data/${file}`)));
    const kernelMaps = await (async () => {
      await using mount = await mountKernel(loop.path, folder.mkdir(`k-${name}`), "ro,noload");
      return await mapsBelow(mount.dir);
    })();
    // Only a mount of the type fuseblk hands FIBMAP on.
    await using mount = await mountFuse4fs(loop.path, folder.mkdir(`f-${name}`), "ro,blkdev");
    for (const [index, { size, blocks }] of (await mapsBelow(mount.dir)).entries()) {
      const kernel = kernelMaps[index];
      // Kernels give fuseblk blocks of 4 KiB, whatever is asked for.
      const ratio = size / kernel.size;
      const expected = kernel.blocks.filter((_, block) => block % ratio === 0)
        .map((block) => Math.floor(block / ratio));
      assert.ok(expected.length >= 20);
      assert.deepEqual(blocks.slice(0, expected.length), expected, `${name}: ${files[index]}`);
    }
  }
});

Deno.test("mount: a device that shrinks gives EIO, and the mount lives on", async () => {
  if (!requires(...NEEDS)) return;
  using folder = new TempDir();
  const image = folder.join("image");
  const source = folder.mkdir("source");
  const names = ["a", "b", "c", "d"];
  for (const name of names) writeFile(`${source}/${name}`, pattern(1, 4 * MEBIBYTE));
  const options = ["-b", "4096", "-O", "^has_journal", "-d", source];
  await run("mke2fs", ["-q", "-F", "-t", "ext4", ...options, image, "32M"]);
  const { size } = Deno.statSync(image);
  const start = async (name: string) =>
    Number((await run("debugfs", ["-R", `bmap /${name} 0`, image])).stdout) * 4096;
  const places = await Promise.all(names.map(async (name) => ({ name, at: await start(name) })));
  const [first, , , last] = places.sort((a, b) => a.at - b.at);

  await using mount = await mountFuse4fs(image, folder.mkdir("mount"), "ro");
  const read = (name: string) => Deno.readFileSync(`${mount.dir}/${name}`);
  Deno.truncateSync(image, last.at);
  assert.throws(() => read(last.name), /os error 5/);
  assert.throws(() => read(last.name), /os error 5/, "a second time");
  assert.equal([...Deno.readDirSync(mount.dir)].length, names.length + 1);
  assert.deepEqual(read(first.name), pattern(1, 4 * MEBIBYTE));
  // What was cut off comes back as zeros.
  Deno.truncateSync(image, size);
  assert.equal(read(last.name).length, 4 * MEBIBYTE);
});
