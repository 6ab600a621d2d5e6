/** What is no ext4 file system is called by its name, in one line, and is not taken for one. */

import assert from "node:assert/strict";
import { MemoryDevice } from "../src/block/memory_device.ts";
import { foreignContent } from "../src/ext4/superblock/foreign.ts";
import { FUSE4FS } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

/** How to make an image of a file system, and what is said of it. */
const OTHERS = [
  { name: "xfs", program: "mkfs.xfs", args: ["-q", "-f"], mebibytes: 320, words: /XFS/ },
  { name: "btrfs", program: "mkfs.btrfs", args: ["-q", "-f"], mebibytes: 128, words: /btrfs/ },
] as const;

for (const { name, program, args, mebibytes, words } of OTHERS) {
  Deno.test(`mount: ${name} as DEVICE is one line and exit code 1`, async () => {
    if (!requires("xfs and btrfs", "e2fsprogs", "fuse", "executable")) return;
    using folder = new TempDir();
    const image = folder.join("image");
    // Of an ext4 that was there before, backups of the superblock are left.
    await run("mke2fs", ["-q", "-F", "-t", "ext4", image, `${mebibytes}M`]);
    await run(program, [...args, image]);
    const dir = folder.mkdir("mounted");
    for (const options of ["ro", "rw"]) {
      const { stdout, stderr } = await run(FUSE4FS, [image, dir, "-o", options], { codes: [1] });
      assert.match(stderr, /^fuse4fs: Cannot open image .*\n$/);
      assert.match(stderr, words);
      assert.equal(stdout, "");
    }
    const { stderr } = await run(FUSE4FS, ["info", image], { codes: [1] });
    assert.match(stderr, words);
  });
}

Deno.test("foreignContent: knows nothing of noise, of nothing, and of ext4", async () => {
  const bytes = (length: number) => crypto.getRandomValues(new Uint8Array(length));
  for (const length of [0, 3, 1000, 65536]) {
    assert.equal(foreignContent(new MemoryDevice(bytes(length), "noise")), undefined);
  }
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = folder.join("image");
  await run("mke2fs", ["-q", "-F", "-t", "ext4", image, "8M"]);
  assert.equal(foreignContent(new MemoryDevice(Deno.readFileSync(image), "ext4")), undefined);
});
