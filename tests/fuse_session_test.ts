/** src/fuse on a real mount, with handlers that misbehave (support/toy_server.ts). */

import assert from "node:assert/strict";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";
import {
  FIRST_OF_MANY,
  latin1,
  MANY,
  MIXED_SIZE,
  mixedByte,
  oddName,
} from "./support/toy_content.ts";

const SERVER = new URL("./support/toy_server.ts", import.meta.url).pathname;

/** A running toy server. */
async function startServer(mountpoint: string, ...options: string[]) {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--no-check", SERVER, mountpoint, ...options],
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
  assert.equal([...Deno.readDirSync(dir)].length, 8);
  await run("umount", [dir]);
  assert.equal(await rest(), "ended\n");
  const errors = await new Response(child.stderr).text();
  assert.match(errors, /internal error in getattr: TypeError: a defect of the server\n\s+at /);
  assert.match(errors, /Corrupt toy structure \(inode 7, block 4711\)/);
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

/** Runs `body` on a mount of the toy server, which must end by the unmount and without complaint. */
async function withToy(body: (dir: string) => Promise<void>, ...options: string[]): Promise<void> {
  using folder = new TempDir();
  const dir = folder.mkdir("mnt");
  // Other users are to get as far as the mount.
  Deno.chmodSync(folder.path, 0o755);
  const { child, rest } = await startServer(dir, ...options);
  try {
    await body(dir);
  } finally {
    await run("umount", [dir]);
  }
  assert.equal(await rest(), "ended\n");
  assert.equal(await new Response(child.stderr).text(), "");
  assert.equal((await child.status).code, 0);
}

Deno.test("Session: a large folder with names of any bytes, listed and looked up", async () => {
  if (!requires("root", "fuse")) return;
  await withToy(async (dir) => {
    // find(1) asks for the attributes of each name, with a lookup of it.
    const { stdout } = await new Deno.Command("find", {
      args: [`${dir}/many`, "-mindepth", "1", "-printf", "%i %s %f\\0"],
    }).output();
    const actual = latin1(stdout).split("\0").slice(0, -1).sort();
    const expected = Array.from({ length: MANY }, (_, index) => {
      const ino = FIRST_OF_MANY + index;
      return `${ino} ${ino} ${latin1(oddName(index))}`;
    }).sort();
    assert.deepEqual(actual, expected);
  });
});

Deno.test("Session: numbers of devices and of blocks beyond 32 bits arrive", async () => {
  if (!requires("root", "fuse")) return;
  await withToy(async (dir) => {
    const device = await run("stat", ["-c", "%F %t %T", `${dir}/device`]);
    assert.equal(device.stdout, "character special file fff fffff\n");
    const counts = await run("stat", ["-f", "-c", "%s %S %b %f %a %c %d %l", dir]);
    assert.equal(counts.stdout, "4096 1024 1099511627777 8589934595 5 4294967295 7 255\n");
  });
});

Deno.test("Session: reads of descriptors and memory by turns, copied and spliced", async () => {
  if (!requires("root", "fuse")) return;
  await withToy((dir) => {
    using file = Deno.openSync(`${dir}/mixed`);
    const expected = Uint8Array.from({ length: MIXED_SIZE }, (_, at) => mixedByte(at));
    for (const [position, length] of [[0, MIXED_SIZE], [4097, 3], [9_999, 20_000], [777, 2e6]]) {
      const bytes = new Uint8Array(length + 1);
      file.seekSync(position, Deno.SeekMode.Start);
      let done = 0;
      for (let count = file.readSync(bytes); count; count = file.readSync(bytes.subarray(done))) {
        done += count;
        if (done >= length) break;
      }
      assert.ok(done >= length);
      assert.deepEqual(bytes.subarray(0, length), expected.subarray(position, position + length));
    }
    file.seekSync(MIXED_SIZE - 1, Deno.SeekMode.Start);
    assert.equal(file.readSync(new Uint8Array(10)), 1);
    assert.equal(file.readSync(new Uint8Array(10)), null);
    return Promise.resolve();
  });
});

Deno.test("Session: extended attributes, and the errors of asking for others", async () => {
  if (!requires("root", "fuse", "acl")) return;
  await withToy(async (dir) => {
    const { stdout } = await run("getfattr", [
      ...["--absolute-names", "-d", "-e", "hex", `${dir}/fine`],
    ]);
    assert.match(stdout, /^user\.toy=0x0100ff$/m);
    const { stderr } = await run("getfattr", ["-n", "user.other", `${dir}/fine`], { codes: [1] });
    assert.match(stderr, /No such attribute/);
  });
});

Deno.test("Session: allow_root lets in root and the owner, and nobody else", async () => {
  if (!requires("root", "fuse")) return;
  await withToy(async (dir) => {
    const asOther = async (...command: string[]) => {
      const other = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
      const { stderr } = await run("setpriv", [...other, ...command], { codes: [1, 2] });
      assert.match(stderr, /Permission denied/, command.join(" "));
    };
    await asOther("cat", `${dir}/fine`);
    await asOther("ls", dir);
    // statx(2) with the time of creation is a request of its own.
    await asOther("stat", "-c", "%W", dir);
    assert.equal(Deno.readTextFileSync(`${dir}/fine`), "all is well\n");
  }, "allow_root");
});

Deno.test("Session: a connection cut while a request is answered ends the server in order", async () => {
  if (!requires("root", "fuse")) return;
  using folder = new TempDir();
  const dir = folder.mkdir("mnt");
  const { child, rest } = await startServer(dir);
  try {
    const asked = await run("stat", [`${dir}/abort`], { codes: [1] });
    assert.match(asked.stderr, /abort/);
    assert.equal(await rest(), "ended\n");
    assert.equal(await new Response(child.stderr).text(), "");
    assert.equal((await child.status).code, 0);
  } finally {
    // A connection that is cut leaves its mount behind, with any server.
    await run("umount", [dir]);
  }
});
