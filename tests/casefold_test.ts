import { sameBytes } from "../src/sys/bytes.ts";
import assert from "node:assert/strict";
import { foldName, isValidUtf8 } from "../src/ext4/directory/casefold.ts";
import {
  CasefoldTable,
  FIRST_FOLDING,
  IGNORABLE,
  ORDINARY,
} from "../src/ext4/directory/casefold_table.ts";
import { directoryHash, HashVersion } from "../src/ext4/directory/dirhash.ts";
import { askDxHash, formatHash } from "./support/dx_hash.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";

const encoder = new TextEncoder();
const bytes = (text: string): Uint8Array => encoder.encode(text);
const raw = (...values: number[]): Uint8Array => Uint8Array.from(values);
const LAST_CODE_POINT = 0x10ffff;

const FOLDED: readonly (readonly [name: string, from: string, to: string])[] = [
  ["ASCII", "README.Md_[09]", "readme.md_[09]"],
  ["a German sharp s", "Stra\u00dfe", "strasse"],
  ["a capital sharp s", "STRA\u1e9eE", "strasse"],
  ["a Turkish dotted capital I", "\u0130", "i\u0307"],
  ["a Turkish dotless i", "\u0131", "\u0131"],
  ["a Greek final sigma", "\u03a3\u03c3\u03c2", "\u03c3\u03c3\u03c3"],
  ["a Greek vowel with three marks", "\u1f82", "\u03b1\u0313\u0300\u03b9"],
  ["an iota below, which becomes a letter", "\u03b1\u0345\u0301", "\u03b1\u03b9\u0301"],
  ["a ligature", "\ufb03", "ffi"],
  ["a sign that stands for a letter", "\u212b\u2126\u212a", "a\u030a\u03c9k"],
  ["Cyrillic", "\u0419\u0401", "\u0438\u0306\u0435\u0308"],
  ["a Cherokee letter, which folds upwards", "\uab70\u13a0", "\u13a0\u13a0"],
  ["a letter beyond 16 bits", "\u{10400}", "\u{10428}"],
  ["a Hangul syllable of two letters", "\uac00", "\u1100\u1161"],
  ["a Hangul syllable of three letters", "\ud7a3", "\u1112\u1175\u11c2"],
  ["a Chinese character for compatibility", "\uf900\u{2fa1d}", "\u8c48\u{2a600}"],
  ["a musical symbol in parts", "\u{1d15e}", "\u{1d157}\u{1d165}"],
  ["marks in order", "a\u0323\u0307", "a\u0323\u0307"],
  ["marks out of order", "a\u0307\u0323", "a\u0323\u0307"],
  ["marks of one class", "a\u0301\u0300", "a\u0301\u0300"],
  ["marks with an ignorable character between", "a\u0307\u034f\u0323", "a\u0307\u0323"],
  ["a mark behind a composed letter", "\u1e0b\u0323", "d\u0323\u0307"],
  ["a soft hyphen", "soft\u00adhyphen", "softhyphen"],
  ["a zero-width joiner", "\u{1f468}\u200d\u{1f469}", "\u{1f468}\u{1f469}"],
  ["nothing but ignorable characters", "\u00ad\ufeff\u200b\u{e0001}\u2065", ""],
  ["emoji", "\u{1f600}\ufe0f", "\u{1f600}"],
  ["compatibility characters that are no letters", "\uff11\u00b2\u00a0", "\uff11\u00b2\u00a0"],
  ["a full-width letter", "\uff21", "\uff41"],
  ["an unassigned code point", "A\u0378", "a\u0378"],
  ["a letter newer than Unicode 12.1", "\ua7c7A", "\ua7c7a"],
  ["a mark newer than Unicode 12.1", "a\u0301\u1abf", "a\u0301\u1abf"],
  ["code points for private use and none", "\ue000\ufdd0\u{10ffff}", "\ue000\ufdd0\u{10ffff}"],
];

for (const [name, from, to] of FOLDED) {
  Deno.test(`foldName: ${name}`, async () => {
    assert.equal(new TextDecoder("utf-8", { ignoreBOM: true }).decode(foldName(bytes(from))), to);
    if (!requires("e2fsprogs")) return;
    await assertHashesAlike([bytes(from)]);
  });
}

/** Compares the hash of folded names, which stands for all their bytes. */
async function assertHashesAlike(names: readonly Uint8Array[]): Promise<void> {
  const version = HashVersion.HALF_MD4;
  const theirs = await askDxHash(names.map((name) => ({ version, name, casefold: true })));
  for (const [index, name] of names.entries()) {
    const folded = foldName(name);
    assert.ok(folded !== undefined, `name ${name.toHex()} does not fold`);
    const ours = formatHash(directoryHash(version, new Uint32Array(4), folded));
    assert.equal(ours, theirs[index], `name ${name.toHex()}, folded ${folded.toHex()}`);
  }
}

