/**
 * Mount options about iomap and its BPF programs, on a kernel that has neither: one line, and the
 * mount goes on. What happens where the kernel has them is in bpf_vm_test.ts and iomap_test.ts.
 */

import assert from "node:assert/strict";
import { findKernelInterface } from "../src/bpf/kernel_btf.ts";
import { parseMountOptions } from "../src/mount/options.ts";
import { attachLoop, FUSE4FS, unmountFuse4fs } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

interface Attempt {
  readonly code: number;
  /** Lines of stderr. */
  readonly said: readonly string[];
  /** The mount works. */
  readonly works: boolean;
}

async function attempt(device: string, dir: string, options: string): Promise<Attempt> {
  const { code, stderr } = await run(FUSE4FS, [device, dir, "-o", options], {
    codes: [0, 1, 32],
  });
  let works = false;
  try {
    works = Deno.readTextFileSync(`${dir}/file`) === "content";
  } catch {
    // Not mounted.
  }
  if (code === 0) await unmountFuse4fs(dir);
  return { code, said: stderr.split("\n").filter((line) => line !== ""), works };
}

async function withImage(body: (image: string, dir: string) => Promise<void>): Promise<void> {
  if (!requires("root", "fuse", "loop", "executable", "e2fsprogs")) return;
  if (findKernelInterface() !== undefined) {
    console.log("skipped: needs a kernel without FUSE iomap BPF");
    return;
  }
  using folder = new TempDir();
  const content = folder.mkdir("content");
  Deno.writeTextFileSync(`${content}/file`, "content");
  const image = folder.join("image");
  await run("mke2fs", ["-q", "-t", "ext4", "-b", "4096", "-d", content, image, "32M"]);
  await body(image, folder.mkdir("mnt"));
}

Deno.test("iomap_bpf: a kernel without the interface is one line, and the mount works", async () => {
  await withImage(async (image, dir) => {
    for (const [options, name] of [["bpf_crap", "demo"], ["ro,iomap_bpf=extents", "extents"]]) {
      const { code, said, works } = await attempt(image, dir, options);
      assert.deepEqual([code, said.length, works], [0, 1, true], said.join("\n"));
      assert.match(
        said[0],
        new RegExp(
          `^fuse4fs: warning: mounting without the BPF program ${name}: the FUSE of this kernel ` +
            "has no fuse_iomap_bpf_ops: run a kernel with the patches .*$",
        ),
      );
    }
    const off = await attempt(image, dir, "iomap_bpf=demo,iomap_bpf=off");
    assert.deepEqual([off.code, off.said, off.works], [0, [], true]);
  });
});

Deno.test("bpf_required: then there is no mount", async () => {
  await withImage(async (image, dir) => {
    const { code, said, works } = await attempt(image, dir, "bpf_crap,bpf_required");
    assert.deepEqual([code, said.length, works], [32, 1, false], said.join("\n"));
    assert.match(said[0], /^fuse4fs: the FUSE of this kernel has no fuse_iomap_bpf_ops: /);
    await run("e2fsck", ["-fn", image]);
  });
});

Deno.test("iomap=1 says why the server does file I/O; without it nobody hears of it", async () => {
  await withImage(async (image, dir) => {
    const onImage = await attempt(image, dir, "iomap=1");
    assert.deepEqual([onImage.code, onImage.works], [0, true]);
    assert.deepEqual(onImage.said, [
      "fuse4fs: warning: file I/O goes through the server: it needs a block device: " +
      "losetup(8) makes one of an image",
    ]);
    await using loop = await attachLoop(image);
    const onDevice = await attempt(loop.path, dir, "iomap=1,ro");
    assert.deepEqual(onDevice.said, [
      "fuse4fs: warning: file I/O goes through the server: the kernel does not offer iomap",
    ]);
    assert.equal(onDevice.works, true);
    for (const options of ["ro", "ro,iomap=0", "ro,iomap=default"]) {
      const { said, works } = await attempt(loop.path, dir, options);
      assert.deepEqual([said, works], [[], true], options);
    }
  });
});

Deno.test("parseMountOptions: what is said of BPF programs", () => {
  const { bpf, iomap } = parseMountOptions([
    "iomap_bpf=/a/b.c,bpf_required,bpf_clang=clang-19,bpf_include=/x,bpf_include=/y",
    "vmlinux_h=/v/vmlinux.h,libbpf=system,iomap",
  ]);
  assert.deepEqual(bpf, {
    program: { kind: "source", path: "/a/b.c" },
    required: true,
    clang: "clang-19",
    includeFolders: ["/x", "/y"],
    vmlinuxHeader: "/v/vmlinux.h",
    libbpf: "system",
  });
  assert.equal(iomap, "on");
  assert.equal(parseMountOptions(["bpf_crap,iomap_bpf=off"]).bpf.program, undefined);
  assert.deepEqual(parseMountOptions(["bpf_crap"]).bpf.program, { kind: "built-in", name: "demo" });
  assert.throws(() => parseMountOptions(["iomap_bpf=/etc/passwd"]), /is no BPF program: use demo/);
});
