/** dist/fuse4fs itself: that it needs nothing around it, leaves nothing behind, and starts at once. */

import assert from "node:assert/strict";
import { FUSE4FS } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

Deno.test("dist/fuse4fs: says its version and help", async () => {
  assert.match((await run(FUSE4FS, ["--version"])).stdout, /^fuse4fs \d+\.\d+\.\d+\n/);
  assert.match((await run(FUSE4FS, ["--help"])).stdout, /DEVICE/);
});

Deno.test("dist/fuse4fs: takes nothing from the folder it is started in", async () => {
  using folder = new TempDir();
  Deno.writeTextFileSync(folder.join("deno.json"), "{ not json");
  Deno.writeTextFileSync(folder.join("package.json"), "{ not json");
  Deno.writeTextFileSync(folder.join(".env"), "FUSE4FS_BACKGROUND=1\n");
  const { stdout, stderr } = await run("sh", ["-c", `cd ${folder.path} && ${FUSE4FS} --version`]);
  assert.match(stdout, /^fuse4fs /);
  assert.equal(stderr, "");
});

Deno.test("dist/fuse4fs: leaves no file in the home folder, and asks nobody for updates", async () => {
  using folder = new TempDir();
  const home = folder.mkdir("home");
  const trace = folder.join("trace");
  const env = { HOME: home, DENO_DIR: `${home}/deno`, XDG_CACHE_HOME: `${home}/cache` };
  await run(FUSE4FS, ["--version"], { env });
  assert.deepEqual([...Deno.readDirSync(home)], []);
  if (!requires("strace")) return;
  await run("strace", ["-f", "-e", "trace=socket,connect", "-o", trace, FUSE4FS, "--version"]);
  assert.doesNotMatch(Deno.readTextFileSync(trace), /AF_INET/);
});

Deno.test("dist/fuse4fs: mounts in a chroot with nothing but the C library", async () => {
  if (!requires("root", "fuse", "executable", "e2fsprogs", "busybox")) return;
  using folder = new TempDir();
  const root = folder.mkdir("root");
  for (const name of ["proc", "dev", "bin", "mnt"]) Deno.mkdirSync(`${root}/${name}`);
  await run("cp", [FUSE4FS, `${root}/bin/fuse4fs`]);
  await run("cp", ["/bin/busybox", `${root}/bin/busybox`]);
  await copyLibraries(root);
  await run("mknod", ["-m", "666", `${root}/dev/fuse`, "c", "10", "229"]);
  await run("mknod", ["-m", "666", `${root}/dev/null`, "c", "1", "3"]);
  const content = folder.mkdir("content");
  Deno.writeTextFileSync(`${content}/hello`, "hello from inside\n");
  await run("mke2fs", ["-q", "-t", "ext4", "-d", content, `${root}/image`, "8M"]);

  await run("mount", ["-t", "proc", "proc", `${root}/proc`]);
  try {
    await run("chroot", [root, "/bin/fuse4fs", "/image", "/mnt", "-o", "ro"]);
    const { stdout } = await run("chroot", [root, "/bin/busybox", "cat", "/mnt/hello"]);
    await run("chroot", [root, "/bin/fuse4fs", "umount", "/mnt"]);
    assert.equal(stdout, "hello from inside\n");
  } finally {
    await run("umount", [`${root}/mnt`], { codes: [0, 32] });
    await run("umount", [`${root}/proc`]);
  }
});

/** The libraries that `ldd` names, all of which must belong to the C library or to GCC's support. */
async function copyLibraries(root: string): Promise<void> {
  const { stdout } = await run("ldd", [FUSE4FS]);
  const paths = [...stdout.matchAll(/(\/\S+\.so[.\d]*) \(/g)].map(([, path]) => path);
  const allowed = /\/(libc|libm|libdl|librt|libpthread|libgcc_s|ld-linux-[\w-]+)\.so\.\d+$/;
  for (const path of paths) {
    assert.match(path, allowed, "a library that not every system with glibc has");
    const folder = `${root}${path.slice(0, path.lastIndexOf("/"))}`;
    Deno.mkdirSync(folder, { recursive: true });
    await run("cp", ["-L", path, folder]);
  }
  assert.ok(paths.length > 3, stdout);
}
