/**
 * Images that are damaged on purpose: e2fsprogs tests itself with them. Whatever they hold, the
 * outcome is data or a clear error, in bounded time and memory, and the image stays as it is.
 */

import assert from "node:assert/strict";
import type { ImageOutcome } from "./support/image_worker.ts";
import { E2FSPROGS_IMAGES, requires } from "./support/requirements.ts";
import { digestOf, run, TempDir } from "./support/run.ts";
import { supervise } from "./support/supervise.ts";

const MAX_MILLISECONDS = 20_000;
const MAX_MEGABYTES = 512;
const IMAGES_AT_ONCE = 16;

/** Errors that may be met in a damaged file system, besides those for reading without a key. */
const ALLOWED = ["EUCLEAN", "EBADMSG", "EIO", "ENOKEY"];
const ALLOWED_WHEN_OPENED = [...ALLOWED, "EINVAL"];

Deno.test("FileSystem: damaged images of e2fsprogs give data or clear errors", async () => {
  if (!requires("images")) return;
  const packed = [...Deno.readDirSync(E2FSPROGS_IMAGES)].map(({ name }) => name).sort();
  assert.ok(packed.length >= 100, `only ${packed.length} images`);
  const outcomes: ImageOutcome[] = [];
  for (let from = 0; from < packed.length; from += IMAGES_AT_ONCE) {
    using folder = new TempDir();
    const images: string[] = [];
    for (const name of packed.slice(from, from + IMAGES_AT_ONCE)) {
      images.push(await unpack(`${E2FSPROGS_IMAGES}/${name}`, folder));
    }
    const digests = images.map(digestOf);
    const before = outcomes.length;
    const failure = await supervise({
      worker: "image_worker.ts",
      args: images,
      stepTime: MAX_MILLISECONDS,
      onStep: (step) => outcomes.push(step as ImageOutcome),
    });
    const current = images[outcomes.length - before];
    assert.equal(failure, undefined, `${current}: ${failure}`);
    assert.deepEqual(images.map(digestOf), digests, "an image was changed");
  }
  assert.equal(outcomes.length, packed.length);
  const wrong = outcomes.flatMap((outcome) =>
    complaints(outcome).map((words) => `${outcome.image.replace(/.*\//, "")}: ${words}`)
  );
  assert.equal(wrong.join("\n"), "");
});

function* complaintsOf(outcome: ImageOutcome): Generator<string> {
  const { uncaught, refused, errors, milliseconds, megabytes } = outcome;
  if (uncaught !== undefined) yield uncaught;
  if (milliseconds > MAX_MILLISECONDS) yield `took ${Math.round(milliseconds)} ms`;
  if (megabytes > MAX_MEGABYTES) yield `took ${Math.round(megabytes)} MiB`;
  if (refused !== undefined && !ALLOWED_WHEN_OPENED.includes(refused.code)) {
    yield `refused with ${refused.code}: ${refused.message}`;
  }
  for (const message of outcome.unplaced) yield `no place in: ${message}`;
  for (const code of Object.keys(errors)) {
    if (!ALLOWED.includes(code)) yield `${code} among ${outcome.messages.join("; ")}`;
  }
}

function complaints(outcome: ImageOutcome): string[] {
  return [...complaintsOf(outcome)];
}

async function unpack(path: string, folder: TempDir): Promise<string> {
  const program = path.endsWith(".bz2") ? "bzcat" : "zcat";
  const image = folder.join(path.replace(/.*\//, "").replace(/\.(gz|bz2)$/, ""));
  await run("sh", ["-c", `${program} "$1" > "$2"`, "sh", path, image]);
  return image;
}
