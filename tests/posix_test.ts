/**
 * Named cases of what POSIX and Linux say about files (tests/posix/*.txt), each run by root and by
 * a user, on fuse4fs and on the kernel's ext4: no result differs but those that the documentation
 * lists.
 *
 *     POSIX_CASE='rename: EXCHANGE' deno task test tests/posix_test.ts    those with such a name
 *     POSIX_IMAGE='-t ext3 -b 1024' ...                                   on another file system
 */

import assert from "node:assert/strict";
import { debugfs } from "./support/images.ts";
import { mountKernel } from "./support/mount.ts";
import {
  callsAs,
  DIFFERENCES,
  PEOPLE,
  type Person,
  type PosixCase,
  readPosixCases,
} from "./support/posix_cases.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";
import { mountSubject, SUBJECT_IS_KERNEL } from "./support/subject.ts";
import { compareResults, describeDifference, play } from "./support/syscalls.ts";

const NEEDS = ["root", "loop", "fuse", "executable", "e2fsprogs", "gcc"] as const;

const WANTED = Deno.env.get("POSIX_CASE") ?? "";
const CASES = readPosixCases().filter(({ name }) => name.includes(WANTED));

const IMAGES: Record<string, string> = Deno.env.has("POSIX_IMAGE")
  ? { image: Deno.env.get("POSIX_IMAGE")! }
  : { "ext4": "-t ext4 -b 4096", "ext4 with inline data, 1 KiB": "-t ext4 -b 1024 -O inline_data" };

/** Results by person and case, as they come. */
type Results = Map<string, string[]>;

async function playAll(root: string): Promise<Results> {
  const results: Results = new Map();
  for (const who of ["root", "user"] as const) {
    for (const [index, each] of CASES.entries()) {
      const folder = `${root}/${who}${index}`;
      makeFolder(folder, PEOPLE[who]);
      results.set(keyOf(who, each), await play(folder, callsAs(PEOPLE[who], each)));
    }
  }
  return results;
}

function keyOf(who: string, { name }: PosixCase): string {
  return `${who}: ${name}`;
}

function makeFolder(path: string, { uid, gid }: Person): void {
  Deno.mkdirSync(path);
  Deno.chmodSync(path, 0o777);
  Deno.chownSync(path, uid, gid);
}

async function format(mke2fs: string, image: string): Promise<void> {
  await run("mke2fs", ["-q", "-F", ...mke2fs.split(" "), "-N", "40000", image, "192M"]);
}

for (const [title, mke2fs] of Object.entries(IMAGES)) {
  Deno.test(`POSIX: ${CASES.length} cases by root and by a user, on ${title}`, async (test) => {
    if (!requires(...NEEDS)) return;
    using folder = new TempDir();
    Deno.chmodSync(folder.path, 0o755);
    const dir = folder.mkdir("mnt");
    const [reference, subject] = [folder.join("reference"), folder.join("subject")];
    await format(mke2fs, reference);
    await run("cp", ["--sparse=always", reference, subject]);
    let expected: Results, actual: Results;
    {
      await using mount = await mountKernel(reference, dir, "rw");
      expected = await playAll(mount.dir);
    }
    {
      await using mount = await mountSubject(subject, dir);
      actual = await playAll(mount.dir);
    }
    for (const who of ["root", "user"] as const) {
      for (const each of CASES) {
        const key = keyOf(who, each);
        await test.step(key, () => judge(who, each, expected.get(key)!, actual.get(key)!));
      }
    }
    await run("e2fsck", ["-f", "-n", subject]);
  });
}

/** Every difference must be listed, and every one that is listed must be one. */
function judge(
  who: "root" | "user",
  posixCase: PosixCase,
  expected: readonly string[],
  actual: readonly string[],
): void {
  const { differs } = posixCase;
  const found = compareResults(callsAs(PEOPLE[who], posixCase), expected, actual);
  const unexpected = found.filter(({ at }) => !differs.has(at));
  assert.equal(unexpected.map(describeDifference).join("\n"), "");
  if (SUBJECT_IS_KERNEL || who === "user") return;
  const missed = [...differs.keys()].filter((at) => !found.some((each) => each.at === at));
  assert.deepEqual(missed.map((at) => posixCase.calls[at - 1]), [], "does not differ any more");
}

Deno.test("POSIX: cases have names of their own, and differences are documented", () => {
  const names = CASES.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  const url = new URL("../docs/writable_mounts.md", import.meta.url);
  const document = Deno.readTextFileSync(url).replaceAll(/\s+/g, " ");
  for (const reason of CASES.flatMap(({ differs }) => [...differs.values()])) {
    assert.ok(document.includes(DIFFERENCES[reason] ?? reason), reason);
  }
});

Deno.test("EMLINK: of files and folders", async () => {
  if (!requires(...NEEDS)) return;
  const script = [
    ...["link f f1", "link f f2", "link f f3", "stat f", "unlink f1", "link f f3"],
    ...["mkdir d/a 0755", "mkdir d/b 0755", "mkdir d/c 0755", "stat d"],
    ...["mkdir x 0755", "rename x d/x 0", "rename x d/a 0", "rmdir d/a", "mkdir d/c 0755"],
  ];
  for (const features of ["dir_nlink", "^dir_nlink"]) {
    using folder = new TempDir();
    const dir = folder.mkdir("mnt");
    const image = folder.join("image");
    await run("mke2fs", ["-q", "-F", "-t", "ext4", "-O", features, image, "16M"]);
    await debugfs(image, ["mkdir d", "write /dev/null f"]);
    await debugfs(image, ["sif d links_count 64998", "sif f links_count 64998"]);
    await run("cp", [image, `${image}.reference`]);
    let expected: string[];
    {
      await using mount = await mountKernel(`${image}.reference`, dir, "rw");
      expected = await play(mount.dir, script);
    }
    await using mount = await mountSubject(image, dir);
    const actual = await play(mount.dir, script);
    assert.deepEqual(compareResults(script, expected, actual).map(describeDifference), []);
    assert.ok(expected.includes("EMLINK"));
  }
});
