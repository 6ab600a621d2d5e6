/**
 * Works in a folder until it is stopped, or cannot go on, and puts down what is durable:
 * `crash_writer.ts FOLDER LOG SEED [OLD]`. The folder must be new; OLD is one that it removes.
 */

import { contentOf, type FileState, type LogLine, type States } from "./crash_writer_log.ts";
import { Random } from "./random.ts";

const FOLDERS = ["a", "b", "c"];
const MAX_FILES = 30;
const MAX_SIZE = 150_000;

const [folder, logPath, seed, old] = Deno.args;
const log = Deno.openSync(logPath, { write: true, create: true, append: true });
const random = new Random(Number(seed));
const files = new Map<string, Exclude<FileState, null>>();
let names = 0;

function put(line: LogLine): void {
  log.writeSync(new TextEncoder().encode(`${JSON.stringify(line)}\n`));
}

/** A change of the files, told before, made, and made durable. */
function change(alternatives: readonly States[], last: States, make: () => void): void {
  put({ may: alternatives });
  make();
  put({ is: last });
  for (const [path, state] of Object.entries(last)) {
    if (state === null) files.delete(path);
    else files.set(path, state);
  }
}

function write(path: string, bytes: Uint8Array, position: number): void {
  using file = Deno.openSync(`${folder}/${path}`, { write: true, create: true });
  file.seekSync(position, Deno.SeekMode.Start);
  for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
  file.syncSync();
}

/** A folder's fsync commits all that was done before. */
function sync(path: string): void {
  using file = Deno.openSync(path);
  file.syncSync();
}

function newName(): string {
  return `${random.pick(FOLDERS)}/${"n".repeat(random.pick([1, 10, 100]))}${++names}`;
}

function create(): void {
  const path = newName();
  const from = random.uint32();
  const max = 1 + random.below(MAX_SIZE);
  const state = { seeds: [from], min: max, max };
  change([{ [path]: null }, { [path]: { ...state, min: 0 } }], { [path]: state }, () => {
    write(path, contentOf(from, 0, max), 0);
  });
}

function append(path: string): void {
  const { seeds, max } = files.get(path)!;
  const size = max + random.below(40_000);
  const state = { seeds, min: size, max: size };
  const start = max - max % 4;
  change([{ [path]: { ...state, min: max } }], { [path]: state }, () => {
    write(path, contentOf(seeds[0], start, size - start), start);
  });
}

function overwrite(path: string): void {
  const { seeds, max } = files.get(path)!;
  const from = random.uint32();
  const state = { seeds: [from], min: max, max };
  change([{ [path]: { ...state, seeds: [...seeds, from] } }], { [path]: state }, () => {
    write(path, contentOf(from, 0, max), 0);
  });
}

function truncate(path: string): void {
  const { seeds, max } = files.get(path)!;
  const size = random.below(max + 1);
  const state = { seeds, min: size, max: size };
  change([{ [path]: { ...state, max } }], { [path]: state }, () => {
    using file = Deno.openSync(`${folder}/${path}`, { write: true });
    file.truncateSync(size);
    file.syncSync();
  });
}

/** To a new name, or over another file. */
function rename(path: string): void {
  const target = random.oneIn(2) ? newName() : random.pick([...files.keys()]);
  if (target === path) return;
  const state = files.get(path)!;
  const before = { [path]: state, [target]: files.get(target) ?? null };
  const after = { [path]: null, [target]: state };
  change([before, after], after, () => {
    Deno.renameSync(`${folder}/${path}`, `${folder}/${target}`);
    sync(`${folder}/${target.split("/")[0]}`);
  });
}

function remove(path: string): void {
  const after = { [path]: null };
  change([{ [path]: files.get(path)! }, after], after, () => {
    Deno.removeSync(`${folder}/${path}`);
    sync(folder);
  });
}

/** Things that nobody waits for: names and data that come and go. */
function noise(): void {
  const dir = `${folder}/noise${++names}`;
  Deno.mkdirSync(dir);
  for (let count = random.below(60); count >= 0; count--) {
    Deno.writeFileSync(`${dir}/${"x".repeat(random.below(90))}${count}`, random.bytes(100));
  }
  if (random.below(3) > 0) Deno.removeSync(dir, { recursive: true });
}

function step(): void {
  if (random.oneIn(8)) noise();
  else if (files.size < 3 || (files.size < MAX_FILES && random.oneIn(3))) create();
  else {
    const path = random.pick([...files.keys()]);
    const acts = [append, overwrite, truncate, rename, remove];
    const { max } = files.get(path)!;
    random.pick(max > MAX_SIZE ? [truncate, remove] : acts)(path);
  }
}

Deno.mkdirSync(folder);
for (const name of FOLDERS) Deno.mkdirSync(`${folder}/${name}`);
if (old !== undefined) Deno.removeSync(old, { recursive: true });
// The server is gone when this fails.
for (;;) step();
