/** Reading what is in a BPF object: its ELF sections and symbols, its BTF, its struct_ops. */

import assert from "node:assert/strict";
import { Btf } from "../src/bpf/btf.ts";
import { compile, findClang } from "../src/bpf/clang.ts";
import { ElfObject } from "../src/bpf/elf.ts";
import { BadObject } from "../src/bpf/errors.ts";
import { EMBEDDED_HEADERS } from "../src/bpf/headers.ts";
import { findKernelInterface, generationOf, readKernelBtf } from "../src/bpf/kernel_btf.ts";
import { requireIomapOps } from "../src/bpf/attach.ts";
import { BpfObject } from "../src/bpf/object.ts";
import { programFlags, programSource } from "../src/bpf/program.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";
import { TempDir } from "./support/run.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const HEAD = "#include <fuse_iomap_bpf.h>\nDECLARE_GPL2_LICENSE_FOR_FUSE_IOMAP_BPF;\n";

function build(source: string, flags: readonly string[] = []): Bytes {
  return compile(findClang(), { name: "test", source, flags, headers: EMBEDDED_HEADERS });
}

function builtIn(name: "demo" | "extents", generation: 1 | 2 = 2): Bytes {
  const source = programSource({ kind: "built-in", name }, { device: 7, blockSize: 1024 });
  return build(source, programFlags(name, generation));
}

function rejects(bytes: Bytes, problem: RegExp): void {
  assert.throws(() => requireIomapOps(new BpfObject("it", bytes)), (error) => {
    assert.ok(error instanceof BadObject, String(error));
    assert.match(error.message, problem);
    return true;
  });
}

Deno.test("BpfObject: programs, maps and members of the demonstration", () => {
  if (!requires("clang")) return;
  for (const generation of [1, 2] as const) {
    const object = new BpfObject("demo", builtIn("demo", generation));
    const section = generation === 1 ? "struct_ops/iomap_begin" : "struct_ops.s/iomap_begin";
    assert.equal(object.license, "Dual BSD/GPL");
    assert.deepEqual(object.programs.map(({ name, section }) => [name, section]), [
      ["demo_begin", section],
    ]);
    assert.deepEqual(object.maps, [
      { name: "demo_ops", kind: "struct_ops", section: ".struct_ops.link", size: 48 },
    ]);
    const [ops] = object.structOps;
    assert.deepEqual(
      ops.members.map(({ name, offset, size, program }) => [name, offset, size, program]),
      [
        ["iomap_begin", 0, 8, "demo_begin"],
        ["iomap_end", 8, 8, undefined],
        ["iomap_ioend", 16, 8, undefined],
        ["fuse_fd", 24, 4, undefined],
        ["zeropad", 28, 4, undefined],
        ["name", 32, 16, undefined],
      ],
    );
    assert.equal(requireIomapOps(object), ops);
  }
});

Deno.test("BpfObject: maps of every kind, and programs that are only called", () => {
  if (!requires("clang")) return;
  const object = new BpfObject(
    "it",
    build(`${HEAD}
u32 counter;
const u32 limit = 5;
u32 preset = 3;
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, u32); __type(value, u64); } table SEC(".maps");
__attribute__((noinline)) int helper(u64 pos) { return pos > limit; }
FUSE_IOMAP_BEGIN_BPF_FUNC(a_begin) {
  u32 key = counter++ + preset;
  return bpf_map_lookup_elem(&table, &key) ? helper(pos) : FIB_FALLBACK;
}
FUSE_IOMAP_END_BPF_FUNC(an_end) { return FIB_FALLBACK; }
FUSE_IOMAP_IOEND_BPF_FUNC(an_ioend) { return FIB_FALLBACK; }
DEFINE_FUSE_IOMAP_BPF_OPS(all_ops, "all", a_begin, an_end, an_ioend);
`),
  );
  assert.deepEqual(object.programs.map(({ name }) => name), ["a_begin", "an_end", "an_ioend"]);
  assert.deepEqual(object.structOps[0].members.slice(0, 3).map(({ program }) => program), [
    "a_begin",
    "an_end",
    "an_ioend",
  ]);
  assert.deepEqual(object.maps.map(({ name, kind }) => `${kind} ${name}`).sort(), [
    "data .bss",
    "data .data",
    "data .rodata",
    "map table",
    "struct_ops all_ops",
  ]);
});