Deno.test("foldName: a name with nothing to fold is given back", () => {
  const name = bytes("nothing-to-fold.txt");
  assert.equal(foldName(name), name);
});

const NO_UTF8: readonly (readonly [string, Uint8Array])[] = [
  ["a continuation byte at the start", raw(0x80, 0x41)],
  ["a first byte at the end", raw(0x41, 0xc3)],
  ["a sequence cut off at the end", raw(0x41, 0xe2, 0x82)],
  ["a sequence cut off by a letter", raw(0xe2, 0x82, 0x41)],
  ["two bytes where one would do", raw(0xc0, 0x80)],
  ["three bytes where two would do", raw(0xe0, 0x9f, 0xbf)],
  ["four bytes where three would do", raw(0xf0, 0x8f, 0xbf, 0xbf)],
  ["the first surrogate", raw(0xed, 0xa0, 0x80)],
  ["the last surrogate", raw(0xed, 0xbf, 0xbf)],
  ["a code point above the last", raw(0xf4, 0x90, 0x80, 0x80)],
  ["the first byte of a sequence of five", raw(0xf8, 0x88, 0x80, 0x80, 0x80)],
  ["the byte 0xff", raw(0x41, 0xff)],
];

for (const [name, bad] of NO_UTF8) {
  Deno.test(`foldName: no form of a name with ${name}`, () => {
    assert.equal(foldName(bad), undefined);
    assert.equal(isValidUtf8(bad), false);
    assert.throws(() => new TextDecoder("utf-8", { fatal: true }).decode(bad));
  });
}

const STRAY_BYTES: readonly (readonly [string, Uint8Array, Uint8Array])[] = [
  ["behind a letter", raw(0x58, 0xb2), raw(0x78, 0xb2)],
  // The kernel passes it once to find the mark's class, and once more to put out the mark.
  ["behind a mark", raw(0x41, 0xcc, 0x81, 0xb2), raw(0x61, 0xb2, 0xcc, 0x81, 0xb2)],
  ["behind an ignorable character", raw(0xc2, 0xad, 0x80), raw(0x80)],
];

for (const [name, stray, folded] of STRAY_BYTES) {
  Deno.test(`foldName: carries along a stray byte ${name}`, async () => {
    assert.deepEqual(foldName(stray), folded);
    assert.equal(isValidUtf8(stray), false);
    if (!requires("e2fsprogs")) return;
    await assertHashesAlike([stray]);
  });
}

Deno.test("foldName: no form longer than the kernel's buffer", () => {
  const table = new CasefoldTable();
  const byClass = new Map<number, string>();
  for (let codePoint = 0x300; codePoint < 0x700; codePoint++) {
    const property = table.property(codePoint);
    if (property !== ORDINARY && property < IGNORABLE) {
      byClass.set(property, String.fromCodePoint(codePoint));
    }
  }
  // Each class of marks puts out all stray bytes once more.
  const marks = [...byClass.values()].join("");
  const long = (strays: number) => raw(...bytes(marks), ...new Uint8Array(strays).fill(0x80));
  const passes = byClass.size + 1;
  const strays = Math.floor((4095 - bytes(marks).length) / passes);
  assert.equal(foldName(long(strays))?.length, bytes(marks).length + strays * passes);
  assert.equal(foldName(long(strays + 1)), undefined);
});

Deno.test("isValidUtf8: agrees with the standard's decoder", () => {
  const random = new Random(0x3629);
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const pieces = [
    0x41,
    0x80,
    0xbf,
    0xc2,
    0xdf,
    0xe0,
    0xa0,
    0xed,
    0x9f,
    0xef,
    0xf0,
    0x90,
    0xf4,
    0x8f,
  ];
  let valid = 0;
  for (let round = 0; round < 50_000; round++) {
    const name = Uint8Array.from({ length: 1 + random.below(6) }, () => random.pick(pieces));
    let expected = true;
    try {
      decoder.decode(name);
    } catch {
      expected = false;
    }
    if (expected) valid++;
    assert.equal(isValidUtf8(name), expected, name.toHex());
  }
  assert.ok(valid > 1000, `only ${valid} valid names`);
});

/** As a casefolded directory compares names: FoldedName of name_query.ts. */
function sameFolded(a: Uint8Array, b: Uint8Array): boolean {
  return sameBytes(foldName(a) ?? a, foldName(b) ?? b);
}

