/**
 * Features of ext4 that the kernel of the host may lack: Debian's kernel in a virtual machine
 * writes an image and tells what it sees in it, and fuse4fs must see the same.
 */

import assert from "node:assert/strict";
import { mountFuse4fs } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { compileC, run, TempDir } from "./support/run.ts";
import { compareTrees, describeTree, parseTree, type Tree } from "./support/tree.ts";
import { EXT4_MODULES, Vm } from "./support/vm.ts";

/** What FUSE has no way to tell: the time of creation, and the UUID by the ioctl of the VFS. */
const NOT_IN_FUSE = ["btime", "uuid"];

interface Feature {
  readonly name: string;
  /** For mke2fs. */
  readonly options: readonly string[];
  /** Fills the file system at $1, in the guest. */
  readonly populate: string;
  /** Shell commands about the file system at $1 that have the same output wherever it is mounted. */
  readonly ask: string;
  /** What the answers must hold: the feature was at work. */
  readonly known: RegExp;
  /** Paths that must be there. */
  readonly paths: number;
}

const FEATURES: readonly Feature[] = [
  {
    name: "casefold",
    options: ["-O", "casefold", "-E", "encoding=utf8"],
    populate: `
      mkdir "$1/plain" "$1/folded" && chattr +F "$1/folded" && mkdir "$1/folded/Sub"
      for name in README.txt Stra\u00dfe \u00c4rger \u0395\u03bb\u03bb\u03ac\u03c2 normal; do
        echo "$name" >"$1/folded/$name"
        echo "$name" >"$1/folded/Sub/$name"
        echo "$name" >"$1/plain/$name"
      done
      for number in $(seq 1000); do : >"$1/folded/Sub/Entry with Number $number"; done`,
    // The same file by other spellings; in the plain folder there is none.
    ask: `
      cd "$1"
      for name in readme.TXT STRASSE \u00e4rger \u0395\u039b\u039b\u0386\u03a3 NORMAL "entry WITH number 777"; do
        for folder in folded FOLDED folded/sub plain; do
          stat -c "%n %i %s" "$folder/$name" 2>&1 || true
        done
      done`,
    known: /^folded\/STRASSE 17 8$[^]*^folded\/sub\/entry WITH number 777 \d+ 0$/m,
    paths: 1020,
  },
  {
    name: "quota",
    options: ["-O", "quota,project", "-E", "quotatype=usrquota:grpquota:prjquota"],
    populate: `
      for user in 1 1000 70000; do
        mkdir "$1/$user"
        for number in $(seq 50); do head -c "$((number * 1000))" /dev/zero >"$1/$user/$number"; done
        chown -R "$user:$((user + 1))" "$1/$user"
        chattr -R -p "$user" "$1/$user"
      done`,
    ask: `lsattr -pR "$1" | sed "s|$1||"`,
    known: /^70000 -+e-+ \/70000\/50$/m,
    paths: 155,
  },
  {
    name: "verity",
    // Blocks of the hash tree may not be larger than those of the file system.
    options: ["-O", "verity", "-b", "4096"],
    populate: `
      : >"$1/empty"
      echo one line >"$1/small"
      seq 300000 >"$1/large"
      enable_verity "$1/empty" "$1/small" "$1/large"
      seq 300000 >"$1/without"`,
    ask: `sha256sum <"$1/large"; sha256sum <"$1/small"; lsattr "$1" | sed "s|$1||"`,
    known: /^-+e-+V-+ \/large$/m,
    paths: 6,
  },
];

for (const feature of FEATURES) {
  Deno.test(`mount: ${feature.name} reads as the kernel in the virtual machine has it`, async () => {
    if (!requires("root", "fuse", "e2fsprogs", "gcc", "executable")) return;
    const vm = await Vm.prepare();
    if (vm === undefined) return;
    using folder = new TempDir();
    const image = folder.join("image");
    await run("mke2fs", ["-q", "-t", "ext4", ...feature.options, image, "64M"]);
    const expected = await seenByGuest(vm, image, feature);
    assert.ok(expected.tree.size >= feature.paths, `the guest sees ${expected.tree.size} paths`);
    assert.match(expected.answers, feature.known);
    const actual = await seenThroughFuse4fs(image, folder, feature);
    const differences = compareTrees(expected.tree, actual.tree, { ignore: NOT_IN_FUSE });
    assert.equal(differences.join("\n"), "");
    assert.equal(actual.answers, expected.answers);
    await run("e2fsck", ["-fn", image]);
  });
}

interface Seen {
  readonly tree: Tree;
  /** Output of the commands in `ask`. */
  readonly answers: string;
}

const SEPARATOR = "--- answers ---";

async function seenByGuest(vm: Vm, image: string, feature: Feature): Promise<Seen> {
  const programs = await Promise.all(["tree", "enable_verity"].map(compileC));
  const [tree, enableVerity] = programs;
  const { code, stdout, console } = await vm.run(
    `set -e
    enable_verity() { ${enableVerity} "$@"; }
    set -- /mnt/image
    mkdir "$1"
    mount -t ext4 /dev/vda "$1"
    ${feature.populate}
    umount "$1"
    mount -t ext4 -o ro,noload /dev/vda "$1"
    ${tree} "$1"
    echo "${SEPARATOR}"
    ${feature.ask}
    cd /
    umount "$1"`,
    { modules: EXT4_MODULES, disks: [image] },
  );
  assert.equal(code, 0, console);
  const [description, answers] = stdout.split(`${SEPARATOR}\n`);
  return { tree: parseTree(description), answers };
}

async function seenThroughFuse4fs(
  image: string,
  folder: TempDir,
  feature: Feature,
): Promise<Seen> {
  await using mount = await mountFuse4fs(image, folder.mkdir("mnt"), "ro");
  const env = { LC_ALL: "C.UTF-8", TZ: "UTC" };
  const { stdout } = await run("sh", ["-c", feature.ask, "sh", mount.dir], { env });
  return { tree: await describeTree(mount.dir), answers: stdout };
}

Deno.test("Vm.run: gives back output, exit code and console", async () => {
  const vm = await Vm.prepare();
  if (vm === undefined) return;
  const result = await vm.run('uname -r; printf "a\\nb"; echo complaint >&2; exit 7');
  assert.equal(result.stdout, `${vm.kernelRelease}\na\nb`);
  assert.equal(result.code, 7);
  assert.match(result.console, /complaint/);
});

Deno.test("Vm.run: a guest that ends without a result is an error, with what it said", async () => {
  const vm = await Vm.prepare();
  if (vm === undefined) return;
  await assert.rejects(
    vm.run("echo last words >&2; echo c >/proc/sysrq-trigger"),
    /ended without a result[^]*last words/,
  );
});

Deno.test("Vm.run: a guest that takes too long is ended", async () => {
  const vm = await Vm.prepare();
  if (vm === undefined) return;
  await assert.rejects(vm.run("sleep 1000", { seconds: 1 }), /SIGKILL \(1 s at most\)/);
});
