/**
 * Images with dirty journals, made by the kernel: its ext4 works on a mount, and the image is
 * copied while it is mounted, as a crash would leave it.
 */

import { mountKernel } from "./mount.ts";
import { run, type TempDir } from "./run.ts";

export interface DirtyConfig {
  readonly name: string;
  /** Arguments of mke2fs. */
  readonly mke2fs: readonly string[];
  /** Options of the kernel's mount. */
  readonly options: string;
}

/** The magic number of the journal's blocks: data that starts with it is escaped in the log. */
const MAGIC = [0xc0, 0x3b, 0x39, 0x98];
const ROUNDS = 12;
/** Rounds between two copies. */
const STRIDE = 3;
const FILES = 150;

/** Copies of one image, in the order of time; each needs recovery. */
export async function makeDirtyImages(config: DirtyConfig, folder: TempDir): Promise<string[]> {
  const image = folder.join(`${config.name}.img`);
  await run("mke2fs", ["-q", "-F", ...config.mke2fs, image, "16M"]);
  await using mounted = await mountKernel(image, folder.mkdir(config.name), config.options);
  const copies: string[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    work(mounted.dir, round);
    if ((round + 1) % STRIDE !== 0) continue;
    const copy = folder.join(`${config.name}.${round}`);
    Deno.copyFileSync(image, copy);
    copies.push(copy);
  }
  return copies;
}

/** Full directories come and go: their blocks are logged, then revoked, then data. */
function work(dir: string, round: number): void {
  const many = `${dir}/many${round}`;
  Deno.mkdirSync(many);
  for (let file = 0; file < FILES; file++) {
    Deno.writeTextFileSync(`${many}/${"n".repeat(60)}${file}`, `${round} ${file}`);
  }
  writeAndSync(`${dir}/magic${round}`, magicBlocks(40));
  if (round > 0) Deno.removeSync(`${dir}/many${round - 1}`, { recursive: true });
  writeAndSync(`${dir}/after${round}`, new Uint8Array(100_000).fill(round + 1));
  Deno.renameSync(`${dir}/after${round}`, `${dir}/renamed${round}`);
  Deno.symlinkSync("x".repeat(500), `${dir}/link${round}`);
  writeAndSync(`${dir}/last${round}`, new TextEncoder().encode("the end"));
}

/** As many blocks of 1 KiB as `count`, each of which starts with the magic number. */
function magicBlocks(count: number): Uint8Array {
  const data = new Uint8Array(count * 1024);
  for (let at = 0; at < data.length; at += 1024) data.set(MAGIC, at);
  return data;
}

/** Writes a file and waits until the journal has it. */
export function writeAndSync(path: string, data: Uint8Array): void {
  using file = Deno.openSync(path, { write: true, create: true, truncate: true });
  for (let done = 0; done < data.length;) done += file.writeSync(data.subarray(done));
  file.syncSync();
}
