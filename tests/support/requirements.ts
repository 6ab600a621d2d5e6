/**
 * What a test needs of the machine it runs on. In continuous integration (CI=true) a missing piece
 * is a failure; elsewhere the test says what it misses, and does nothing.
 */

import { FUSE4FS } from "./mount.ts";

export type Requirement =
  | "root"
  | "loop"
  | "fuse"
  | "executable"
  | "e2fsprogs"
  | "gcc"
  | "libfuse3-dev"
  | "busybox"
  | "strace"
  | "images"
  | "sfdisk"
  | "xfs and btrfs"
  | "acl"
  | "python3"
  | "clang"
  | "make";

/** For each piece: whether it is there, and how to call it. */
const PIECES: Record<Requirement, { readonly words: string; readonly found: () => boolean }> = {
  root: { words: "to be run by root", found: () => Deno.uid() === 0 },
  loop: { words: "loop devices", found: () => exists("/dev/loop-control") },
  fuse: { words: "/dev/fuse", found: () => exists("/dev/fuse") },
  executable: { words: `the executable ${FUSE4FS}`, found: () => exists(FUSE4FS) },
  e2fsprogs: { words: "mke2fs and debugfs", found: () => inPath("mke2fs") && inPath("debugfs") },
  "libfuse3-dev": {
    words: "pkg-config and the headers of libfuse3",
    found: () => inPath("pkg-config") && exists("/usr/include/fuse3/fuse_lowlevel.h"),
  },
  gcc: { words: "gcc", found: () => inPath("gcc") },
  busybox: { words: "busybox-static", found: () => exists("/bin/busybox") },
  strace: { words: "strace", found: () => inPath("strace") },
  sfdisk: { words: "sfdisk", found: () => inPath("sfdisk") },
  "xfs and btrfs": {
    words: "mkfs.xfs and mkfs.btrfs",
    found: () => inPath("mkfs.xfs") && inPath("mkfs.btrfs"),
  },
  acl: { words: "setfacl and getfattr", found: () => inPath("setfacl") && inPath("getfattr") },
  clang: { words: "clang", found: () => inPath("clang") },
  make: { words: "make and gcc-12", found: () => inPath("make") && inPath("gcc-12") },
  python3: { words: "python3", found: () => inPath("python3") },
  images: { words: "the images of e2fsprogs", found: () => exists(E2FSPROGS_IMAGES) },
};

/** Damaged file systems that e2fsprogs tests itself with. */
export const E2FSPROGS_IMAGES =
  new URL("../../../shared/images/e2fsprogs", import.meta.url).pathname;

/**
 * True when all pieces are there. Begin a test with
 * `if (!requires("root", "loop")) return;`
 */
export function requires(...needs: readonly Requirement[]): boolean {
  const missing = needs.filter((need) => !PIECES[need].found()).map((need) => PIECES[need].words);
  if (missing.length === 0) return true;
  const words = `needs ${missing.join(" and ")}`;
  if (Deno.env.get("CI") === "true") throw new Error(words);
  console.log(`skipped: ${words}`);
  return false;
}

export function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

function inPath(program: string): boolean {
  const folders = (Deno.env.get("PATH") ?? "").split(":");
  return [...folders, "/sbin", "/usr/sbin"].some((folder) => exists(`${folder}/${program}`));
}
