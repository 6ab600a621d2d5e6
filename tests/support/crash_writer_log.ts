/**
 * What a program that works on a mount puts down about it, on another file system: before it
 * changes something, all ways in which a crash may leave it, and after the fsync the one way in
 * which it is durable. One JSON object a line.
 */

/** How a file may look; null: it is not there. */
export type FileState = null | {
  /** Each word of the content is made from one of these. */
  readonly seeds: readonly number[];
  /** Bytes from here on may also be zeros. */
  readonly min: number;
  readonly max: number;
};

/** States of files that belong together, by path. */
export type States = Readonly<Record<string, FileState>>;

export type LogLine =
  /** A crash may leave any of these. */
  | { readonly may: readonly States[] }
  /** Now it is like this. */
  | { readonly is: States };

/** The content of a file from a byte on, which must be a multiple of 4. */
export function contentOf(seed: number, start: number, length: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let at = 0; at < words.length; at++) words[at] = wordOf(seed, start / 4 + at);
  return new Uint8Array(words.buffer, 0, length);
}

function wordOf(seed: number, index: number): number {
  let word = Math.imul(seed ^ Math.imul(index + 1, 0x9e3779b1), 0x85ebca6b);
  word = Math.imul(word ^ (word >>> 15), 0xc2b2ae35);
  return (word ^ (word >>> 13)) >>> 0;
}

/** What must be true of the files after all that the log tells. */
export interface Expected {
  /** What is durable. */
  readonly durable: ReadonlyMap<string, FileState>;
  /** Where the log ends between a change and its fsync: one of these, on top of it. */
  readonly open: readonly States[];
}

export function readWriterLog(text: string): Expected {
  const durable = new Map<string, FileState>();
  let open: readonly States[] = [];
  for (const row of text.split("\n").filter((row) => row !== "")) {
    const line = JSON.parse(row) as LogLine;
    if ("may" in line) open = line.may;
    else {
      open = [];
      for (const [path, state] of Object.entries(line.is)) durable.set(path, state);
    }
  }
  return { durable, open };
}

/** What is wrong with the files below a folder; nothing, most of all. */
export function wrongFiles({ durable, open }: Expected, folder: string): string[] {
  const touched = new Set(open.flatMap((states) => Object.keys(states)));
  const wrong: string[] = [];
  for (const [path, state] of durable) {
    if (touched.has(path)) continue;
    const complaint = wrongFile(folder, path, state);
    if (complaint !== undefined) wrong.push(complaint);
  }
  const alternatives = open.map((states) =>
    Object.entries(states)
      .map(([path, state]) => wrongFile(folder, path, state))
      .filter((complaint) => complaint !== undefined)
  );
  if (open.length > 0 && alternatives.every((complaints) => complaints.length > 0)) {
    wrong.push(`neither: ${alternatives.map((complaints) => complaints.join(", ")).join(" | ")}`);
  }
  return wrong;
}

function wrongFile(folder: string, path: string, state: FileState): string | undefined {
  let content: Uint8Array;
  try {
    content = Deno.readFileSync(`${folder}/${path}`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) return `${path}: ${error}`;
    return state === null ? undefined : `${path} is missing`;
  }
  if (state === null) return `${path} is there`;
  const { seeds, min, max } = state;
  if (content.length < min || content.length > max) {
    return `${path} has ${content.length} bytes, not ${min} to ${max}`;
  }
  const versions = seeds.map((seed) => contentOf(seed, 0, content.length));
  const at = content.findIndex((byte, index) =>
    !versions.some((version) => version[index] === byte) && !(index >= min && byte === 0)
  );
  return at < 0 ? undefined : `byte ${at} of ${path}, of ${content.length}, is foreign`;
}
