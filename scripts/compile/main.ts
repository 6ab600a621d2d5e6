/**
 * Writes dist/fuse4fs: with `deno compile` where Deno's runtime denort is to be had, else with the
 * launcher (launcher.ts). Both carry the same bundle and behave the same.
 *
 * The environment may say:
 *   FUSE4FS_COMPILE=denort|launcher   use this way, or fail
 *   DENORT_BIN                        the denort for `deno compile`
 *   FUSE4FS_LIBBPF                    the libbpf.so to carry
 *   CLANG                             the clang for BPF programs
 */

import { compileBpfObjects } from "./bpf_objects.ts";
import { bundleAsModule, bundleForLauncher, type Cargo } from "./bundle.ts";
import { findHotRanges, PAGE_PROBE } from "./hot_ranges.ts";
import { assembleLauncher, bundleOffset } from "./launcher.ts";
import { findLibbpf } from "./libbpf.ts";
import { sharedLibrary } from "./shared_library.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const HERE = new URL("./", import.meta.url).pathname;
const OUTPUT = `${ROOT}dist/fuse4fs`;
/** `deno compile` may try to fetch denort; without a network that ends in an error at once. */
const DENORT_TIMEOUT_MS = 60_000;

type Way = "denort" | "launcher";

async function main(): Promise<void> {
  const libfuse3 = sharedLibrary("libfuse3.so.3", "libfuse3.so.4");
  const libraries = { ...libfuse3 === undefined ? {} : { libfuse3 }, ...await findLibbpf() };
  const cargo = { libraries, objects: compileBpfObjects() };
  Deno.mkdirSync(`${ROOT}dist`, { recursive: true });
  const way = await build(cargo, requestedWay());
  const size = Deno.statSync(OUTPUT).size;
  console.log(`${OUTPUT}: ${(size / 1e6).toFixed(1)} MB, by way of ${way}`);
  for (const [name, path] of Object.entries(libraries)) console.log(`  carries ${name}: ${path}`);
  for (const name of ["libfuse3", "libbpf"]) {
    if (!(name in libraries)) console.log(`  does not carry ${name}: the target needs its own`);
  }
}

function requestedWay(): Way | undefined {
  const asked = Deno.env.get("FUSE4FS_COMPILE");
  if (asked === undefined || asked === "") return undefined;
  if (asked === "denort" || asked === "launcher") return asked;
  throw new Error(`FUSE4FS_COMPILE=${asked}: it must be denort or launcher`);
}

async function build(cargo: Cargo, asked: Way | undefined): Promise<Way> {
  if (asked !== "launcher") {
    const problem = await compileWithDenort(await bundleAsModule(cargo));
    if (problem === undefined) return "denort";
    if (asked === "denort") throw new Error(`deno compile failed:\n${problem}`);
    console.log("no denort to be had: assembling the executable from Deno itself");
  }
  writeExecutable(await assemble(cargo));
  return "launcher";
}

/** The second time round, it is known what a start needs. */
async function assemble(cargo: Cargo): Promise<Uint8Array<ArrayBuffer>> {
  const deno = Deno.readFileSync(Deno.execPath());
  const stub = await compileStub();
  const offset = bundleOffset(deno, stub);
  const probing = await bundleForLauncher(cargo, offset, PAGE_PROBE);
  const hot = await findHotRanges(assembleLauncher(deno, stub, probing, []));
  return assembleLauncher(deno, stub, await bundleForLauncher(cargo, offset), hot);
}

/** Undefined when it worked, else what `deno compile` printed. */
async function compileWithDenort(program: Uint8Array): Promise<string | undefined> {
  const directory = await Deno.makeTempDir({ prefix: "fuse4fs_compile_" });
  try {
    const source = `${directory}/fuse4fs.js`;
    await Deno.writeFile(source, program);
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["compile", "--allow-all", "--no-prompt", "--no-config", "--no-lock", "--no-remote"],
        // The same as in entry_stub.c.
        ...["--no-code-cache", "--v8-flags=--invocation-count-for-turbofan=500"],
        ...["--output", `${directory}/fuse4fs`, source],
      ],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
      signal: AbortSignal.timeout(DENORT_TIMEOUT_MS),
    }).output();
    if (!success) return new TextDecoder().decode(stderr);
    writeExecutable(await Deno.readFile(`${directory}/fuse4fs`));
    return undefined;
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** The machine code of entry_stub.c. */
async function compileStub(): Promise<Uint8Array<ArrayBuffer>> {
  const directory = await Deno.makeTempDir({ prefix: "fuse4fs_stub_" });
  try {
    await runTool(Deno.env.get("CC") ?? "cc", [
      ...["-Os", "-fPIC", "-ffreestanding", "-fno-stack-protector", "-fcf-protection=none"]
        .filter((flag) => Deno.build.arch === "x86_64" || flag !== "-fcf-protection=none"),
      ...["-fno-asynchronous-unwind-tables", "-Wall", "-Wextra", "-Werror"],
      ...["-nostdlib", "-static-pie", `-Wl,-T,${HERE}entry_stub.ld`, "-Wl,--build-id=none"],
      ...["-Wl,--no-warn-rwx-segments", "-o", `${directory}/stub.elf`, `${HERE}entry_stub.c`],
    ]);
    await runTool("objcopy", [
      ...["-O", "binary", "-j", ".stub", `${directory}/stub.elf`, `${directory}/stub.bin`],
    ]);
    return await Deno.readFile(`${directory}/stub.bin`);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function runTool(name: string, args: string[]): Promise<void> {
  const { success } = await new Deno.Command(name, { args, stdin: "null" }).spawn().status;
  if (!success) throw new Error(`${name} failed`);
}

/** A running executable cannot be written to, but it can be replaced. */
function writeExecutable(content: Uint8Array): void {
  const temporary = `${OUTPUT}.new`;
  Deno.writeFileSync(temporary, content, { mode: 0o755 });
  Deno.chmodSync(temporary, 0o755);
  Deno.renameSync(temporary, OUTPUT);
}

await main();
