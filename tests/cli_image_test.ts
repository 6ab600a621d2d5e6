/** The commands that look into an image without mounting it. */

import assert from "node:assert/strict";
import { fuse4fs, fuse4fsJson } from "./support/command_line.ts";
import { debugfs } from "./support/images.ts";
import { mountKernel } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

interface Row {
  readonly [key: string]: unknown;
  readonly name: string;
  readonly nameHex?: string;
}

/** An image with some of everything, in a folder that ends with the test. */
async function sampleImage(folder: TempDir, ...args: string[]): Promise<string> {
  const source = folder.mkdir("source");
  Deno.mkdirSync(`${source}/dir/sub`, { recursive: true });
  Deno.writeTextFileSync(`${source}/hello`, "hello world\n");
  Deno.writeFileSync(`${source}/big`, new Uint8Array(300_000).fill(7));
  Deno.writeTextFileSync(`${source}/dir/sub/deep`, "deep\n");
  Deno.symlinkSync("dir/sub/deep", `${source}/link`);
  Deno.chmodSync(`${source}/hello`, 0o4750);
  Deno.utimeSync(`${source}/hello`, 1_000_000_000, 1_234_567_890);
  const image = folder.join("image");
  await run("mke2fs", ["-q", "-F", "-t", "ext4", ...args, "-d", source, image, "16M"]);
  return image;
}

Deno.test("ls prints the names of a directory, sorted", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await sampleImage(folder);
  const { stdout, code } = await fuse4fs(["ls", image]);
  assert.equal(code, 0);
  assert.equal(stdout, "big\ndir\nhello\nlink\nlost+found\n");
});

Deno.test("ls -lR shows modes, sizes and targets of all directories", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await sampleImage(folder);
  const { stdout } = await fuse4fs(["ls", "-lR", image, "/"]);
  assert.match(stdout, /^-rwsr-x--- 1 0 0 +12 2009-02-13 23:31 hello$/m);
  assert.match(stdout, /^lrwxrwxrwx 1 0 0 +12 \S+ \S+ link -> dir\/sub\/deep$/m);
  assert.match(stdout, /^\/dir\/sub:\n-rw.* deep$/m);
});

Deno.test("ls --json gives an array with a row for each file", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await sampleImage(folder);
  const rows = await fuse4fsJson(["ls", "-R", image]) as Row[];
  const deep = rows.find(({ name }) => name === "deep");
  assert.equal(deep?.directory, "/dir/sub");
  assert.equal(deep?.size, 5);
  assert.equal(rows.find(({ name }) => name === "link")?.target, "dir/sub/deep");
  assert.deepEqual(
    await fuse4fsJson(["ls", image, "/dir/sub/deep"]).then((list) =>
      (list as Row[]).map(({ name, type }) => [name, type])
    ),
    [["/dir/sub/deep", "file"]],
  );
});

Deno.test("ls: a name that is not UTF-8 comes through, as bytes and in JSON", async () => {
  if (!requires("e2fsprogs", "root", "loop")) return;
  using folder = new TempDir();
  const image = await sampleImage(folder);
  {
    await using mounted = await mountKernel(image, folder.mkdir("mnt"), "rw");
    await run("sh", ["-c", `touch "$(printf '${mounted.dir}/caf\\351')"`]);
  }
  const rows = await fuse4fsJson(["ls", image]) as Row[];
  const row = rows.find(({ nameHex }) => nameHex !== undefined);
  assert.deepEqual([row?.name, row?.nameHex], ["caf\ufffd", "636166e9"]);
  const number = `<${row?.ino}>`;
  assert.equal((await fuse4fsJson(["stat", image, number]) as Row).ino, row?.ino);
});

Deno.test("ls -R ends where directories lead in a circle", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await sampleImage(folder);
  await debugfs(image, ["link /dir /dir/sub/circle"]);
  const { stdout } = await fuse4fs(["ls", "-R", image]);
  assert.ok(stdout.includes("circle"));
  assert.ok(!stdout.includes("circle/sub/circle"));
});

Deno.test("stat tells what debugfs tells", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await sampleImage(folder);
  await debugfs(image, ["ea_set /hello user.colour blue", "sif /hello generation 77"]);
  const stat = await fuse4fsJson(["stat", image, "/hello"]) as Row;
  assert.equal(stat.mode, "4750");
  assert.equal(stat.generation, 77);
  assert.equal(stat.size, 12);
  assert.equal(stat.modified, "2009-02-13T23:31:30.000000000Z");
  assert.deepEqual(stat.xattrs, [{ name: "user.colour", value: "blue" }]);
  const text = (await fuse4fs(["stat", image, "/hello"])).stdout;
  assert.match(text, /^Mode: +4750 \(-rwsr-x---\)$/m);
  assert.match(text, /^Attribute: +user\.colour="blue"$/m);
});

Deno.test("stat looks at a symbolic link itself, with -L at its target", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await sampleImage(folder);
  const link = await fuse4fsJson(["stat", image, "/link"]) as Row;
  assert.deepEqual([link.type, link.target], ["symlink", "dir/sub/deep"]);
  const target = await fuse4fsJson(["stat", "-L", image, "/link"]) as Row;
  assert.deepEqual([target.type, target.size], ["file", 5]);
});

Deno.test("cat prints files one after the other, through links", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await sampleImage(folder);
  const { stdout } = await fuse4fs(["cat", image, "/hello", "link"]);
  assert.equal(stdout, "hello world\ndeep\n");
  const big = await fuse4fs(["cat", image, "big"]);
  assert.equal(big.stdout, "\x07".repeat(300_000));
});

