/**
 * What an image holds, as debugfs tells it: the oracle for file systems that the kernel at hand
 * cannot mount. Facts have the names and forms of tree.c. Names must be plain ASCII.
 */

import { describeTree, type Tree } from "./tree.ts";
import { run, TempDir } from "./run.ts";

const EXT4_INLINE_DATA_FL = 0x10000000;
/** Flags that FS_IOC_GETFLAGS shows. */
const VISIBLE_FLAGS = 0x725bdfff;
/** Largest file that is dumped to look at its content. */
const MAX_DUMP = 2 ** 26;
const ROOT = 2;

const TYPE_LETTERS: Readonly<Record<string, string>> = {
  "regular": "f",
  "directory": "d",
  "symlink": "l",
  "character special": "c",
  "block special": "b",
  "FIFO": "p",
  "socket": "s",
};

/** Runs many commands in one debugfs and gives what each of them printed. */
export async function askDebugfs(image: string, commands: readonly string[]): Promise<string[]> {
  const { stdout } = await run("debugfs", ["-f", "/dev/stdin", image], {
    input: commands.map((command) => command + "\n").join(""),
  });
  const answers = stdout.split(/^debugfs: (?=.*\n)/m).slice(1);
  if (answers.length !== commands.length) {
    throw new Error(`${answers.length} answers to ${commands.length} questions: ${stdout}`);
  }
  return answers.map((answer) => answer.slice(answer.indexOf("\n") + 1));
}

/** All that debugfs knows of an image. */
export async function describeByDebugfs(image: string): Promise<Tree> {
  const paths = await listAll(image);
  const inos = [...new Set(paths.values())];
  const stats = await askDebugfs(image, inos.map((ino) => `stat <${ino}>`));
  const facts = new Map(inos.map((ino, index) => [ino, parseStat(stats[index], ino)]));
  await addContents(image, facts);
  await addXattrs(image, facts);
  return new Map([...paths].map(([path, ino]) => [path, facts.get(ino)!]));
}

/** Inode numbers by path; the root has the empty path. */
async function listAll(image: string): Promise<Map<string, number>> {
  const paths = new Map([["", ROOT]]);
  let level: [string, number][] = [["", ROOT]];
  while (level.length > 0) {
    const lists = await askDebugfs(image, level.map(([, ino]) => `ls -p <${ino}>`));
    const next: [string, number][] = [];
    for (const [index, list] of lists.entries()) {
      for (const line of list.split("\n").filter((line) => line !== "")) {
        const [, ino, mode, , , name] = line.split("/");
        if (ino === "0" || name === "." || name === "..") continue;
        const path = `${level[index][0]}/${name}`;
        paths.set(path, Number(ino));
        if (mode.startsWith("04")) next.push([path, Number(ino)]);
      }
    }
    level = next;
  }
  return paths;
}

function parseStat(text: string, ino: number): Map<string, string> {
  const word = (pattern: RegExp): string => {
    const found = pattern.exec(text);
    if (found === null) throw new Error(`no ${pattern} in what debugfs tells of ${ino}:\n${text}`);
    return found[1];
  };
  const type = TYPE_LETTERS[word(/Type: (.*?) +Mode:/)];
  const flags = Number(word(/Flags: (0x[0-9a-f]+)/));
  const size = Number(word(/Size: (\d+)/));
  // The kernel counts the inline data of files, and of nothing else, as space in use.
  const isInline = type === "f" && (flags & EXT4_INLINE_DATA_FL) !== 0;
  const inlineBlocks = isInline ? Math.ceil(size / 512) : 0;
  const facts = new Map([
    ["type", type],
    ["mode", parseInt(word(/Mode: +(\d+)/), 8).toString(8).padStart(4, "0")],
    ["ino", `${ino}`],
    ["nlink", word(/Links: (\d+)/)],
    // Printed as signed numbers.
    ["uid", `${Number(word(/User: +(-?\d+)/)) >>> 0}`],
    ["gid", `${Number(word(/Group: +(-?\d+)/)) >>> 0}`],
    ["size", `${size}`],
    ["blocks", `${Number(word(/Blockcount: (\d+)/)) + inlineBlocks}`],
    ["atime", parseTime(word(/atime: (0x\S+)/))],
    ["mtime", parseTime(word(/mtime: (0x\S+)/))],
    ["ctime", parseTime(word(/ctime: (0x\S+)/))],
  ]);
  if (type === "c" || type === "b") {
    const [major, minor] = word(/Device major\/minor number: (\d+:\d+)/).split(":").map(Number);
    facts.set("rdev", `${major}:${minor}`);
  }
  if (type === "l") {
    const target = /^Fast link dest: "(.*)"$/m.exec(text);
    if (target !== null) facts.set("target", target[1]);
  }
  if (type === "f" || type === "d") {
    facts.set("flags", ((flags & VISIBLE_FLAGS) >>> 0).toString(16).padStart(8, "0"));
    facts.set("version", word(/Generation: (\d+)/));
  }
  return facts;
}

/** `0x2aaaaaaa:00000002`: seconds, then the extra word, if the inode has one. */
function parseTime(text: string): string {
  const [seconds, extra] = text.split(":");
  const bits = extra === undefined ? 0 : parseInt(extra, 16);
  const total = (parseInt(seconds, 16) | 0) + (bits & 3) * 2 ** 32;
  return `${total}.${String(bits >>> 2).padStart(9, "0")}`;
}

/** Sums up dumps of files and of long link targets, in the way of tree.c. */
async function addContents(image: string, facts: Map<number, Map<string, string>>): Promise<void> {
  using folder = new TempDir();
  const dumped = [...facts].filter(([, each]) => {
    const isSlowLink = each.get("type") === "l" && !each.has("target");
    return (each.get("type") === "f" || isSlowLink) && Number(each.get("size")) <= MAX_DUMP;
  });
  await run("debugfs", ["-f", "/dev/stdin", image], {
    input: dumped.map(([ino]) => `dump <${ino}> ${folder.join(`${ino}`)}\n`).join(""),
  });
  const sums = await describeTree(folder.path);
  for (const [ino, each] of dumped) {
    if (each.get("type") === "l") each.set("target", Deno.readTextFileSync(folder.join(`${ino}`)));
    else each.set("data", sums.get(`/${ino}`)!.get("data")!);
  }
}

/** Values are set on a file outside, so that tree.c sums them up. */
async function addXattrs(image: string, facts: Map<number, Map<string, string>>): Promise<void> {
  const inos = [...facts.keys()];
  const lists = await askDebugfs(image, inos.map((ino) => `ea_list <${ino}>`));
  const wanted = inos.flatMap((ino, index) =>
    [...lists[index].matchAll(/^ {2}(\S+?) \((\d+)\)/mg)]
      .map(([, name, size]) => ({ ino, name, size: Number(size) }))
      // The one is not for user space, the other has another form on the disk.
      .filter(({ name }) => name !== "system.data" && !name.startsWith("system.posix_acl"))
  );
  using folder = new TempDir();
  await run("debugfs", ["-f", "/dev/stdin", image], {
    input: wanted.map(({ ino, name }, index) =>
      `ea_get -f ${folder.join(`${index}`)} <${ino}> ${name}\n`
    ).join(""),
  });
  const sums = await describeTree(folder.path);
  for (const [index, { ino, name, size }] of wanted.entries()) {
    const sum = size === 0 ? "0".repeat(16) : sums.get(`/${index}`)!.get("data")!;
    facts.get(ino)!.set(`xattr.${name}`, `${size}:${sum}`);
  }
}
