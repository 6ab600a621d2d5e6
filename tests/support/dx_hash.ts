/** Hashes of names as debugfs computes them: the oracle for src/ext4/directory/dirhash.ts and casefold.ts. */

import { run, TempDir } from "./run.ts";

export interface HashQuestion {
  /** One of HashVersion, but not SIPHASH. */
  readonly version: number;
  readonly name: Uint8Array;
  /** 4 words; zeros when left out. */
  readonly seed?: Uint32Array;
  /** Fold the name first. */
  readonly casefold?: boolean;
}

/** `major:minor` in hexadecimal. */
export function formatHash(hash: { readonly major: number; readonly minor: number }): string {
  return `${hash.major.toString(16)}:${hash.minor.toString(16)}`;
}

/** Answers in the form of formatHash. Names must not hold NUL or the ends of a line, LF and CR. */
export async function askDxHash(questions: readonly HashQuestion[]): Promise<string[]> {
  const commands = questions.map(command);
  const fits = (line: readonly number[]) => line.length < MAX_LINE;
  const short = await runFile(commands.filter(fits));
  const long = await runEach(commands.filter((line) => !fits(line)));
  return commands.map((line) => (fits(line) ? short : long).shift()!);
}

/** debugfs cuts longer lines of a file in two. */
const MAX_LINE = 255;

/** Runs commands from a file, all in one debugfs. */
async function runFile(commands: readonly number[][]): Promise<string[]> {
  using folder = new TempDir();
  const path = folder.join("commands");
  Deno.writeFileSync(path, new Uint8Array(commands.flatMap((line) => [...line, LINE_FEED])));
  const { stdout } = await run("debugfs", ["-f", path]);
  return parseAnswers(stdout, commands.length);
}

/** Runs each command in a debugfs of its own; the shell, because arguments may be any bytes. */
async function runEach(commands: readonly number[][]): Promise<string[]> {
  const octal = (byte: number) => `\\${byte.toString(8).padStart(3, "0")}`;
  const script = commands.map((line) => `debugfs -R "$(printf '${line.map(octal).join("")}')"\n`);
  const { stdout } = await run("sh", [], { input: script.join("") });
  return parseAnswers(stdout, commands.length);
}

function parseAnswers(text: string, count: number): string[] {
  const answers = [...text.matchAll(/^Hash of [^\n]* is 0x([0-9a-f]+) \(minor 0x([0-9a-f]+)\)$/gm)];
  if (answers.length !== count) throw new Error(`${answers.length} answers to ${count} questions`);
  return answers.map(([, major, minor]) => `${major}:${minor}`);
}

const LINE_FEED = 0x0a;

function command({ version, name, seed, casefold }: HashQuestion): number[] {
  const options = [`-h ${version}`];
  if (seed !== undefined) options.push(`-s ${formatUuid(seed)}`);
  if (casefold) options.push("-c -e utf8");
  return [...ascii(`dx_hash ${options.join(" ")} -- "`), ...quote(name), ...ascii('"')];
}

/** debugfs takes the seed as a UUID, whose bytes are the words in the order of the disk. */
function formatUuid(seed: Uint32Array): string {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  seed.forEach((word, index) => view.setUint32(index * 4, word, true));
  return bytes.toHex().replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

function ascii(text: string): number[] {
  return [...new TextEncoder().encode(text)];
}

/** In its command lines a quotation mark between quotation marks is written twice. */
function quote(name: Uint8Array): number[] {
  const mark = 0x22;
  return [...name].flatMap((byte) => byte === mark ? [mark, mark] : [byte]);
}
