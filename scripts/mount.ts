/**
 * `deno task mount`: installs what is missing, builds the executable, and mounts: the image that
 * the arguments name, as `fuse4fs` takes them, or a demo image made on the spot.
 */

import { mountAt } from "../src/mount/mountinfo.ts";
import { ensure, FOR_MOUNTING } from "./dependencies.ts";
import { buildIfNeeded, EXECUTABLE } from "./executable.ts";

const DEMO_IMAGE = "demo.img";
const DEMO_MOUNTPOINT = "mnt";

const DEMO_FILES: Readonly<Record<string, string>> = {
  "hello.txt": "Hello from an ext4 file system in user space.\n",
  "poems/short.txt": "A block, a bitmap, and a tree:\nthe rest is names, as you can see.\n",
  "poems/empty.txt": "",
};

function main(args: string[]): void {
  ensure(FOR_MOUNTING);
  buildIfNeeded();
  if (args.length > 0) {
    Deno.exit(run(EXECUTABLE, args));
  }
  mountDemo();
}

function mountDemo(): void {
  if (Deno.uid() !== 0 && !isReadable("/dev/fuse")) {
    console.error("Mounting needs /dev/fuse, which is not here or not for you");
    Deno.exit(1);
  }
  Deno.mkdirSync(DEMO_MOUNTPOINT, { recursive: true });
  if (mountAt(Deno.realPathSync(DEMO_MOUNTPOINT)) !== undefined) {
    console.error(`Something is mounted at ./${DEMO_MOUNTPOINT} already`);
    Deno.exit(1);
  }
  // What was written to an earlier one stays.
  if (!exists(DEMO_IMAGE)) makeDemoImage();
  const code = run(EXECUTABLE, [DEMO_IMAGE, DEMO_MOUNTPOINT]);
  if (code !== 0) Deno.exit(code);
  console.log(`\n${DEMO_IMAGE} is mounted at ./${DEMO_MOUNTPOINT}:\n`);
  run("ls", ["-lR", DEMO_MOUNTPOINT]);
  console.log(`\nUnmount with: ${EXECUTABLE} umount ${DEMO_MOUNTPOINT}`);
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return false;
  }
}

function makeDemoImage(): void {
  const content = Deno.makeTempDirSync({ prefix: "fuse4fs_demo_" });
  try {
    for (const [name, text] of Object.entries(DEMO_FILES)) {
      const path = `${content}/${name}`;
      Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
      Deno.writeTextFileSync(path, text);
    }
    Deno.symlinkSync("hello.txt", `${content}/link`);
    const code = run("mke2fs", [
      ...["-q", "-F", "-t", "ext4", "-L", "demo", "-d", content, DEMO_IMAGE, "64M"],
    ]);
    if (code !== 0) Deno.exit(code);
  } finally {
    Deno.removeSync(content, { recursive: true });
  }
}

function run(program: string, args: string[]): number {
  return new Deno.Command(program, {
    args,
    // mke2fs lives where only root's PATH goes.
    env: { PATH: `${Deno.env.get("PATH") ?? ""}:/usr/sbin:/sbin` },
    stdin: "null",
    stdout: "inherit",
    stderr: "inherit",
  }).outputSync().code;
}

function isReadable(path: string): boolean {
  try {
    Deno.openSync(path).close();
    return true;
  } catch {
    return false;
  }
}

main(Deno.args);
