/**
 * The packages of the virtual machine: a kernel, QEMU, and busybox; and what a module for that
 * kernel is built with. They are unpacked into a folder that outlives the checkout
 * (scripts/cache_folder.ts).
 *
 *     vm/lists    what the mirror has
 *     vm/root     the packages, unpacked over each other
 *     vm/ready    the recipe by which root was made, and the kernel in it
 */

import { cacheFolder } from "../../scripts/cache_folder.ts";
import { DebianPackages, removeIfThere } from "../../scripts/debian_packages.ts";

/** Names the newest kernel: it has 9p, which the one for clouds lacks. */
const KERNEL_METAPACKAGE = "linux-image-amd64";
/** QEMU 10: version 7 of the release itself now and then lets the guest fail. */
const QEMU = "qemu-system-x86";
const BUSYBOX = "busybox-static";
/** Writes the type information of modules. */
const PAHOLE = "pahole";

const CACHE = cacheFolder("vm");

/** What the packages have to be fetched again for, when it changes. */
const RECIPE = [KERNEL_METAPACKAGE, "linux-headers", QEMU, BUSYBOX, PAHOLE].join(" ");

/** The unpacked packages. */
export interface VmPackages {
  /** Paths in it are those of the packages: `usr/bin/qemu-system-x86_64` and so on. */
  readonly root: string;
  /** As `uname -r` says it in the guest. */
  readonly kernelRelease: string;
}

/** The packages are not to be had on this machine. */
export class PackagesUnavailable extends Error {}

/** For LD_LIBRARY_PATH, to run programs of the packages. */
export function libraryPath({ root }: VmPackages): string {
  return ["usr/lib", "lib"].map((folder) => `${root}/${folder}/x86_64-linux-gnu`).join(":");
}

/**
 * Fetches the packages unless they are there already. Throws {@linkcode PackagesUnavailable}.
 * Several processes may ask at once: the first one fetches, the others wait.
 */
export async function fetchVmPackages(): Promise<VmPackages> {
  Deno.mkdirSync(CACHE, { recursive: true });
  using lock = Deno.openSync(`${CACHE}/lock`, { write: true, create: true });
  await lock.lock(true);
  return readyPackages() ?? await fetchPackages();
}

function readyPackages(): VmPackages | undefined {
  try {
    const [recipe, kernelRelease] = Deno.readTextFileSync(`${CACHE}/ready`).split("\n");
    return recipe === RECIPE ? { root: `${CACHE}/root`, kernelRelease } : undefined;
  } catch {
    return undefined;
  }
}

async function fetchPackages(): Promise<VmPackages> {
  removeIfThere(`${CACHE}/ready`);
  removeIfThere(`${CACHE}/root`);
  try {
    const debian = await DebianPackages.open(CACHE);
    const image = await debian.dependency(KERNEL_METAPACKAGE, /^linux-image-[0-9]/);
    const kernelRelease = image.slice("linux-image-".length);
    const version = kernelRelease.slice(0, kernelRelease.lastIndexOf("-"));
    await debian.unpack([
      ...[image, BUSYBOX, ...await debian.missing(QEMU), ...await debian.missing(PAHOLE)],
      ...[`linux-headers-${kernelRelease}`, `linux-headers-${version}-common`],
      `linux-kbuild-${version}`,
    ], `${CACHE}/root`);
    Deno.writeTextFileSync(`${CACHE}/ready`, `${RECIPE}\n${kernelRelease}\n`);
    return { root: `${CACHE}/root`, kernelRelease };
  } catch (error) {
    throw new PackagesUnavailable((error as Error).message, { cause: error });
  }
}
