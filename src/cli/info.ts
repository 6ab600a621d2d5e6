/** `fuse4fs info`: what the superblock and the journal of a file system say. */

import { printable } from "../mount/log_sink.ts";
import { type ImageCommandOptions, withFileSystem } from "./image_access.ts";
import { journalFacts } from "./journal_facts.ts";
import { type Json, type JsonObject, printJson } from "./json.ts";
import { mmpFacts } from "./mmp_facts.ts";
import { printLine } from "./output.ts";
import { type Fact, superblockFacts } from "./superblock_facts.ts";

const LABEL_WIDTH = 28;

export function info(image: string, options: ImageCommandOptions): void {
  withFileSystem(image, options, (fs) => {
    const facts: Facts = {
      superblock: superblockFacts(fs.superblock),
      journal: journalFacts(fs),
      mmp: mmpFacts(fs),
    };
    if (options.json) printJson(infoJson(facts));
    else printInfo(fs.device.name, facts);
  });
}

/** The superblock, and the structures that a file system may have besides. */
interface Facts {
  readonly superblock: readonly Fact[];
  readonly journal: readonly Fact[] | undefined;
  readonly mmp: readonly Fact[] | undefined;
}

function infoJson({ superblock, journal, mmp }: Facts): JsonObject {
  return { ...object(superblock), journal: object(journal), mmp: object(mmp) };
}

function object(facts: readonly Fact[]): JsonObject;
function object(facts: readonly Fact[] | undefined): JsonObject | null;
function object(facts: readonly Fact[] | undefined): JsonObject | null {
  return facts === undefined
    ? null
    : Object.fromEntries(facts.map(({ key, value }) => [key, value]));
}

function printInfo(name: string, { superblock, journal, mmp }: Facts): void {
  printSection(name, superblock);
  printSection("Journal", journal);
  printSection("Multiple mount protection", mmp);
}

function printSection(heading: string, facts: readonly Fact[] | undefined): void {
  if (facts === undefined) return;
  printLine(heading);
  facts.forEach(printFact);
}

function printFact({ label, value, words }: Fact): void {
  if (value === undefined) return;
  printLine(`  ${`${label}:`.padEnd(LABEL_WIDTH)}${printable(words ?? plain(value))}`);
}

function plain(value: Json): string {
  return value === null ? "none" : String(value);
}
