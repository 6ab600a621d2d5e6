/** src/fuse on a real mount, with handlers that misbehave (support/toy_server.ts). */

import assert from "node:assert/strict";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const SERVER = new URL("./support/toy_server.ts", import.meta.url).pathname;

/** A running toy server. */
async function startServer(mountpoint: string) {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--no-check", SERVER, mountpoint],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value } = await lines.read();
  assert.equal(value, "ready\n");
  const rest = async () => {
    let text = "";
    for (let piece = await lines.read(); !piece.done; piece = await lines.read()) {
      text += piece.value;
    }
    return text;
  };
  return { child, rest };
}

Deno.test("Session: a handler that throws is EIO or its errno, and the mount lives on", async () => {
  if (!requires("root", "fuse")) return;
  using folder = new TempDir();
  const dir = folder.mkdir("mnt");
  const { child, rest } = await startServer(dir);
  for (let round = 0; round < 3; round++) {
    assert.throws(() => Deno.readFileSync(`${dir}/crash`), /os error 5/);
    assert.throws(() => Deno.readFileSync(`${dir}/damage`), /os error 117/);
    assert.throws(() => Deno.statSync(`${dir}/missing`), Deno.errors.NotFound);
    assert.equal(Deno.readTextFileSync(`${dir}/fine`), "all is well\n");
  }
  assert.equal([...Deno.readDirSync(dir)].length, 4);
  await run("umount", [dir]);
  assert.equal(await rest(), "ended\n");
  const errors = await new Response(child.stderr).text();
  assert.match(errors, /internal error in getattr: TypeError: a defect of the server\n\s+at /);
  assert.match(errors, /Corrupt toy structure \(inode 5, block 4711\)/);
  assert.equal((await child.status).code, 0);
});

Deno.test("Session: times before 1970 and after 2038, and the time of creation, arrive", async () => {
  if (!requires("root", "fuse")) return;
  using folder = new TempDir();
  const dir = folder.mkdir("mnt");
  const { child, rest } = await startServer(dir);
  try {
    const { stdout } = await run("stat", ["-c", "%.9X %.9Y %.9Z %.9W", `${dir}/odd-times`]);
    assert.equal(
      stdout,
      "-0.000000001 15000000000.000000001 -0.000000001 12345.000006789\n",
    );
  } finally {
    await run("umount", [dir]);
  }
  await rest();
  await child.stderr.cancel();
  await child.status;
});

Deno.test("Session: SIGTERM unmounts and ends the server", async () => {
  if (!requires("root", "fuse")) return;
  using folder = new TempDir();
  const dir = folder.mkdir("mnt");
  const { child, rest } = await startServer(dir);
  assert.equal(Deno.readTextFileSync(`${dir}/fine`), "all is well\n");
  child.kill("SIGTERM");
  assert.equal(await rest(), "ended\n");
  assert.equal((await child.status).code, 0);
  await child.stderr.cancel();
  assert.deepEqual([...Deno.readDirSync(dir)], []);
});
