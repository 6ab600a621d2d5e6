/**
 * Which parts of the executable every start needs. Of Deno's 90 MB that is a third, all over the
 * file: read before it is asked for, and the rest not at all, a cold start takes half the time.
 *
 * They are found by running an executable whose loader tells, at its end, which pages of it are in
 * the process' page tables. The kernel maps neighbours of a page with it, so that this is not exact
 * and need not be.
 */

/** Bytes [start, end) of a file. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

const PAGE_SIZE = 4096;
/** A gap that is not worth a range of its own, in bytes. */
const WORTHLESS_GAP = 128 << 10;
const OUTPUT = "FUSE4FS_PAGES";

/** In front of the loader: writes the numbers of the file's pages to the file that is named. */
export const PAGE_PROBE = `{
  const { exit } = Deno;
  Deno.exit = (code) => {
    Deno.writeTextFileSync(Deno.env.get("${OUTPUT}"), JSON.stringify(mappedPages()));
    exit(code);
  };
  const mappedPages = () => {
    const path = Deno.readLinkSync("/proc/self/exe");
    const pagemap = Deno.openSync("/proc/self/pagemap");
    const pages = [];
    for (const line of Deno.readTextFileSync("/proc/self/maps").split("\\n")) {
      if (!line.endsWith(path)) continue;
      const [addresses, , offset] = line.split(" ");
      const [start, end] = addresses.split("-").map((address) => parseInt(address, 16));
      const entries = new Uint8Array((end - start) / ${PAGE_SIZE} * 8);
      pagemap.seekSync(start / ${PAGE_SIZE} * 8, Deno.SeekMode.Start);
      pagemap.readSync(entries);
      for (let at = 0; at < entries.length; at += 8) {
        // Present, or a private copy that was swapped out.
        if (entries[at + 7] & 0xc0) pages.push(parseInt(offset, 16) / ${PAGE_SIZE} + at / 8);
      }
    }
    return pages;
  };
}
`;

/**
 * Runs an executable with PAGE_PROBE in it. Where that cannot be, as on a machine with pages of
 * another size, all of the executable is taken for needed.
 */
export async function findHotRanges(executable: Uint8Array): Promise<ByteRange[]> {
  const folder = await Deno.makeTempDir({ prefix: "fuse4fs_probe_" });
  try {
    const path = `${folder}/fuse4fs`;
    await Deno.writeFile(path, executable, { mode: 0o755 });
    const image = await makeImage(folder);
    const pages = new Set<number>();
    const commands = [["--version"], ...image === undefined ? [] : [["ls", "-lR", image]]];
    for (const args of commands) {
      for (const page of await probe(path, args, `${folder}/pages`)) pages.add(page);
    }
    return joinPages([...pages].sort((a, b) => a - b), executable.length);
  } catch (error) {
    console.log(`what a start needs is not known: ${(error as Error).message}`);
    return [{ start: 0, end: executable.length }];
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function probe(path: string, args: readonly string[], output: string): Promise<number[]> {
  const { success, stderr } = await new Deno.Command(path, {
    args: [...args],
    env: { [OUTPUT]: output },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return JSON.parse(Deno.readTextFileSync(output));
}

/** A small file system to be looked at; undefined without mke2fs. */
async function makeImage(folder: string): Promise<string | undefined> {
  const path = `${folder}/image`;
  try {
    const { success } = await new Deno.Command("mke2fs", {
      args: ["-q", "-t", "ext4", "-d", new URL("./", import.meta.url).pathname, path, "8M"],
      env: { PATH: `${Deno.env.get("PATH")}:/usr/sbin:/sbin` },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).output();
    return success ? path : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function joinPages(pages: readonly number[], size: number): ByteRange[] {
  const ranges: { start: number; end: number }[] = [];
  for (const page of pages) {
    const start = page * PAGE_SIZE;
    const end = Math.min(start + PAGE_SIZE, size);
    const last = ranges.at(-1);
    if (last !== undefined && start - last.end <= WORTHLESS_GAP) last.end = end;
    else ranges.push({ start, end });
  }
  return ranges;
}
