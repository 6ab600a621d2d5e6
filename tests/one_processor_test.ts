/** A server that has one processor only waits inside the call that receives a request. */

import assert from "node:assert/strict";
import { FUSE4FS } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

for (const end of ["umount", "SIGTERM", "SIGINT"] as const) {
  Deno.test(`mount on one processor: answers, and ends by ${end}`, async () => {
    if (!requires("root", "fuse", "e2fsprogs", "executable")) return;
    using folder = new TempDir();
    const source = folder.mkdir("source");
    Deno.writeTextFileSync(`${source}/file`, "content");
    const image = folder.join("image");
    await run("mke2fs", ["-q", "-F", "-t", "ext4", "-d", source, image, "8M"]);
    const dir = folder.mkdir("mounted");
    const server = new Deno.Command("taskset", {
      args: ["--cpu-list", "0", FUSE4FS, image, dir, "-f", "-o", "ro,attr_timeout=0"],
    }).spawn();
    await run("sh", ["-c", `until mountpoint -q "$0"; do sleep 0.05; done`, dir]);
    for (let round = 0; round < 50; round++) assert.equal(Deno.statSync(`${dir}/file`).size, 7);
    assert.equal(Deno.readTextFileSync(`${dir}/file`), "content");
    // Long enough for the server to be asleep.
    await new Promise((resolve) => setTimeout(resolve, 200));
    if (end === "umount") await run("umount", [dir]);
    else server.kill(end);
    const { code } = await server.status;
    assert.equal(code, 0);
    assert.deepEqual([...Deno.readDirSync(dir)], []);
  });
}
