/**
 * What a mounted tree looks like to system calls (the work is done by tree.c), and how two of them
 * differ.
 */

import { compileC, run } from "./run.ts";

/** Facts of one object by name, such as `mode` or `xattr.user.name`; all as text. */
export type Facts = ReadonlyMap<string, string>;

/**
 * Facts by path. Bytes of paths other than printable ASCII stand as %XX. The path `%` has the
 * facts of the file system as a whole, the empty path those of its root.
 */
export type Tree = ReadonlyMap<string, Facts>;

/** Describes a mounted tree. */
export async function describeTree(root: string): Promise<Tree> {
  const { stdout } = await run(await compileC("tree"), [root]);
  return parseTree(stdout);
}

/** What tree.c printed. */
export function parseTree(text: string): Tree {
  const tree = new Map<string, Facts>();
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const [path, ...facts] = line.split("\t");
    tree.set(
      path,
      new Map(facts.map((fact) => {
        const equals = fact.indexOf("=");
        return [fact.slice(0, equals), fact.slice(equals + 1)];
      })),
    );
  }
  shareAmongLinks(tree);
  return tree;
}

/**
 * tree.c describes an inode under the name that it meets first. Others get the facts as well, so
 * that it does not matter in which order a directory lists them.
 */
function shareAmongLinks(tree: Map<string, Facts>): void {
  const described = new Map<string, Facts>();
  for (const facts of tree.values()) {
    if (facts.has("type")) described.set(facts.get("ino")!, facts);
  }
  for (const [path, facts] of tree) {
    const whole = described.get(facts.get("ino") ?? "");
    if (facts.has("type") || whole === undefined) continue;
    tree.set(path, new Map([...whole, ...facts]));
  }
}

export interface CompareOptions {
  /** Facts that are left out of account, by name. */
  readonly ignore?: readonly string[];
  /** Only facts that `expected` has count: it comes from a source that does not know them all. */
  readonly partial?: boolean;
  /** Most differences that are told. */
  readonly limit?: number;
}

/** Differences in words, one a line; none when the trees are the same. */
export function compareTrees(
  expected: Tree,
  actual: Tree,
  options: CompareOptions = {},
): string[] {
  const differences: string[] = [];
  const ignored = new Set(options.ignore);
  for (const [path, facts] of expected) {
    const others = actual.get(path);
    if (others === undefined) {
      differences.push(`${path}: missing`);
      continue;
    }
    const names = options.partial ? facts.keys() : new Set([...facts.keys(), ...others.keys()]);
    for (const name of names) {
      if (ignored.has(name) || facts.get(name) === others.get(name)) continue;
      const [wanted, got] = [facts, others].map((side) => side.get(name) ?? "nothing");
      differences.push(`${path}: ${name}: expected ${wanted}, got ${got}`);
    }
  }
  for (const path of actual.keys()) {
    if (!expected.has(path) && !(options.partial && path === "%")) {
      differences.push(`${path}: not expected`);
    }
  }
  const limit = options.limit ?? 40;
  if (differences.length <= limit) return differences;
  return [...differences.slice(0, limit), `and ${differences.length - limit} more differences`];
}
