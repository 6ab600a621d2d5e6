/**
 * The same system calls on two mounts of the same image, the kernel's ext4 and what is under test:
 * what they return, what they leave, and what the kernel finds in the image afterwards.
 */

import { mountKernel } from "./mount.ts";
import { run, TempDir } from "./run.ts";
import { mountSubject, SUBJECT_IS_KERNEL } from "./subject.ts";
import { compareResults, type Difference, play } from "./syscalls.ts";
import { compareTrees, describeTree, type Facts, type Tree } from "./tree.ts";

export interface Sides {
  /** Makes a file system in a file that has its size. */
  readonly format: (image: string) => Promise<void>;
  /** The same for the kernel's side, where that is to be another one. */
  readonly formatReference?: (image: string) => Promise<void>;
  readonly megabytes: number;
  readonly script: readonly string[];
  /** Options of both mounts. */
  readonly options?: string;
}

export interface Outcome {
  readonly results: readonly Difference[];
  /** While both are mounted as they were. */
  readonly live: readonly string[];
  /** When the kernel mounts both images. */
  readonly stored: readonly string[];
}

/**
 * - where things were put, and how much of what is not written yet was filled with zeros: ino,
 *   blocks, map, order, d_ino, size of directories
 * - random or of the clock: version (the generation), btime
 * - what the kernel does not pass on for FUSE: uuid
 */
const NOT_COMPARED = [
  ...["ino", "d_ino.", "d_ino..", "order", "blocks", "map", "version", "btime", "uuid"],
  ...["bfree", "bavail"],
];

const LONG_FILE = 2 ** 28;

/** An unlinked inode is freed when the kernel says that it has forgotten it. */
const LATER = ["ffree"];

/** A folder to which the images of both sides are copied, to be looked at. */
const KEEP = Deno.env.get("KEEP_IMAGES");

/** Plays a script on both sides. Throws when e2fsck finds fault with what the subject left. */
export async function playBoth(sides: Sides): Promise<Outcome> {
  using folder = new TempDir();
  Deno.chmodSync(folder.path, 0o755);
  const [reference, subject] = [folder.join("reference.img"), folder.join("subject.img")];
  const dir = folder.mkdir("mnt");
  for (const image of [reference, subject]) {
    await run("truncate", ["-s", `${sides.megabytes}M`, image]);
  }
  await (sides.formatReference ?? sides.format)(reference);
  await sides.format(subject);
  const options = joined("noatime", sides.options);
  const expected = await playOn(await mountKernel(reference, dir, `rw,${options}`), sides.script);
  const actual = await playOn(await mountSubject(subject, dir, options), sides.script);
  if (KEEP !== undefined) await run("cp", ["--sparse=always", reference, subject, KEEP]);
  // The kernel's ext4 leaves file types in new directories of file systems that have none.
  if (!SUBJECT_IS_KERNEL) await run("e2fsck", ["-f", "-n", subject]);
  return {
    results: compareResults(sides.script, expected.results, actual.results),
    live: compare(withoutLongContent(expected.tree), withoutLongContent(actual.tree), LATER),
    stored: compare(await storedTree(reference, dir), await storedTree(subject, dir)),
  };
}

function joined(...options: readonly (string | undefined)[]): string {
  return options.filter((option) => option).join(",");
}

interface Played {
  readonly results: string[];
  readonly tree: Tree;
}

async function playOn(
  mount: AsyncDisposable & { readonly dir: string },
  script: readonly string[],
): Promise<Played> {
  await using mounted = mount;
  const results = await play(mounted.dir, script);
  // Until then, the kernel's ext4 takes for holes what it has not found a place for.
  await run("sync", ["-f", mounted.dir]);
  return { results, tree: await describeTree(mounted.dir) };
}

async function storedTree(image: string, dir: string): Promise<Tree> {
  await using mounted = await mountKernel(image, dir, "ro");
  return await describeTree(mounted.dir);
}

function compare(expected: Tree, actual: Tree, ignore: readonly string[] = []): string[] {
  const options = { ignore: [...NOT_COMPARED, ...ignore] };
  return [
    ...compareTrees(withoutChance(expected), withoutChance(actual), options),
    ...compareUse(expected, actual),
  ];
}

/** The content of a long file is sampled by tree.c: where is up to the holes, of which FUSE does not tell. */
function withoutLongContent(tree: Tree): Tree {
  const isLong = (facts: Facts) => Number(facts.get("size")) > LONG_FILE;
  return new Map([...tree].map(([path, facts]) => {
    const kept = [...facts].filter(([name]) => name !== "data" || !isLong(facts));
    return [path, new Map(kept)];
  }));
}

/** What is freed must be free: the space in use differs only by what depends on places. */
function compareUse(expected: Tree, actual: Tree): string[] {
  const [wanted, got] = [expected, actual].map((tree) => {
    const facts = tree.get("%")!;
    return Number(facts.get("blocks")) - Number(facts.get("bfree"));
  });
  if (Math.abs(got - wanted) <= 100 + wanted / 10) return [];
  return [`blocks in use: expected ${wanted}, got ${got}`];
}

/**
 * FS_INDEX_FL: whether a directory has an index depends on how its blocks were filled. FS_EXTENT_FL
 * and FS_INLINE_DATA_FL: for a file that is empty, ext4 has not decided yet.
 */
const FLAGS_OF_PLACE = 0x10081000;

function withoutChance(tree: Tree): Tree {
  return new Map([...tree].map(([path, facts]) => {
    const entries = [...facts].map(([name, value]) => [name, plain(name, value, facts)] as const);
    return [path, new Map(entries)];
  }));
}

function plain(name: string, value: string, facts: Facts): string {
  if (["atime", "mtime", "ctime"].includes(name)) {
    const seconds = Number(value);
    return seconds >= 1_600_000_000 && seconds < 2_100_000_000 ? "now" : value;
  }
  if (name === "size" && facts.get("type") === "d") return "";
  if (name === "flags" && !value.startsWith("!")) {
    return (Number(`0x${value}`) & ~FLAGS_OF_PLACE).toString(16);
  }
  return value;
}