Deno.test("requireIomapOps: one struct_ops of the right type, with a name and a licence", () => {
  if (!requires("clang")) return;
  const begin = "FUSE_IOMAP_BEGIN_BPF_FUNC(a_begin) { return FIB_FALLBACK; }\n";
  const ops = (name: string) => `DEFINE_FUSE_IOMAP_BPF_OPS(${name}, "x", a_begin, NULL, NULL);\n`;
  rejects(build(HEAD + begin), /^it: there is no struct_ops in it$/);
  rejects(build(HEAD + begin + ops("one") + ops("two")), /^it: one struct_ops .* one and two$/);
  rejects(
    build(`${HEAD}${begin}struct y { void *x; }; SEC(".struct_ops.link") struct y z = {a_begin};`),
    /^it: z is a y, not a fuse_iomap_bpf_ops$/,
  );
  rejects(
    build(
      `${HEAD}${begin}SEC(".struct_ops") struct fuse_iomap_bpf_ops z = { (void *)a_begin, .name = "n" };`,
    ),
    /^it: z must be in section \.struct_ops\.link$/,
  );
  rejects(
    build(
      `${HEAD}${begin}SEC(".struct_ops.link") struct fuse_iomap_bpf_ops z = { (void *)a_begin };`,
    ),
    /^it: z has no name$/,
  );
  rejects(
    build(`#include <fuse_iomap_bpf.h>\n${begin}${ops("one")}`),
    /^it: the license "" is not compatible with the GPL$/,
  );
  assert.throws(() => build(HEAD + begin.replace("a_begin", "b") + ops("one")), /a_begin/);
});

Deno.test("BpfObject: what is no object of BPF is named as what it is", () => {
  rejects(new Uint8Array(), /not an ELF file/);
  rejects(new TextEncoder().encode("#!/bin/sh\necho no\n"), /not an ELF file/);
  rejects(Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 2, 1), /cut off within the ELF header/);
  rejects(Deno.readFileSync("/proc/self/exe").slice(0, 2 ** 20), /not a .*object file of BPF/);
  rejects(new Uint8Array(65 * 2 ** 20), /too many/);
});

Deno.test("BpfObject: without -g there is no BTF", () => {
  if (!requires("clang")) return;
  rejects(build("int i;", ["-g0"]), /no BTF in it: compile it with -g/);
});

/** Bytes at which something begins or ends. */
function boundaries(bytes: Bytes): number[] {
  const view = new DataView(bytes.buffer);
  const table = Number(view.getBigUint64(40, true));
  const count = view.getUint16(60, true);
  const found = new Set([0, 4, 16, 63, 64, table, table + count * 64 - 1]);
  for (let index = 0; index < count; index++) {
    const at = table + index * 64;
    const offset = Number(view.getBigUint64(at + 24, true));
    const size = Number(view.getBigUint64(at + 32, true));
    for (const byte of [offset, offset + size, offset + size - 1, at, at + 1]) found.add(byte);
  }
  return [...found].filter((byte) => byte >= 0 && byte < bytes.length);
}

Deno.test("BpfObject: cut off at every boundary of a section, it is refused", () => {
  if (!requires("clang")) return;
  const whole = builtIn("extents");
  const places = boundaries(whole);
  assert.ok(places.length > 60);
  for (const size of places) {
    assert.throws(() => new BpfObject("it", whole.slice(0, size)), BadObject, `${size} bytes`);
  }
});

Deno.test("BpfObject: whatever bytes change, only BadObject comes out", () => {
  if (!requires("clang")) return;
  const whole = builtIn("extents");
  const random = new Random(4711);
  let refused = 0;
  for (let round = 0; round < 4000; round++) {
    const bytes = whole.slice();
    for (let change = 0; change <= round % 4; change++) {
      bytes[random.below(bytes.length)] = random.below(256);
    }
    try {
      requireIomapOps(new BpfObject("it", bytes));
    } catch (error) {
      assert.ok(error instanceof BadObject, (error as Error).stack);
      refused++;
    }
  }
  assert.ok(refused > 200, `${refused} refused`);
});

Deno.test("ElfObject: relocations name the symbols", () => {
  if (!requires("clang")) return;
  const elf = new ElfObject("it", builtIn("demo"));
  const section = elf.section(".struct_ops.link");
  assert.ok(section);
  const [{ offset, symbol }] = elf.relocations(section);
  assert.deepEqual([offset, symbol.name, symbol.kind], [0, "demo_begin", "function"]);
  assert.equal(elf.section("nothing"), undefined);
});

/** The BTF that clang writes for declarations. */
function btfOf(declarations: string): Btf {
  const content = new ElfObject("it", build(declarations)).section(".BTF")?.content;
  assert.ok(content);
  return new Btf("it", content);
}

