/**
 * A mount by fuse4fs looks, to every system call that reads, as the same image mounted by the
 * kernel's ext4 (or, for what this kernel cannot mount, as debugfs tells it), and leaves the image
 * as it was.
 */

import assert from "node:assert/strict";
import { describeByDebugfs } from "./support/debugfs.ts";
import { CONFIGS, type ImageConfig, makeImage } from "./support/images.ts";
import { mountFuse4fs, mountKernel } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { digestOf, TempDir } from "./support/run.ts";
import { compareTrees, describeTree, type Tree } from "./support/tree.ts";

/** What FUSE has no way to tell: the time of creation, and the UUID by the ioctl of the VFS. */
const NOT_IN_FUSE = ["btime", "uuid"];

for (const config of CONFIGS) {
  Deno.test(`mount: ${config.name} reads as ${config.oracle} has it`, async () => {
    if (!requires("root", "loop", "fuse", "e2fsprogs", "gcc", "executable")) return;
    using folder = new TempDir();
    const image = await makeImage(config, folder.path);
    const before = digestOf(image);
    const expected = await expectedTree(config, image, folder);
    const actual = await actualTree(image, folder);
    assertKnown(expected);
    const differences = compareTrees(expected, actual, {
      ignore: NOT_IN_FUSE,
      partial: config.oracle === "debugfs",
    });
    assert.equal(differences.join("\n"), "");
    assert.equal(digestOf(image), before, "the image was changed");
  });
}

async function expectedTree(
  config: ImageConfig,
  image: string,
  folder: TempDir,
): Promise<Tree> {
  if (config.oracle === "debugfs") return await describeByDebugfs(image);
  await using mount = await mountKernel(image, folder.mkdir("kernel"), "ro,noload");
  return await describeTree(mount.dir);
}

async function actualTree(image: string, folder: TempDir): Promise<Tree> {
  await using mount = await mountFuse4fs(image, folder.mkdir("fuse4fs"), "ro");
  return await describeTree(mount.dir);
}

/** The population must have got into the image, and the oracle must have been able to read it. */
function assertKnown(tree: Tree): void {
  assert.ok(tree.size > 1000, `the oracle sees only ${tree.size} paths`);
  for (const [path, facts] of tree) {
    for (const [name, value] of facts) {
      // Without its key an encrypted file has no content to show.
      assert.ok(!value.startsWith("!") || value === "!ENOKEY", `${path}: ${name}: ${value}`);
    }
  }
}
