/**
 * Random sequences of system calls on fuse4fs and on the kernel's ext4, with the same image: the
 * same results, the same errno, the same tree while it is mounted and after the kernel has mounted
 * what fuse4fs wrote; and e2fsck finds no fault.
 *
 *     deno task test tests/random_operations_test.ts                   a few sequences
 *     RANDOM_OPERATIONS=full deno task test ...                        60 of 2,000 calls
 *     RANDOM_SEED=17 RANDOM_CONFIG=ext4-1k deno task test ...          one of them again
 *     FUSE4FS_SUBJECT=kernel ...                                       the kernel against itself
 */

import assert from "node:assert/strict";
import { CONFIGS, type ImageConfig } from "./support/images.ts";
import { randomScript } from "./support/random_script.ts";
import { requires } from "./support/requirements.ts";
import { run } from "./support/run.ts";
import { describeDifference } from "./support/syscalls.ts";
import { type Outcome, playBoth } from "./support/two_sides.ts";

const IS_FULL = Deno.env.get("RANDOM_OPERATIONS") === "full";
const SEED = Deno.env.get("RANDOM_SEED");
const CONFIG = Deno.env.get("RANDOM_CONFIG");
const COUNT = Number(Deno.env.get("RANDOM_COUNT") ?? (IS_FULL ? 2000 : 600));
const SEQUENCES = IS_FULL ? 60 : 10;

const MIB = 2 ** 20;

/** What neither the running kernel nor fuse4fs can write to. */
const NOT_WRITABLE = /encrypt|quota|mmp|mke2fs/;

const MATRIX = CONFIGS.filter(({ name, oracle }) =>
  oracle === "kernel" && !NOT_WRITABLE.test(name)
);

/** In a short run the kinds that differ most from one another come first. */
const FIRST = [
  "ext4-4k",
  "ext4-inline-1k",
  "ext2-1k",
  "ext4-bigalloc-1k",
  "ext4-ea-inode-inline-1k",
  "ext3-4k",
  "ext4-1k",
  "ext4-no-checksums",
  "ext4-orphan-file",
  "ext4-inode128",
];

function configOf(number: number): ImageConfig {
  const first = MATRIX.filter(({ name }) => FIRST.includes(name))
    .sort((a, b) => FIRST.indexOf(a.name) - FIRST.indexOf(b.name));
  const ordered = [...first, ...MATRIX.filter(({ name }) => !FIRST.includes(name))];
  return ordered[number % ordered.length];
}

async function format({ mke2fs, blockSize, tuneBefore, tune2fs }: ImageConfig, image: string) {
  const uuid = "0a3c8f9e-6d41-4b0f-8e2a-5b7c9d1e2f30";
  const seed = mke2fs.includes("-E") ? [] : ["-E", `hash_seed=${uuid}`];
  await run("mke2fs", ["-q", "-F", "-b", `${blockSize}`, "-U", uuid, ...seed, ...mke2fs, image]);
  if (tuneBefore !== undefined) await run("tune2fs", [...tuneBefore, image]);
  if (tune2fs !== undefined) await run("tune2fs", [...tune2fs, image]);
}

/** The kernel's ext4 (6.18) spoils content that grows out of an inode: it is to leave it in blocks. */
function withoutInlineData(config: ImageConfig): ImageConfig {
  const words = config.mke2fs.map((word) => word.replace(/,inline_data|inline_data,/, ""))
    .map((word) => word === "inline_data" ? "extents" : word);
  return { ...config, mke2fs: words };
}

async function playSequence(seed: number, config: ImageConfig): Promise<Outcome> {
  const script = randomScript(seed, {
    count: COUNT,
    largestFile: seed % 4 === 0 ? 2 ** 31 + 64 * MIB : 64 * MIB,
    space: 40 * MIB,
    hasLateTimes: !/inode128|ext2-revision0/.test(config.name),
    longestTarget: config.blockSize - 1,
  });
  return await playBoth({
    format: (image) => format(config, image),
    formatReference: (image) => format(withoutInlineData(config), image),
    megabytes: 160,
    script,
  });
}

function explain({ results, live, stored }: Outcome): string {
  const part = (title: string, lines: readonly string[]) =>
    lines.length === 0 ? [] : [`${lines.length} differences in ${title}:`, ...lines.slice(0, 12)];
  return [
    ...part("results", results.map(describeDifference)),
    ...part("the mounted tree", live),
    ...part("the tree that the kernel finds", stored),
  ].join("\n");
}

for (let number = 0; number < SEQUENCES; number++) {
  const seed = SEED === undefined ? number : Number(SEED);
  const config = CONFIG === undefined
    ? configOf(seed)
    : MATRIX.find(({ name }) => name === CONFIG) ?? configOf(seed);
  if (SEED !== undefined && number > 0) break;
  Deno.test(`random operations, seed ${seed} on ${config.name}: as the kernel's ext4`, async () => {
    if (!requires("root", "loop", "fuse", "executable", "e2fsprogs", "gcc")) return;
    assert.equal(explain(await playSequence(seed, config)), "");
  });
}
