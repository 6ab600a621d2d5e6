/** The modules of the guest's kernel, and the order in which they have to be loaded. */

import type { VmPackages } from "./vm_packages.ts";

/** A module, ready to be loaded. */
export interface KernelModule {
  readonly name: string;
  readonly image: Uint8Array;
}

/** The modules with these names and all that they depend on, each behind its dependencies. */
export async function collectModules(
  packages: VmPackages,
  names: readonly string[],
): Promise<KernelModule[]> {
  const folder = `${packages.root}/lib/modules/${packages.kernelRelease}/kernel`;
  const paths = new Map([...moduleFiles(folder)]);
  const modules = new Map<string, KernelModule>();
  const collect = async (name: string) => {
    if (modules.has(name)) return;
    const path = paths.get(name);
    if (path === undefined) throw new Error(`The kernel's package has no module ${name}`);
    const image = await unpack(path);
    for (const other of dependencies(image)) await collect(other);
    modules.set(name, { name, image });
  };
  for (const name of names) await collect(name);
  return [...modules.values()];
}

/** Names and paths. Dashes in file names are underscores in the names of modules. */
function* moduleFiles(folder: string): Generator<readonly [name: string, path: string]> {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory) yield* moduleFiles(path);
    else if (name.endsWith(".ko.xz")) yield [name.slice(0, -6).replaceAll("-", "_"), path];
  }
}

async function unpack(path: string): Promise<Uint8Array> {
  const { success, stdout } = await new Deno.Command("xz", {
    args: ["--decompress", "--stdout", path],
    stdin: "null",
  }).output();
  if (!success) throw new Error(`Cannot unpack ${path}`);
  return stdout;
}

/** From the string `depends=a,b` that the build leaves in the section .modinfo. */
function dependencies(image: Uint8Array): string[] {
  const text = new TextDecoder("latin1").decode(image);
  const found = /\0depends=([^\0]*)\0/.exec(text);
  if (found === null) throw new Error("A module does not tell what it depends on");
  return found[1].split(",").filter((name) => name !== "").map((name) => name.replaceAll("-", "_"));
}
