/** `fuse4fs info`: what the superblock and the journal of a file system say. */

import type { FileSystem } from "../ext4/filesystem.ts";
import { printable } from "../mount/log_sink.ts";
import { type ImageCommandOptions, withFileSystem } from "./image_access.ts";
import { journalFacts } from "./journal_facts.ts";
import { type Json, type JsonObject, printJson } from "./json.ts";
import { printLine } from "./output.ts";
import { type Fact, superblockFacts } from "./superblock_facts.ts";

const LABEL_WIDTH = 28;

export function info(image: string, options: ImageCommandOptions): void {
  // What the journal would change is none of the disk's business here: tell what is there.
  withFileSystem(image, options, (fs) => {
    const superblock = superblockFacts(fs.superblock);
    const journal = journalFacts(fs);
    if (options.json) printJson(infoJson(superblock, journal));
    else printInfo(fs, superblock, journal);
  });
}

function infoJson(superblock: readonly Fact[], journal: readonly Fact[] | undefined): JsonObject {
  return { ...object(superblock), journal: journal === undefined ? null : object(journal) };
}

function object(facts: readonly Fact[]): JsonObject {
  return Object.fromEntries(facts.map(({ key, value }) => [key, value]));
}

function printInfo(
  fs: FileSystem,
  superblock: readonly Fact[],
  journal: readonly Fact[] | undefined,
): void {
  printLine(fs.device.name);
  superblock.forEach(printFact);
  if (journal === undefined) return;
  printLine("Journal");
  journal.forEach(printFact);
}

function printFact({ label, value, words }: Fact): void {
  if (value === undefined) return;
  printLine(`  ${`${label}:`.padEnd(LABEL_WIDTH)}${printable(words ?? plain(value))}`);
}

function plain(value: Json): string {
  return value === null ? "none" : String(value);
}
