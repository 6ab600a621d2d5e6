/** `fuse4fs info`: what the superblock and the journal of a file system say. */

import type { Device } from "../block/device.ts";
import { FileSystem } from "../ext4/filesystem.ts";
import { findSuperblock } from "../ext4/superblock/superblock_search.ts";
import { cannotOpen, openImage } from "../mount/image.ts";
import { LogSink, printable } from "../mount/log_sink.ts";
import { FsError } from "../sys/fs_error.ts";
import { SILENT } from "../sys/log.ts";
import type { ImageCommandOptions } from "./image_access.ts";
import { journalFacts } from "./journal_facts.ts";
import { type Json, type JsonObject, printJson } from "./json.ts";
import { mmpFacts } from "./mmp_facts.ts";
import { printLine } from "./output.ts";
import { type Fact, superblockFacts } from "./superblock_facts.ts";

const LABEL_WIDTH = 28;

/**
 * Tells what is on the disk, without what a dirty journal would change, as dumpe2fs does. It also
 * tells of file systems that cannot be read any further, and why.
 */
export function info(image: string, options: ImageCommandOptions): void {
  const device = openImage(image, options);
  try {
    const facts = readFacts(device, options);
    if (options.json) printJson(infoJson(facts));
    else printInfo(image, facts);
  } catch (error) {
    throw cannotOpen(image, error);
  } finally {
    device.close();
  }
}

function readFacts(device: Device, options: ImageCommandOptions): Facts {
  const log = new LogSink(false);
  const { superblock } = findSuperblock(device, options.sb, log);
  const facts = superblockFacts(superblock);
  try {
    const superblockBlock = options.sb;
    const fs = FileSystem.open(device, { log: SILENT, superblockBlock, norecovery: true });
    return { superblock: facts, journal: journalFacts(fs), mmp: mmpFacts(fs) };
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    log.warn(`${device.name} cannot be mounted: ${error.message}`);
    return { superblock: facts, journal: undefined, mmp: undefined };
  }
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
