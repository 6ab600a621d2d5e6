/** Finds shared libraries of this machine, to be carried in the executable. */

/** The file of the first of these sonames that the dynamic loader knows, or undefined. */
export function sharedLibrary(...sonames: string[]): string | undefined {
  const cache = listLibraries();
  for (const soname of sonames) {
    const path = cache.get(soname);
    if (path !== undefined) return Deno.realPathSync(path);
  }
  return undefined;
}

/** `ldconfig -p`: lines such as `libfuse3.so.3 (libc6,x86-64) => /lib/.../libfuse3.so.3`. */
function listLibraries(): Map<string, string> {
  const { stdout } = new Deno.Command("/sbin/ldconfig", { args: ["-p"], stderr: "null" })
    .outputSync();
  const arch = Deno.build.arch === "x86_64" ? "x86-64" : "AArch64";
  const libraries = new Map<string, string>();
  for (const line of new TextDecoder().decode(stdout).split("\n")) {
    const [, soname, kind, path] = line.match(/^\s*(\S+) \(([^)]*)\) => (\S+)/) ?? [];
    if (soname !== undefined && kind.includes(arch) && !libraries.has(soname)) {
      libraries.set(soname, path);
    }
  }
  return libraries;
}
