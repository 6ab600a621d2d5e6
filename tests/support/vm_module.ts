/** The module that gives the virtual machine's kernel an interface like FUSE iomap BPF. */

import { run, type TempDir } from "./run.ts";
import { libraryPath, type VmPackages } from "./vm_packages.ts";

const SOURCE = new URL("../vm/module", import.meta.url).pathname;
const NAME = "fuse_iomap_bpf_bench";

/** Builds the module for a generation of the interface; the path of it, for insmod. */
export async function buildIomapModule(
  packages: VmPackages,
  generation: 1 | 2,
  folder: TempDir,
): Promise<string> {
  const headers = prepareHeaders(packages, folder);
  const build = folder.join(`generation${generation}`);
  await run("cp", ["-r", SOURCE, build]);
  await run("make", [
    ...["-s", "-C", headers, `M=${build}`, `GENERATION=${generation}`, "modules"],
  ], {
    env: {
      // pahole, and what it is linked with.
      PATH: `${Deno.env.get("PATH") ?? ""}:${packages.root}/usr/bin`,
      LD_LIBRARY_PATH: libraryPath(packages),
    },
  });
  return `${build}/${NAME}.ko`;
}

/** The headers' Makefile names another by its place in an installed system. */
function prepareHeaders({ root, kernelRelease }: VmPackages, folder: TempDir): string {
  const headers = `${root}/usr/src/linux-headers-${kernelRelease}`;
  const prepared = folder.join("headers");
  try {
    Deno.mkdirSync(prepared);
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return prepared;
    throw error;
  }
  for (const { name } of Deno.readDirSync(headers)) {
    if (name !== "Makefile") Deno.symlinkSync(`${headers}/${name}`, `${prepared}/${name}`);
  }
  const makefile = Deno.readTextFileSync(`${headers}/Makefile`);
  Deno.writeTextFileSync(
    `${prepared}/Makefile`,
    makefile.replace("include /usr/src/", `include ${root}/usr/src/`),
  );
  return prepared;
}