Deno.test("foldName: names that differ in case and composition only", () => {
  assert.ok(sameFolded(bytes("\u00c5ngstr\u00f6m"), bytes("a\u030aNGSTRO\u0308M")));
  assert.ok(sameFolded(bytes("MASSE"), bytes("Ma\u00dfe")));
  assert.ok(!sameFolded(bytes("I"), bytes("\u0131")));
  assert.ok(!sameFolded(bytes("a"), bytes("\u00e4")));
  assert.ok(!sameFolded(bytes("name"), bytes("name.")));
});

Deno.test("foldName: names that are no UTF-8 go by their bytes", () => {
  assert.ok(sameFolded(raw(0x41, 0xff), raw(0x41, 0xff)));
  assert.ok(!sameFolded(raw(0x41, 0xff), raw(0x61, 0xff)));
  assert.ok(!sameFolded(raw(0x41, 0xff), raw(0x41)));
  assert.ok(!sameFolded(raw(0x41), raw(0x41, 0xff)));
});

Deno.test("foldName: like debugfs for every code point of the planes in use", async () => {
  if (!requires("e2fsprogs")) return;
  // Many in one name: what stands before and behind must make no difference either.
  const IN_ONE_NAME = 48;
  const names: Uint8Array[] = [];
  for (
    const [first, last] of [[1, 0xd7ff], [0xe000, 0x2ffff], [0xe0000, 0xe0fff], [
      0x10fff0,
      0x10ffff,
    ]]
  ) {
    for (let start = first; start <= last; start += IN_ONE_NAME) {
      const length = Math.min(IN_ONE_NAME, last - start + 1);
      const codePoints = Array.from({ length }, (_, index) => start + index)
        .filter((codePoint) => codePoint !== 0x0a && codePoint !== 0x0d);
      names.push(bytes(String.fromCodePoint(...codePoints)));
    }
  }
  await assertHashesAlike(names);
});

Deno.test("foldName: like debugfs for names of chance, whole and with stray bytes", async () => {
  if (!requires("e2fsprogs")) return;
  const random = new Random(0xf01d);
  const names = Array.from(
    { length: 4000 },
    (_, index) => randomName(random, 220, index % 2 === 1),
  );
  const long = Array.from({ length: 60 }, (_, index) => randomName(random, 255, index % 2 === 1));
  assert.ok(long.some((name) => foldName(name)!.length > 255), "no folded name is over 255 bytes");
  await assertHashesAlike([...names, ...long]);
});

Deno.test("foldName: composing or decomposing a name first makes no difference", () => {
  // The runtime's tables are newer, but what they say of old characters stays.
  const random = new Random(0x12c0);
  const codePoints = [...KINDS.changed, ...KINDS.mark];
  for (let round = 0; round < 2000; round++) {
    const text = Array.from(
      { length: 1 + random.below(12) },
      () => String.fromCodePoint(random.pick(codePoints)),
    ).join("");
    // This mark becomes a letter, so its place among other marks matters.
    if (text.normalize("NFD").includes("\u0345")) continue;
    const folded = foldName(bytes(text));
    assert.deepEqual(foldName(bytes(text.normalize("NFC"))), folded, text);
    assert.deepEqual(foldName(bytes(text.normalize("NFD"))), folded, text);
    assert.deepEqual(foldName(folded!), folded, text);
  }
});

/** Code points that folding does something to, by what it does. */
const KINDS = kindsOfCodePoints();

function kindsOfCodePoints(): Record<"changed" | "mark" | "ignorable", readonly number[]> {
  const table = new CasefoldTable();
  const kinds = { changed: [] as number[], mark: [] as number[], ignorable: [] as number[] };
  for (let codePoint = 0; codePoint <= LAST_CODE_POINT; codePoint++) {
    const property = table.property(codePoint);
    if (property >= FIRST_FOLDING) kinds.changed.push(codePoint);
    else if (property === IGNORABLE) kinds.ignorable.push(codePoint);
    else if (property !== ORDINARY) kinds.mark.push(codePoint);
  }
  return kinds;
}

/** A name of up to so many bytes, most of it difficult. */
function randomName(random: Random, length: number, withStrays: boolean): Uint8Array {
  const name: number[] = [];
  for (;;) {
    const piece = [...bytes(String.fromCodePoint(randomCodePoint(random)))];
    if (withStrays && random.below(6) === 0) piece.push(0x80 + random.below(0x40));
    if (name.length + piece.length > length) return Uint8Array.from(name);
    name.push(...piece);
  }
}

function randomCodePoint(random: Random): number {
  const choice = random.below(10);
  if (choice < 4) return random.pick(KINDS.mark);
  if (choice < 6) return random.pick(KINDS.changed);
  if (choice < 7) return random.pick(KINDS.ignorable);
  if (choice < 8) return 0xac00 + random.below(11172);
  const any = 0x20 + random.below(LAST_CODE_POINT - 0x20);
  return any >= 0xd800 && any <= 0xdfff ? 0x41 : any;
}
