/**
 * Packages of a Debian release, fetched from the mirror that the machine's own apt uses and unpacked
 * into a folder. Nothing is installed, and apt's own settings and lists stay as they are.
 */

/** The release whose packages are used; the libraries of this machine have to suit them. */
const RELEASE = "bookworm";
const BACKPORTS = `${RELEASE}-backports`;

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** apt with sources and lists of its own. Which packages are installed it knows from the machine. */
export class DebianPackages {
  readonly #cache: string;
  readonly #options: readonly string[];

  private constructor(cache: string, options: readonly string[]) {
    this.#cache = cache;
    this.#options = options;
  }

  /**
   * Reads what the mirror has.
   * @param cache folder for lists and packages
   */
  static async open(cache: string): Promise<DebianPackages> {
    const mirror = await findMirror();
    const sources = `${cache}/sources.list`;
    const lines = [RELEASE, BACKPORTS].map((suite) =>
      `deb [signed-by=${KEYRING}] ${mirror} ${suite} main\n`
    );
    Deno.mkdirSync(`${cache}/lists/partial`, { recursive: true });
    Deno.mkdirSync(`${cache}/archives/partial`, { recursive: true });
    Deno.writeTextFileSync(sources, lines.join(""));
    const settings = {
      "Dir::Etc::SourceList": sources,
      "Dir::Etc::SourceParts": "/dev/null",
      "Dir::Etc::PreferencesParts": "/dev/null",
      "Dir::State::Lists": `${cache}/lists`,
      "Dir::Cache": cache,
      "APT::Default-Release": BACKPORTS,
      "APT::Install-Recommends": "false",
      // The user _apt, whom root would otherwise let download, cannot write to the cache.
      "APT::Sandbox::User": "root",
    };
    const packages = new DebianPackages(
      cache,
      Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]),
    );
    await packages.#run("apt-get", "update", "--error-on=any");
    return packages;
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
    const download = `${this.#cache}/archives`;
    // apt-get downloads into the working directory.
    await runTool("env", [
      ...["-C", download, "apt-get", ...this.#options, "-qq", "download"],
      ...names,
    ]);
    for (const { name } of Deno.readDirSync(download)) {
      if (!name.endsWith(".deb")) continue;
      await runTool("dpkg", ["-x", `${download}/${name}`, folder]);
      Deno.removeSync(`${download}/${name}`);
    }
  }

  #run(program: string, ...args: string[]): Promise<string> {
    return runTool(program, [...this.#options, "-q", ...args]);
  }
}

/** Where this machine's apt has the release from. */
async function findMirror(): Promise<string> {
  const text = await runTool("apt-get", [
    "indextargets",
    ...["--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"],
  ]);
  const rows = text.split("\n").map((line) => line.split(" "));
  const row = rows.find(([, release, component]) => release === RELEASE && component === "main");
  if (row === undefined) throw new Error(`apt has no source for Debian ${RELEASE}`);
  return row[0];
}

/** What a program prints. Throws, with all of it, when it fails. */
async function runTool(program: string, args: readonly string[]): Promise<string> {
  const { success, code, stdout, stderr } = await new Deno.Command(program, {
    args: [...args],
    stdin: "null",
  }).output();
  const text = new TextDecoder().decode(stdout);
  if (success) return text;
  throw new Error(
    `${program} ${args.join(" ")}: exit code ${code}\n${text}${new TextDecoder().decode(stderr)}`,
  );
}

/** Removes a file or folder. */
export function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
