/**
 * The libbpf that the executable carries, with the libraries that it needs. Module types of
 * struct_ops need version 1.4; the machine's own is taken when it is that new, else Debian's
 * backport is fetched once and kept (cache_folder.ts). FUSE4FS_LIBBPF names another file.
 */

import type { LibraryName } from "../../src/sys/embedded.ts";
import { cacheFolder } from "../cache_folder.ts";
import { DebianPackages, removeIfThere } from "../debian_packages.ts";
import { sharedLibrary } from "./shared_library.ts";

const CACHE = cacheFolder("libbpf");
const SONAME = "libbpf.so.1";
const PACKAGE = "libbpf1";
const MIN_MINOR = 4;

/** What libbpf may need besides the C library. */
const NEEDED: readonly (readonly [LibraryName, string])[] = [
  ["libz", "libz.so.1"],
  ["libzstd", "libzstd.so.1"],
  ["libelf", "libelf.so.1"],
];
const C_LIBRARY = /^(libc\.so\.6|ld-linux-[\w-]+\.so\.\d+|libm\.so\.6|libpthread\.so\.0)$/;

/** Files by the names in src/sys/embedded.ts; empty, with a note, when there is no such libbpf. */
export async function findLibbpf(): Promise<Partial<Record<LibraryName, string>>> {
  const libbpf = Deno.env.get("FUSE4FS_LIBBPF") ?? ownLibbpf() ?? await fetchLibbpf();
  if (libbpf === undefined) return {};
  const needed = new Map<LibraryName, string>();
  addNeeded(libbpf, needed);
  return { ...Object.fromEntries(needed), libbpf };
}

/** The machine's libbpf if it is new enough: its file is called libbpf.so.1.5.0 or the like. */
function ownLibbpf(): string | undefined {
  const path = sharedLibrary(SONAME);
  return path !== undefined && minorOf(path) >= MIN_MINOR ? path : undefined;
}

function minorOf(path: string): number {
  return Number(/libbpf\.so\.1\.(\d+)/.exec(path)?.[1] ?? -1);
}

/** Several processes may ask at once: the first one fetches, the others wait. */
async function fetchLibbpf(): Promise<string | undefined> {
  Deno.mkdirSync(CACHE, { recursive: true });
  using lock = Deno.openSync(`${CACHE}/lock`, { write: true, create: true });
  await lock.lock(true);
  const folder = `${CACHE}/root/usr/lib/${Deno.build.arch}-linux-gnu`;
  try {
    return fileIn(folder) ?? await download(folder);
  } catch (error) {
    console.log(`no libbpf 1.${MIN_MINOR} to be had: ${(error as Error).message.split("\n")[0]}`);
    return undefined;
  }
}

async function download(folder: string): Promise<string | undefined> {
  removeIfThere(`${CACHE}/root`);
  const debian = await DebianPackages.open(CACHE);
  await debian.unpack(await debian.missing(PACKAGE), `${CACHE}/root`);
  return fileIn(folder);
}

function fileIn(folder: string): string | undefined {
  try {
    const path = Deno.realPathSync(`${folder}/${SONAME}`);
    return minorOf(path) >= MIN_MINOR ? path : undefined;
  } catch {
    return undefined;
  }
}

/** A library that came with libbpf, because this machine has not installed it. */
function fetchedLibrary(soname: string): string | undefined {
  const triplet = `${Deno.build.arch}-linux-gnu`;
  return [`usr/lib/${triplet}`, `lib/${triplet}`].map((dir) => `${CACHE}/root/${dir}/${soname}`)
    .find((path) => {
      try {
        return Deno.statSync(path).isFile;
      } catch {
        return false;
      }
    });
}

/** Adds what a library is linked with, and what that is linked with. */
function addNeeded(path: string, needed: Map<LibraryName, string>): void {
  const { stdout } = new Deno.Command("readelf", { args: ["-dW", path] }).outputSync();
  const sonames = new TextDecoder().decode(stdout).matchAll(/\(NEEDED\).*\[([^\]]+)\]/g);
  for (const [, soname] of sonames) {
    if (C_LIBRARY.test(soname)) continue;
    const row = NEEDED.find(([, candidate]) => candidate === soname);
    const file = sharedLibrary(soname) ?? fetchedLibrary(soname);
    if (row === undefined || file === undefined) {
      throw new Error(`${path} needs ${soname}, which cannot be carried`);
    }
    if (needed.has(row[0])) continue;
    needed.set(row[0], file);
    addNeeded(file, needed);
  }
}
