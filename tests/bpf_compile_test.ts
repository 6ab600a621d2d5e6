/** From a program's source to its object: constants, headers, clang. */

import assert from "node:assert/strict";
import { compile, findClang } from "../src/bpf/clang.ts";
import { CompileError, logOf, NotSupported } from "../src/bpf/errors.ts";
import {
  asksForVmlinuxHeader,
  declaresIomapTypes,
  EMBEDDED_HEADERS,
  installedVmlinuxHeader,
  vmlinuxHeaderPaths,
} from "../src/bpf/headers.ts";
import { openLibbpf } from "../src/bpf/library.ts";
import { buildProgram, compileProgram, programSource } from "../src/bpf/program.ts";
import { parseProgramChoice } from "../src/bpf/program_choice.ts";
import { sourceWithConstants } from "../src/bpf/source.ts";
import { generateVmlinuxHeader } from "../src/bpf/vmlinux_header.ts";
import { Errno } from "../src/sys/errno.ts";
import { FsError } from "../src/sys/fs_error.ts";
import { fuse4fs } from "./support/command_line.ts";
import { libbpfForTests } from "./support/libbpf.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const CONSTANTS = { device: 7, blockSize: 1024 };
const OPTIONS = { generation: 2, constants: CONSTANTS } as const;

/** A program that stands for clang. */
function fakeClang(folder: TempDir, script: string, version = "14.0.6"): string {
  const path = folder.join("fake-clang");
  const answer = `if [ "$1" = --version ]; then echo "clang version ${version}"; exit 0; fi`;
  Deno.writeTextFileSync(path, `#!/bin/sh\n${answer}\n${script}\n`);
  Deno.chmodSync(path, 0o755);
  return path;
}

