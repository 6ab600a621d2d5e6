/** Walking a path through the file system, for the commands that work without a mount. */

import { fail } from "../../sys/fs_error.ts";
import { namedInode } from "./lookup.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { readSymlink } from "../content/symlink.ts";

/** As many links as the kernel follows on one way. */
const MAX_LINKS = 40;
const SLASH = 0x2f;

export interface PathOptions {
  /** Follow a link at the end of the path, as stat(2); otherwise give the link itself, as lstat(2). */
  readonly followLast: boolean;
}

/**
 * The inode at a path, which counts from the root of the file system whether or not it starts with
 * a slash. Throws ENOENT, ENOTDIR, ELOOP, and what lookup throws.
 */
export function resolvePath(
  fs: FileSystem,
  path: Uint8Array | string,
  options: PathOptions,
): Inode {
  const bytes = typeof path === "string" ? new TextEncoder().encode(path) : path;
  /** Names still to walk, last first. */
  const names = components(bytes).reverse();
  let current = fs.root;
  let links = 0;
  for (let name = names.pop(); name !== undefined; name = names.pop()) {
    const next = namedInode(fs, current, name);
    if (next === undefined) {
      throw fail("ENOENT", `No such file or directory: ${printable(bytes)}`);
    }
    if (!next.isSymlink || (names.length === 0 && !options.followLast)) {
      current = next;
      continue;
    }
    if (++links > MAX_LINKS) {
      throw fail("ELOOP", `Too many symbolic links: ${printable(bytes)}`);
    }
    const target = readSymlink(fs, next);
    if (target[0] === SLASH) current = fs.root;
    names.push(...components(target).reverse());
  }
  return current;
}

function components(path: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let start = 0;
  for (let at = 0; at <= path.length; at++) {
    if (at < path.length && path[at] !== SLASH) continue;
    if (at > start) parts.push(path.subarray(start, at));
    start = at + 1;
  }
  return parts;
}

function printable(path: Uint8Array): string {
  return new TextDecoder().decode(path);
}
