/**
 * The packages of the virtual machine: a kernel, QEMU, and busybox. They are fetched from the
 * mirror that the machine's own apt uses, and unpacked into a cache folder: nothing is installed,
 * and apt's own settings and lists stay as they are.
 *
 *     .cache/vm/lists    what the mirror has
 *     .cache/vm/root     the packages, unpacked over each other
 *     .cache/vm/ready    the recipe by which root was made, and the kernel in it
 */

import { run } from "./run.ts";

/** The release whose kernel and programs are used; the host's libraries have to suit them. */
const RELEASE = "bookworm";
const BACKPORTS = `${RELEASE}-backports`;

/** Names the newest kernel: it has 9p, which the one for clouds lacks. */
const KERNEL_METAPACKAGE = "linux-image-amd64";
/** QEMU 10: version 7 of the release itself now and then lets the guest fail. */
const QEMU = "qemu-system-x86";
const BUSYBOX = "busybox-static";

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
const CACHE = new URL("../../.cache/vm", import.meta.url).pathname;

/** What the packages have to be fetched again for, when it changes. */
const RECIPE = [RELEASE, KERNEL_METAPACKAGE, QEMU, BUSYBOX].join(" ");

/** The unpacked packages. */
export interface VmPackages {
  /** Paths in it are those of the packages: `usr/bin/qemu-system-x86_64` and so on. */
  readonly root: string;
  /** As `uname -r` says it in the guest. */
  readonly kernelRelease: string;
}

/** The packages are not to be had on this machine. */
export class PackagesUnavailable extends Error {}

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
    const apt = await Apt.open(await findMirror());
    const kernel = await apt.dependency(KERNEL_METAPACKAGE, /^linux-image-[0-9]/);
    await apt.unpack([kernel, BUSYBOX, ...await apt.missing(QEMU)], `${CACHE}/root`);
    const kernelRelease = kernel.slice("linux-image-".length);
    Deno.writeTextFileSync(`${CACHE}/ready`, `${RECIPE}\n${kernelRelease}\n`);
    return { root: `${CACHE}/root`, kernelRelease };
  } catch (error) {
    throw new PackagesUnavailable((error as Error).message, { cause: error });
  }
}

/** Where this machine's apt has the release from. */
async function findMirror(): Promise<string> {
  const { stdout } = await run("apt-get", [
    "indextargets",
    ...["--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"],
  ]);
  const rows = stdout.split("\n").map((line) => line.split(" "));
  const row = rows.find(([, release, component]) => release === RELEASE && component === "main");
  if (row === undefined) throw new Error(`apt has no source for Debian ${RELEASE}`);
  return row[0];
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** apt with sources and lists of its own. Which packages are installed it knows from the host. */
class Apt {
  readonly #options: readonly string[];

  private constructor(options: readonly string[]) {
    this.#options = options;
  }

  /** Reads what the mirror has. */
  static async open(mirror: string): Promise<Apt> {
    const sources = `${CACHE}/sources.list`;
    const lines = [RELEASE, BACKPORTS].map((suite) =>
      `deb [signed-by=${KEYRING}] ${mirror} ${suite} main\n`
    );
    Deno.writeTextFileSync(sources, lines.join(""));
    Deno.mkdirSync(`${CACHE}/lists/partial`, { recursive: true });
    Deno.mkdirSync(`${CACHE}/archives/partial`, { recursive: true });
    const settings = {
      "Dir::Etc::SourceList": sources,
      "Dir::Etc::SourceParts": "/dev/null",
      "Dir::Etc::PreferencesParts": "/dev/null",
      "Dir::State::Lists": `${CACHE}/lists`,
      "Dir::Cache": CACHE,
      "APT::Default-Release": BACKPORTS,
      "APT::Install-Recommends": "false",
      // The user _apt, whom root would otherwise let download, cannot write to the cache.
      "APT::Sandbox::User": "root",
    };
    const apt = new Apt(
      Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]),
    );
    await apt.#run("apt-get", "update", "--error-on=any");
    return apt;
  }

  /** The dependency of a package that has a name of this kind. */
  async dependency(name: string, kind: RegExp): Promise<string> {
    const text = await this.#run("apt-cache", "depends", name);
    const found = [...text.matchAll(/^ *Depends: (\S+)$/gm)].find(([, other]) => kind.test(other));
    if (found === undefined) throw new Error(`${name} depends on nothing like ${kind}`);
    return found[1];
  }

  /** The package and all that it needs and this machine has not installed. */
  async missing(name: string): Promise<string[]> {
    const text = await this.#run("apt-get", "install", "--simulate", "--reinstall", name);
    return [...text.matchAll(/^Inst (\S+) /gm)].map(([, other]) => other);
  }

  /** Downloads packages and unpacks them into a folder, without running any of their scripts. */
  async unpack(names: readonly string[], folder: string): Promise<void> {
    const download = `${CACHE}/archives`;
    // apt-get downloads into the working directory.
    await run("env", ["-C", download, "apt-get", ...this.#options, "-qq", "download", ...names]);
    for (const { name } of Deno.readDirSync(download)) {
      if (!name.endsWith(".deb")) continue;
      await run("dpkg", ["-x", `${download}/${name}`, folder]);
      Deno.removeSync(`${download}/${name}`);
    }
  }

  async #run(program: string, ...args: string[]): Promise<string> {
    return (await run(program, [...this.#options, "-q", ...args])).stdout;
  }
}
