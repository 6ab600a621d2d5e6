/**
 * What building, testing and mounting need on a machine, and installing it: with apt-get as root
 * on Debian; elsewhere the names are printed.
 */

import { sharedLibrary } from "./compile/shared_library.ts";

/** Something that must be there. */
export interface Dependency {
  /** Debian's name for it. */
  readonly debianPackage: string;
  readonly why: string;
  readonly isThere: () => boolean;
}

function program(name: string, ...others: string[]): () => boolean {
  return () => [name, ...others].some((candidate) => findProgram(candidate) !== undefined);
}

/** To build dist/fuse4fs. */
const FOR_BUILDING: readonly Dependency[] = [
  {
    debianPackage: "libfuse3-3",
    why: "the executable carries it",
    isThere: () => sharedLibrary("libfuse3.so.3", "libfuse3.so.4") !== undefined,
  },
  {
    debianPackage: "gcc",
    why: "compiles the first code of the executable",
    isThere: program("cc", "gcc"),
  },
  { debianPackage: "libc6-dev", why: "goes with gcc", isThere: hasFile("/usr/include/stdio.h") },
  { debianPackage: "binutils", why: "objcopy and readelf", isThere: program("objcopy") },
  {
    debianPackage: "clang",
    why: "compiles iomap BPF programs",
    isThere: program("clang", "clang-19", "clang-16", "clang-14"),
  },
];

/** To mount as well. */
export const FOR_MOUNTING: readonly Dependency[] = [
  ...FOR_BUILDING,
  { debianPackage: "fuse3", why: "fusermount3 and mount.fuse3", isThere: program("fusermount3") },
  { debianPackage: "e2fsprogs", why: "mke2fs makes the demo image", isThere: program("mke2fs") },
];

/** To run the tests as well. */
export const FOR_TESTING: readonly Dependency[] = [
  ...FOR_MOUNTING,
  { debianPackage: "libfuse3-dev", why: "C programs of the tests", isThere: hasPkg("fuse3") },
  { debianPackage: "pkg-config", why: "C programs of the tests", isThere: program("pkg-config") },
  { debianPackage: "python3", why: "scripts of system calls", isThere: program("python3") },
  { debianPackage: "attr", why: "setfattr", isThere: program("setfattr") },
  { debianPackage: "acl", why: "setfacl", isThere: program("setfacl") },
  { debianPackage: "xfsprogs", why: "another file system", isThere: program("mkfs.xfs") },
  { debianPackage: "btrfs-progs", why: "another file system", isThere: program("mkfs.btrfs") },
  { debianPackage: "zsh", why: "its completion", isThere: program("zsh") },
  { debianPackage: "fish", why: "its completion", isThere: program("fish") },
  { debianPackage: "fdisk", why: "sfdisk", isThere: program("sfdisk") },
  { debianPackage: "busybox-static", why: "the chroot test", isThere: program("busybox") },
  { debianPackage: "strace", why: "looks for network traffic", isThere: program("strace") },
  { debianPackage: "xz-utils", why: "unpacks test images", isThere: program("xz") },
  { debianPackage: "bzip2", why: "unpacks test images", isThere: program("bzip2") },
  { debianPackage: "gcc-12", why: "modules of the virtual machine", isThere: program("gcc-12") },
  { debianPackage: "make", why: "modules of the virtual machine", isThere: program("make") },
];

/** To run the benchmark as well. */
export const FOR_BENCHMARK: readonly Dependency[] = [
  ...FOR_TESTING,
  { debianPackage: "fuse2fs", why: "what fuse4fs is compared with", isThere: program("fuse2fs") },
  { debianPackage: "fio", why: "random reads", isThere: program("fio") },
];

/** Installs what is missing, or ends the process with the names of it. */
export function ensure(dependencies: readonly Dependency[]): void {
  const missing = dependencies.filter(({ isThere }) => !isThere());
  if (missing.length === 0) return;
  const names = missing.map(({ debianPackage }) => debianPackage);
  if (Deno.uid() !== 0 || findProgram("apt-get") === undefined) {
    console.error("Missing on this machine (by their names in Debian):");
    for (const { debianPackage, why } of missing) console.error(`  ${debianPackage}: ${why}`);
    Deno.exit(1);
  }
  console.log(`Installing ${names.join(" ")}`);
  aptGet("update");
  aptGet("install", "--no-install-recommends", ...names);
  const still = missing.filter(({ isThere }) => !isThere());
  if (still.length > 0) {
    console.error(`Still missing: ${still.map(({ debianPackage }) => debianPackage).join(" ")}`);
    Deno.exit(1);
  }
}

function aptGet(...args: string[]): void {
  const { success, stderr } = new Deno.Command("apt-get", {
    args: ["-qq", "-y", ...args],
    env: { DEBIAN_FRONTEND: "noninteractive" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).outputSync();
  if (success) return;
  Deno.stderr.writeSync(stderr);
  console.error(`apt-get ${args[0]} failed`);
  Deno.exit(1);
}

/** Where a program is; the folders of root's programs count even when PATH leaves them out. */
function findProgram(name: string): string | undefined {
  const folders = [...(Deno.env.get("PATH") ?? "").split(":"), "/usr/sbin", "/sbin", "/usr/bin"];
  return folders.map((folder) => `${folder}/${name}`).find((path) => exists(path));
}

function hasFile(path: string): () => boolean {
  return () => exists(path);
}

function hasPkg(name: string): () => boolean {
  return () =>
    findProgram("pkg-config") !== undefined &&
    new Deno.Command("pkg-config", { args: ["--exists", name] }).outputSync().success;
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}
