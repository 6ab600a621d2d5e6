/**
 * Features of ext4 that the kernel of the host may lack: Debian's kernel in a virtual machine
 * writes an image and tells what it sees in it, and fuse4fs must see the same; and the kernel must
 * see what fuse4fs wrote to another one.
 */

import assert from "node:assert/strict";
import { basename } from "node:path";
import { mountFuse4fs } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { compileC, run, TempDir } from "./support/run.ts";
import { compareTrees, describeTree, parseTree, type Tree } from "./support/tree.ts";
import { EXT4_MODULES, Vm } from "./support/vm.ts";

/** What FUSE has no way to tell: the time of creation, and the UUID by the ioctl of the VFS. */
const NOT_IN_FUSE = ["btime", "uuid"];

interface Feature {
  readonly name: string;
  /** fuse4fs fills another such image through a mount, which the guest must find in order. */
  readonly isWritten?: true;
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
  /** Modules of the guest's kernel that it needs besides. */
  readonly modules?: readonly string[];
}

const FEATURES: readonly Feature[] = [
  {
    name: "casefold",
    isWritten: true,
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
    known: /^folded\/STRASSE \d+ 8$[^]*^folded\/sub\/entry WITH number 777 \d+ 0$/m,
    paths: 1020,
  },
  {
    name: "casefold and encryption at once",
    options: ["-O", "casefold,encrypt", "-E", "encoding=utf8"],
    // With the key at first; the tree is looked at without it. Names are hashed with SipHash there.
    populate: `
      device=$(awk -v dir="$1" '$2 == dir { print $1 }' /proc/mounts)
      umount "$1"
      mount -t ext4 -o test_dummy_encryption=v2 "$device" "$1"
      mkdir "$1/secret" "$1/secret/Large" "$1/plain"
      chattr +F "$1/secret/Large"
      for name in README.txt Stra\u00dfe normal; do echo "$name" >"$1/secret/Large/$name"; done
      test -f "$1/secret/Large/STRASSE"
      for number in $(seq 600); do : >"$1/secret/Large/Entry with Number $number"; done`,
    ask: `cd "$1"; lsattr -d * | cut -d" " -f1; find . -type f | wc -l; find . | sort | md5sum`,
    known: /^-+E-+e-+$[^]*^603$/m,
    paths: 606,
    modules: ["xts", "cts"],
  },
  {
    name: "quota",
    isWritten: true,
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
  const what = feature.isWritten ? "reads and is written" : "reads";
  Deno.test(`mount: ${feature.name} ${what} as the kernel in the virtual machine has it`, async () => {
    if (!requires("root", "fuse", "e2fsprogs", "gcc", "executable")) return;
    const vm = await Vm.prepare();
    if (vm === undefined) return;
    using folder = new TempDir();
    const byKernel = await makeImage(folder.join("kernel"), feature);
    const disks: Disk[] = [{ image: byKernel, populate: feature.populate }];
    if (feature.isWritten) {
      const image = await makeImage(folder.join("fuse4fs"), feature);
      await populateThroughFuse4fs(image, folder, feature);
      disks.push({ image, populate: ":" });
    }
    const seen = await seenByGuest(vm, disks, feature);
    for (const [index, { image }] of disks.entries()) {
      const expected = seen[index];
      assert.ok(expected.tree.size >= feature.paths, `the guest sees ${expected.tree.size} paths`);
      assert.match(expected.answers, feature.known);
      const actual = await seenThroughFuse4fs(image, folder, feature);
      const differences = compareTrees(expected.tree, actual.tree, { ignore: NOT_IN_FUSE });
      assert.equal(differences.join("\n"), "");
      assert.equal(actual.answers, expected.answers);
      await run("e2fsck", ["-fn", image]);
    }
  });
}

interface Disk {
  readonly image: string;
  /** Shell commands that fill the file system at $1. */
  readonly populate: string;
}

interface Seen {
  readonly tree: Tree;
  /** Output of the commands in `ask`. */
  readonly answers: string;
}

const SEPARATOR = "--- answers ---";
const DISK_SEPARATOR = "--- next disk ---";
const ENVIRONMENT = { LC_ALL: "C.UTF-8", TZ: "UTC" };

async function makeImage(path: string, { options }: Feature): Promise<string> {
  await run("mke2fs", ["-q", "-t", "ext4", ...options, path, "64M"]);
  return path;
}

/** What the guest sees on each disk, after it has filled and checked it by mounting it twice. */
async function seenByGuest(vm: Vm, disks: readonly Disk[], feature: Feature): Promise<Seen[]> {
  const [tree, enableVerity] = await Promise.all(["tree", "enable_verity"].map(compileC));
  const scripts = disks.map(({ populate }, index) => {
    const device = `/dev/vd${"abcdef"[index]}`;
    return `
    set -- /mnt/image${index}
    mkdir "$1"
    mount -t ext4 ${device} "$1"
    ${populate}
    umount "$1"
    mount -t ext4 -o ro,noload ${device} "$1"
    ${tree} "$1"
    echo "${SEPARATOR}"
    ${feature.ask}
    cd /
    umount "$1"`;
  });
  const { code, stdout, console } = await vm.run(
    `set -e
    enable_verity() { ${enableVerity} "$@"; }
    ${scripts.join(`\necho "${DISK_SEPARATOR}"\n`)}`,
    {
      modules: [...EXT4_MODULES, ...feature.modules ?? []],
      disks: disks.map(({ image }) => image),
    },
  );
  assert.equal(code, 0, console);
  assert.doesNotMatch(console, /EXT4-fs.*error/i);
  return stdout.split(`${DISK_SEPARATOR}\n`).map((part) => {
    const [description, answers] = part.split(`${SEPARATOR}\n`);
    return { tree: parseTree(description), answers };
  });
}

async function populateThroughFuse4fs(
  image: string,
  folder: TempDir,
  feature: Feature,
): Promise<void> {
  await using mount = await mountFuse4fs(image, folder.mkdir("written"), "rw");
  const args = ["-e", "-c", feature.populate, "sh", mount.dir];
  await run("sh", args, { env: ENVIRONMENT });
}

async function seenThroughFuse4fs(
  image: string,
  folder: TempDir,
  feature: Feature,
): Promise<Seen> {
  await using mount = await mountFuse4fs(image, folder.mkdir(`seen-${basename(image)}`), "ro");
  const args = ["-c", feature.ask, "sh", mount.dir];
  const { stdout } = await run("sh", args, { env: ENVIRONMENT });
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