Deno.test("Btf: members lie where C has them", () => {
  if (!requires("clang")) return;
  const btf = btfOf(`
    typedef const volatile unsigned short number;
    struct inner { char a; long long b; };
    union either { int i; struct inner s; };
    enum color { RED, GREEN };
    struct outer {
      char c; number n; struct inner list[3]; union either u; enum color e;
      int bits1 : 3; int bits2 : 30; void *p; long double *q[2]; char tail[];
    } x;
  `);
  const outer = btf.find("outer", "struct");
  assert.ok(outer);
  assert.equal(btf.sizeOf(outer), 112);
  assert.deepEqual(
    btf.members(outer).map(({ name, type, offset }) => [name, offset, btf.sizeOf(type)]),
    [
      ["c", 0, 1],
      ["n", 2, 2],
      ["list", 8, 48],
      ["u", 56, 16],
      ["e", 72, 4],
      ["bits1", 76, 4],
      ["bits2", 80, 4],
      ["p", 88, 8],
      ["q", 96, 16],
      ["tail", 112, 0],
    ],
  );
  assert.equal(btf.find("outer", "union"), undefined);
  assert.equal(btf.find("out", "struct"), undefined);
  assert.equal(btf.kind(0), "void");
  assert.throws(() => btf.kind(btf.typeCount), BadObject);
});

Deno.test("Btf: the kernel's own, and that of a module on top of it", () => {
  const folder = "/sys/kernel/btf";
  let kernelBytes: Bytes;
  try {
    kernelBytes = Deno.readFileSync(`${folder}/vmlinux`);
  } catch {
    console.log("skipped: needs a kernel with BTF");
    return;
  }
  const kernel = new Btf("vmlinux", kernelBytes);
  const file = kernel.find("file_operations", "struct");
  assert.ok(file !== undefined && kernel.members(file).some(({ name }) => name === "read_iter"));
  assert.equal(generationOf(kernel), undefined, "no released kernel has the interface");
  const modules = [...Deno.readDirSync(folder)].filter(({ name }) => name !== "vmlinux");
  for (const { name } of modules.slice(0, 3)) {
    const module = new Btf(name, Deno.readFileSync(`${folder}/${name}`), kernel);
    assert.ok(module.typeCount > kernel.typeCount);
    assert.equal(module.find("file_operations", "struct"), file);
  }
});

Deno.test("generationOf: by the first argument of iomap_begin", () => {
  if (!requires("clang")) return;
  const kernel = (inode: string) => `
    struct fuse_inode { int x; }; struct fuse_bpf_inode {}; struct later {};
    struct fuse_iomap_bpf_ops { int (*iomap_begin)(struct ${inode} *inode, long pos); };
    struct bpf_struct_ops_fuse_iomap_bpf_ops { struct fuse_iomap_bpf_ops data; } x;
  `;
  assert.equal(generationOf(btfOf(kernel("fuse_inode"))), 1);
  assert.equal(generationOf(btfOf(kernel("fuse_bpf_inode"))), 2);
  assert.equal(generationOf(btfOf(kernel("later"))), undefined);
  assert.equal(generationOf(btfOf("struct fuse_iomap_bpf_ops { int x; } x;")), undefined);
});

Deno.test("findKernelInterface: in the kernel itself, and nowhere without BTF", () => {
  if (!requires("clang")) return;
  using folder = new TempDir();
  assert.equal(readKernelBtf(folder.path), undefined);
  assert.equal(findKernelInterface(folder.path), undefined);
  const declarations = `
    struct fuse_bpf_inode {};
    struct fuse_iomap_bpf_ops { int (*iomap_begin)(struct fuse_bpf_inode *inode, long pos); };
  `;
  const kernel = (more: string) => {
    const content = new ElfObject("it", build(declarations + more)).section(".BTF")?.content;
    Deno.writeFileSync(folder.join("vmlinux"), content ?? new Uint8Array());
    return findKernelInterface(folder.path);
  };
  assert.equal(kernel("struct fuse_iomap_bpf_ops x;"), undefined, "declared, not registered");
  const registered = "struct bpf_struct_ops_fuse_iomap_bpf_ops { struct fuse_iomap_bpf_ops d; } x;";
  assert.deepEqual(kernel(registered), { generation: 2, module: "vmlinux" });
});

Deno.test("Btf: whatever bytes change, only BadObject comes out", () => {
  if (!requires("clang")) return;
  const content = new ElfObject("it", builtIn("extents")).section(".BTF")?.content.slice();
  assert.ok(content);
  const random = new Random(815);
  for (let round = 0; round < 4000; round++) {
    const bytes = content.slice(0, round % 5 === 0 ? random.below(content.length) : undefined);
    if (bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256);
    try {
      const btf = new Btf("it", bytes);
      for (let type = 1; type < btf.typeCount; type++) {
        btf.nameOf(type);
        btf.members(btf.resolve(type)).forEach((member) => btf.sizeOf(member.type));
        btf.parameters(type);
      }
      btf.sectionVariables(".struct_ops.link");
      generationOf(btf);
    } catch (error) {
      assert.ok(error instanceof BadObject, (error as Error).stack);
    }
  }
});
