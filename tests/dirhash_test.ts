import assert from "node:assert/strict";
import { directoryHash, HashVersion } from "../src/ext4/directory/dirhash.ts";
import { Errno } from "../src/sys/errno.ts";
import { FsError } from "../src/sys/fs_error.ts";
import { askDxHash, formatHash, type HashQuestion } from "./support/dx_hash.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";

const NO_SEED = new Uint32Array(4);
const MAX_NAME = 255;
const VERSIONS = Object.entries(HashVersion).filter(([name]) => name !== "SIPHASH");

/** A name of any bytes that both a name and a command of debugfs can hold. */
function randomName(random: Random, length: number): Uint8Array {
  const unfit = [0, 0x0a, 0x0d, 0x2f];
  return random.bytes(length).map((byte) => unfit.includes(byte) ? 0xff : byte);
}

async function assertLikeDebugfs(questions: readonly HashQuestion[]): Promise<void> {
  const ours = questions.map(({ version, seed, name }) =>
    formatHash(directoryHash(version, seed ?? NO_SEED, name))
  );
  const theirs = await askDxHash(questions);
  for (const [index, { name }] of questions.entries()) {
    assert.equal(ours[index], theirs[index], `name ${name.toHex()}`);
  }
}

for (const [versionName, version] of VERSIONS) {
  Deno.test(`directoryHash: ${versionName} is debugfs's for names of all lengths`, async () => {
    if (!requires("e2fsprogs")) return;
    const random = new Random(20261124 + version);
    const seed = new Uint32Array(random.bytes(16).buffer);
    const questions = Array.from({ length: MAX_NAME }, (_, index) => index + 1)
      .flatMap((length) => [
        { version, name: randomName(random, length) },
        { version, name: randomName(random, length), seed },
        { version, name: randomName(random, length).map((byte) => byte & 0x5f | 0x40), seed },
      ]);
    await assertLikeDebugfs(questions);
  });

  Deno.test(`directoryHash: ${versionName} is debugfs's for seeds with zero words`, async () => {
    if (!requires("e2fsprogs")) return;
    const seeds = [[0, 0, 0, 1], [0x80000000, 0, 0, 0], [0, 0xffffffff, 0, 0]];
    await assertLikeDebugfs(
      seeds.map((words) => ({
        version,
        seed: Uint32Array.from(words),
        name: new TextEncoder().encode("lost+found"),
      })),
    );
  });
}

Deno.test("directoryHash: signed and unsigned versions differ only for bytes above 127", () => {
  const hash = (version: number, text: string) =>
    formatHash(directoryHash(version, NO_SEED, new TextEncoder().encode(text)));
  const { LEGACY, HALF_MD4, TEA, LEGACY_UNSIGNED, HALF_MD4_UNSIGNED, TEA_UNSIGNED } = HashVersion;
  const pairs = [[LEGACY, LEGACY_UNSIGNED], [HALF_MD4, HALF_MD4_UNSIGNED], [TEA, TEA_UNSIGNED]];
  for (const [signed, unsigned] of pairs) {
    assert.equal(hash(signed, "umlauts"), hash(unsigned, "umlauts"));
    assert.notEqual(hash(signed, "uml\u00e4uts"), hash(unsigned, "uml\u00e4uts"));
  }
});

Deno.test("directoryHash: no name has the hash that ends a directory", async () => {
  // Names that the algorithm alone would give the hash 0xfffffffe, found by trying.
  const names: [number, string][] = [
    [HashVersion.LEGACY, "xnidgbbaa"],
    [HashVersion.HALF_MD4, "jjcguvbaa"],
  ];
  const questions = names.map(([version, text]) => ({
    version,
    name: new TextEncoder().encode(text),
  }));
  for (const { version, name } of questions) {
    assert.equal(directoryHash(version, NO_SEED, name).major, 0xfffffffc);
  }
  if (!requires("e2fsprogs")) return;
  await assertLikeDebugfs(questions);
});

Deno.test("directoryHash: the empty name has the seed for its hash", () => {
  // As a name has that folds to nothing.
  const hash = directoryHash(HashVersion.HALF_MD4, NO_SEED, new Uint8Array(0));
  assert.deepEqual(hash, { major: 0xefcdab88, minor: 0x98badcfe });
});

Deno.test("directoryHash: versions that cannot be computed are corruption", () => {
  for (const version of [HashVersion.SIPHASH, 7, 255]) {
    assert.throws(
      () => directoryHash(version, NO_SEED, Uint8Array.of(0x61)),
      (error) => error instanceof FsError && error.errno === Errno.EUCLEAN,
    );
  }
});