Deno.test("cat ends quietly when its reader has had enough", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = folder.join("image");
  const source = folder.mkdir("source");
  Deno.writeFileSync(`${source}/zeros`, new Uint8Array(8 << 20).fill(0x61));
  await run("mke2fs", ["-q", "-F", "-t", "ext4", "-d", source, image, "32M"]);
  const words = (await import("./support/command_line.ts")).commandLine().join(" ");
  const { stdout, stderr } = await run("sh", ["-c", `${words} cat ${image} zeros | head -c 5`]);
  assert.equal(stdout, "aaaaa");
  assert.equal(stderr, "");
});

Deno.test("extents tells of a file on ext4 what filefrag -v tells of the mounted one", async () => {
  if (!requires("e2fsprogs", "root", "loop")) return;
  using folder = new TempDir();
  const image = await sampleImage(folder, "-b", "1024");
  const dir = folder.mkdir("mnt");
  let expected: string[];
  {
    await using mounted = await mountKernel(image, dir, "rw");
    const file = `${mounted.dir}/holes`;
    for (const megabyte of [1, 3, 5]) {
      await run("dd", [
        `of=${file}`,
        "if=/dev/urandom",
        "bs=1M",
        "count=1",
        `seek=${megabyte}`,
        "conv=notrunc,fsync",
      ]);
    }
    await run("fallocate", ["-o", "8M", "-l", "100K", file]);
    await run("sync", ["-f", file]);
    const { stdout } = await run("filefrag", ["-v", file]);
    expected = [...stdout.matchAll(/^ *\d+: +(\d+)\.\. *\d+: +(\d+)\.\. *\d+: +(\d+):(.*)$/gm)]
      .map(([, logical, physical, length, flags]) =>
        [logical, physical, length, flags.includes("unwritten") ? "unwritten" : "mapped"].join()
      );
  }
  const { extents } = await fuse4fsJson(["extents", image, "holes"]) as {
    extents: { kind: string; fileBlock: number; physicalBlock: number; count: number }[];
  };
  assert.ok(expected.length >= 4, `${expected.length} extents`);
  assert.deepEqual(
    extents.map(({ kind, fileBlock, physicalBlock, count }) =>
      [fileBlock, physicalBlock, count, kind].join()
    ),
    expected,
  );
  const { stdout } = await fuse4fs(["extents", image, "holes"]);
  assert.match(stdout, /unwritten,last,eof$/m);
});

Deno.test("a bad image is one line on stderr and exit code 1", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const empty = folder.join("empty");
  Deno.writeFileSync(empty, new Uint8Array());
  const zeros = folder.join("zeros");
  Deno.writeFileSync(zeros, new Uint8Array(1 << 20));
  const images: Record<string, RegExp> = {
    "/dev/urandom": /neither a file nor a block device/,
    [empty]: /too short for a superblock/,
    [zeros]: /magic 0x0000/,
    [folder.path]: /is a directory/,
    [folder.join("missing")]: /no such file or directory/,
  };
  for (const [image, words] of Object.entries(images)) {
    for (const command of [["info"], ["ls"], ["cat"], []]) {
      const rest = command[0] === "cat" ? ["/x"] : command.length === 0 ? [folder.path] : [];
      const { code, stdout, stderr } = await fuse4fs([
        ...command,
        image,
        ...rest,
        ...readOnly(command),
      ]);
      const where = `${command.join(" ")} ${image}`;
      assert.equal(code, 1, where);
      assert.equal(stdout, "", where);
      assert.match(stderr, /^fuse4fs: Cannot open image [^\n]*\n$/, where);
      assert.match(stderr, words, where);
    }
  }
});

/** Without it, a mount says that it cannot write. */
function readOnly(command: readonly string[]): string[] {
  return command.length === 0 ? ["-o", "ro"] : [];
}

Deno.test("--offset and --partition find the file system in a disk image", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await sampleImage(folder);
  const disk = folder.join("disk");
  await run("truncate", ["-s", "32M", disk]);
  await run("sfdisk", ["-q", disk], { input: "label: dos\nstart=2048, size=4096\nstart=8192\n" });
  await run("dd", [`if=${image}`, `of=${disk}`, "bs=1M", "seek=4", "conv=notrunc"]);
  for (const option of [["--offset", "4m"], ["--offset", "4194304"], ["--partition", "2"]]) {
    const { stdout } = await fuse4fs(["cat", ...option, disk, "/hello"]);
    assert.equal(stdout, "hello world\n", option.join(" "));
  }
  const { code, stderr } = await fuse4fs(["ls", "--partition", "7", disk]);
  assert.equal(code, 1);
  assert.match(stderr, /partition/i);
});

Deno.test("--sb reads a file system whose primary superblock is gone", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = await sampleImage(folder, "-b", "1024");
  await run("dd", ["if=/dev/zero", `of=${image}`, "bs=1024", "seek=1", "count=1", "conv=notrunc"]);
  const { stdout } = await fuse4fs(["cat", "--sb", "8193", image, "/hello"]);
  assert.equal(stdout, "hello world\n");
});

Deno.test("wrong usage is one line and exit code 1", async () => {
  const wrong: [string[], RegExp][] = [
    [["info"], /missing required argument 'IMAGE'/],
    [["info", "--bogus", "x"], /unknown option '--bogus'/],
    [["ls", "--partition", "none", "x"], /not a whole number/],
    [["ls", "--partition", "1", "--offset", "1", "x"], /cannot be used with/],
    [["x"], /missing required argument 'MOUNTPOINT'/],
    [["x", "y", "-o", "bogus"], /Unknown mount option 'bogus'/],
  ];
  for (const [args, words] of wrong) {
    const { code, stderr } = await fuse4fs(args);
    assert.equal(code, 1, args.join(" "));
    assert.match(stderr, words);
    assert.match(stderr, /^fuse4fs: [^\n]*\n$/);
  }
});