Deno.test("sourceWithConstants: typed numbers, and nothing else", () => {
  const text = sourceWithConstants("int x;\n", {
    FS_DEV: { type: "u32", value: 0xffff_ffff, comment: "device cookie" },
    FS_BIG: { type: "u64", value: 2 ** 40, comment: "large" },
  });
  assert.match(text, /^#define FS_DEV 4294967295U \/\* device cookie \*\/$/m);
  assert.match(text, /^#define FS_BIG 1099511627776ULL \/\* large \*\/$/m);
  assert.match(text, /\nint x;\n$/);
  const bad = (name: string, value: number, comment = "c", type: "u16" | "u32" = "u32") =>
    assert.throws(
      () => sourceWithConstants("", { [name]: { type, value, comment } }),
      RangeError,
    );
  bad("FS DEV", 1);
  bad("FS_DEV\n#include <x>", 1);
  bad("FS_DEV", -1);
  bad("FS_DEV", 1.5);
  bad("FS_DEV", NaN);
  bad("FS_DEV", 2 ** 32);
  bad("FS_DEV", 65536, "c", "u16");
  bad("FS_DEV", 1, "*/ int evil;");
});

Deno.test("parseProgramChoice: built-in names, sources and objects", () => {
  assert.deepEqual(parseProgramChoice("demo"), { kind: "built-in", name: "demo" });
  assert.deepEqual(parseProgramChoice("/a/demo.c"), { kind: "source", path: "/a/demo.c" });
  assert.deepEqual(parseProgramChoice("x.o"), { kind: "object", path: "x.o" });
  assert.throws(() => parseProgramChoice("demon"), /demon is no BPF program/);
});

Deno.test("compileProgram: the constants of the file system are in the object", () => {
  if (!requires("clang")) return;
  const source = programSource({ kind: "built-in", name: "demo" }, CONSTANTS);
  assert.match(source, /^#define FS_DEV 7U/m);
  assert.match(source, /^#define FS_BLOCK_SIZE 1024U/m);
  const one = compileProgram({ kind: "built-in", name: "demo" }, OPTIONS);
  const other = compileProgram({ kind: "built-in", name: "demo" }, {
    ...OPTIONS,
    constants: { ...CONSTANTS, device: 8 },
  });
  assert.notDeepEqual(one.bytes, other.bytes);
  const again = compileProgram({ kind: "built-in", name: "demo" }, OPTIONS);
  assert.equal(again.bytes, one.bytes, "from the cache");
});

Deno.test("compileProgram: a user's program has the macros and the constants", () => {
  if (!requires("clang")) return;
  using folder = new TempDir();
  const path = folder.join("own.c");
  Deno.writeTextFileSync(
    path,
    `#include <bpf/bpf_tracing.h>
#include <fuse_iomap_bpf.h>
#include <own.h>
DECLARE_GPL2_LICENSE_FOR_FUSE_IOMAP_BPF;
_Static_assert(FS_DEV == 7 && FS_BLOCK_SIZE == 1024 && OWN == 3, "constants");
_Static_assert(sizeof(struct fuse_iomap_begin_out) == 64, "64 bytes");
FUSE_IOMAP_BEGIN_BPF_FUNC(own) { bpf_printk("at %d", (int)pos); return FIB_FALLBACK; }
DEFINE_FUSE_IOMAP_BPF_OPS(own_ops, "own", own, NULL, NULL);
`,
  );
  Deno.mkdirSync(folder.join("include"));
  Deno.writeTextFileSync(folder.join("include/own.h"), "#define OWN 3\n");
  const object = buildProgram(parseProgramChoice(path), {
    ...OPTIONS,
    includeFolders: [folder.join("include")],
  });
  assert.deepEqual(object.programs.map(({ name }) => name), ["own"]);
  assert.throws(
    () => buildProgram(parseProgramChoice(path), OPTIONS),
    /Cannot compile .*own\.c: .*own\.c:3:10: fatal error: 'own\.h' file not found/,
  );
  assert.throws(() => buildProgram(parseProgramChoice("/nonexistent/x.c"), OPTIONS), /Cannot read/);
});

Deno.test("compile: line numbers are those of `fuse4fs bpf source`", async () => {
  if (!requires("clang")) return;
  using folder = new TempDir();
  const path = folder.join("broken.c");
  Deno.writeTextFileSync(path, "#include <fuse_iomap_bpf.h>\n\n\nnonsense here;\n");
  assert.throws(() => compileProgram(parseProgramChoice(path), OPTIONS), (error) => {
    assert.ok(error instanceof CompileError);
    assert.match(error.message, /broken\.c:4:1: error: unknown type name 'nonsense'$/);
    assert.match(logOf(error) ?? "", /nonsense here;\n\^/);
    return true;
  });
  const { stdout } = await fuse4fs(["bpf", "source", "--program", path]);
  assert.equal(stdout.split("\n")[3], "nonsense here;");
});

Deno.test("findClang: missing, too old, and no program at all", () => {
  using folder = new TempDir();
  const missing = (choice: string) => {
    assert.throws(() => findClang(choice), (error) => {
      assert.ok(error instanceof NotSupported);
      assert.match(error.message, /install clang 14 or newer/);
      return true;
    });
  };
  missing("/nonexistent/clang");
  missing("clang-of-nobody");
  missing(folder.path);
  missing(fakeClang(folder, "exit 0", "13.0.1"));
  assert.throws(() => findClang(fakeClang(folder, "", "13.0.1")), /13\.0\.1 is too old/);
  Deno.writeTextFileSync(folder.join("text"), "no program");
  missing(folder.join("text"));
  const own = fakeClang(folder, "", "20.1.0");
  assert.deepEqual(findClang(own), { program: own, version: "20.1.0" });
});

Deno.test("compile: the child has no descriptor but its own, and nothing is on a disk", () => {
  using folder = new TempDir();
  using _open = Deno.openSync("/proc/self/exe");
  // 10 is the shell's own: its script.
  const list = "for n in 0 1 2 3 4 5; do readlink /proc/$$/fd/$n; done; " +
    "for n in 6 7 8 9 $(seq 11 99); do test -e /proc/$$/fd/$n && echo leak $n; done; env";
  const clang = { program: fakeClang(folder, list), version: "14" };
  const before = Deno.env.get("CPATH");
  Deno.env.set("CPATH", "/nonsense");
  const output = new TextDecoder().decode(
    compile(clang, { name: "x", source: "int x;", headers: { "a.h": "1", "b/c.h": "2" } }),
  );
  if (before === undefined) Deno.env.delete("CPATH");
  for (const target of output.split("\n").slice(0, 6)) {
    assert.match(target, /^\/memfd:.* \(deleted\)$/);
  }
  assert.doesNotMatch(output, /leak/);
  assert.doesNotMatch(output, /CPATH/);
});

Deno.test("compile: clang that fails, that is killed, that takes too long", () => {
  using folder = new TempDir();
  const attempt = (script: string, timeout = 20_000) => () =>
    compile({ program: fakeClang(folder, script), version: "14" }, {
      name: "mine.c",
      source: script,
      timeout,
    });
  assert.throws(
    attempt("echo '/proc/self/fd/0:9:1: error: no' >&2; exit 1"),
    /mine\.c: mine\.c:9:1: error: no/,
  );
  assert.throws(attempt("exit 3"), /mine\.c: clang exited with 3/);
  assert.throws(attempt("kill -SEGV $$"), /clang exited with 139/);
  const started = performance.now();
  assert.throws(attempt("sleep 30", 300), (error) => {
    assert.ok(error instanceof FsError);
    assert.equal(error.errno, Errno.ETIMEDOUT);
    return true;
  });
  assert.ok(performance.now() - started < 10_000);
});

Deno.test("vmlinux.h: where it is looked for, and who asks for it", () => {
  assert.deepEqual(vmlinuxHeaderPaths("6.1"), [
    "/usr/src/kernels/6.1/vmlinux.h",
    `/usr/include/${Deno.build.arch}-linux-gnu/linux/bpf/vmlinux.h`,
  ]);
  using folder = new TempDir();
  const [empty, first, second] = ["empty", "first", "second"].map((name) => folder.join(name));
  Deno.writeTextFileSync(empty, "");
  Deno.writeTextFileSync(first, "x");
  Deno.writeTextFileSync(second, "x");
  assert.equal(installedVmlinuxHeader([folder.join("none"), empty, first, second]), first);
  assert.equal(installedVmlinuxHeader([empty]), undefined);
  assert.ok(asksForVmlinuxHeader(' # include "vmlinux.h"\n'));
  assert.ok(asksForVmlinuxHeader("int x;\n#include <vmlinux.h> // types\n"));
  assert.ok(!asksForVmlinuxHeader("// vmlinux.h is not needed\n"));
  const encoder = new TextEncoder();
  assert.ok(declaresIomapTypes(encoder.encode("struct fuse_iomap_bpf_ops {\n")));
  assert.ok(!declaresIomapTypes(encoder.encode("struct file {\n")));
});

Deno.test("vmlinux.h is made from the kernel's BTF, and a program compiles with it", async () => {
  if (!requires("clang", "root")) return;
  const libbpf = await libbpfForTests();
  if (libbpf === undefined) return;
  const header = generateVmlinuxHeader(openLibbpf(libbpf));
  const text = new TextDecoder().decode(header);
  assert.match(text, /^struct file_operations \{$/m);
  assert.match(text, /^typedef .* u64;$/m);
  using folder = new TempDir();
  const path = folder.join("with_vmlinux.c");
  Deno.writeTextFileSync(
    path,
    `#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <fuse_iomap_bpf.h>
DECLARE_GPL2_LICENSE_FOR_FUSE_IOMAP_BPF;
FUSE_IOMAP_BEGIN_BPF_FUNC(a_begin) { struct task_struct *task = 0; return task ? 1 : 0; }
DEFINE_FUSE_IOMAP_BPF_OPS(a_ops, "a", a_begin, NULL, NULL);
`,
  );
  const object = compileProgram(parseProgramChoice(path), { ...OPTIONS, libbpf });
  assert.equal(object.structOps[0].name, "a_ops");
  // A file of the user's comes first.
  Deno.writeTextFileSync(folder.join("mine.h"), "#error mine\n");
  assert.throws(
    () =>
      compileProgram(parseProgramChoice(path), {
        ...OPTIONS,
        vmlinuxHeader: folder.join("mine.h"),
      }),
    /error: mine/,
  );
});

Deno.test("fuse4fs bpf: source of an image, compile, skeleton", async () => {
  if (!requires("clang", "e2fsprogs")) return;
  using folder = new TempDir();
  const image = folder.join("image");
  await run("mke2fs", ["-q", "-b", "2048", image, "8M"]);
  const { stdout } = await fuse4fs(["bpf", "source", image], { codes: [0] });
  assert.match(stdout, /^#define FS_BLOCK_SIZE 2048U/m);
  assert.match(stdout, /#include <fuse_iomap_bpf\.h>/);
  const object = folder.join("demo.o");
  const compiled = await fuse4fs(["bpf", "compile", "-o", object, image], { codes: [0] });
  const shown = await fuse4fs(["bpf", "skeleton", object], { codes: [0] });
  assert.equal(
    shown.stdout.replace(/^.*: /, ""),
    compiled.stdout.replace(/^demo: /, ""),
  );
  assert.match(
    shown.stdout,
    /^program +demo_begin +struct_ops\.s\/iomap_begin, \d+ instructions$/m,
  );
  assert.match(shown.stdout, /^ +0 +iomap_begin = demo_begin$/m);
  const cut = folder.join("cut.o");
  Deno.writeFileSync(cut, Deno.readFileSync(object).subarray(0, 1000));
  const bad = await fuse4fs(["bpf", "skeleton", cut]);
  assert.notEqual(bad.code, 0);
  assert.match(bad.stderr, /^fuse4fs: .*cut\.o: cut off/);
  assert.equal(bad.stderr.trim().split("\n").length, 1);
});

Deno.test("the headers that are carried need no others", () => {
  if (!requires("clang")) return;
  for (const text of Object.values(EMBEDDED_HEADERS)) {
    for (const [, name] of text.matchAll(/#include <([^>]+)>/g)) {
      assert.ok(name in EMBEDDED_HEADERS, name);
    }
  }
});
