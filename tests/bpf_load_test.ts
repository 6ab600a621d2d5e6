/**
 * The whole way on the running kernel: compile, skeleton, open, load, attach, detach, by way of a
 * struct_ops of TCP; and what libbpf must never be given.
 */

import assert from "node:assert/strict";
import { missingCapabilities } from "../src/bpf/capability.ts";
import { BadObject, LibbpfError, NotSupported, VerifierError } from "../src/bpf/errors.ts";
import { type Libbpf, openLibbpf } from "../src/bpf/library.ts";
import { LoadedObject } from "../src/bpf/loader.ts";
import { BpfObject } from "../src/bpf/object.ts";
import { mapStride, Skeleton } from "../src/bpf/skeleton.ts";
import { Errno } from "../src/sys/errno.ts";
import { fuse4fs } from "./support/command_line.ts";
import { congestionAlgorithms, congestionObject, congestionSource } from "./support/congestion.ts";
import { libbpfForTests } from "./support/libbpf.ts";
import { FUSE4FS } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

/** The libbpf to test with, or undefined where the test is skipped. */
async function prepare(): Promise<Libbpf | undefined> {
  if (!requires("root", "clang")) return undefined;
  const path = await libbpfForTests();
  return path === undefined ? undefined : openLibbpf(path);
}

Deno.test("LoadedObject: attaches, goes on without the skeleton, detaches with the link", async () => {
  const libbpf = await prepare();
  if (libbpf === undefined) return;
  const name = `f4fs_${Deno.pid}`;
  const object = congestionObject({ name });
  assert.ok(!congestionAlgorithms().includes(name));
  const loaded = LoadedObject.load(libbpf, object);
  assert.ok(!congestionAlgorithms().includes(name), "loaded is not attached");
  const link = loaded.attach("test_ops");
  assert.ok(congestionAlgorithms().includes(name));
  loaded[Symbol.dispose]();
  assert.ok(congestionAlgorithms().includes(name), "the skeleton is gone, the link is not");
  link[Symbol.dispose]();
  assert.ok(!congestionAlgorithms().includes(name));
  link[Symbol.dispose]();
});

Deno.test("LoadedObject: initial values go where the object's BTF says", async () => {
  const libbpf = await prepare();
  if (libbpf === undefined) return;
  const object = congestionObject({ name: `f4fs_v${Deno.pid}` });
  const load = (values: Record<string, number>) =>
    LoadedObject.load(libbpf, object, { structOps: { test_ops: values } });
  load({ flags: 2 })[Symbol.dispose]();
  // The kernel looks at this very member, and knows no such flag.
  assert.throws(() => load({ flags: 1 << 30 }).attach("test_ops"), (error) => {
    assert.ok(error instanceof LibbpfError);
    assert.equal(error.errno, Errno.EINVAL);
    return true;
  });
  assert.throws(() => load({ fuse_fd: 1 }), /test_ops has no 32-bit member fuse_fd/);
  assert.throws(() => load({ name: 1 }), BadObject);
  assert.throws(
    () => LoadedObject.load(libbpf, object, { structOps: { other: {} } }),
    /no struct_ops other/,
  );
});

Deno.test("LoadedObject: what the kernel refuses at the attach has its errno, in words", async () => {
  const libbpf = await prepare();
  if (libbpf === undefined) return;
  const object = congestionObject({ name: `f4fs_t${Deno.pid}` });
  using first = LoadedObject.load(libbpf, object);
  using _link = first.attach("test_ops");
  using second = LoadedObject.load(libbpf, object);
  assert.throws(() => second.attach("test_ops"), (error) => {
    assert.ok(error instanceof LibbpfError);
    assert.equal(error.errno, Errno.EEXIST);
    assert.match(error.message, /^Cannot attach test_ops of congestion: File exists/);
    return true;
  });
});

Deno.test("LoadedObject: what the verifier says, short and whole", async () => {
  const libbpf = await prepare();
  if (libbpf === undefined) return;
  const object = congestionObject({
    name: "f4fs_bad",
    body: "u64 at = 8; return *(volatile u32 *)at;",
  });
  assert.throws(() => LoadedObject.load(libbpf, object), (error) => {
    assert.ok(error instanceof VerifierError);
    assert.equal(error.program, "test_ssthresh");
    assert.match(error.message, /^The kernel's verifier rejects program test_ssthresh: .+$/);
    assert.ok(error.log.split("\n").length > 3);
    assert.match(error.log, /R\d/);
    return true;
  });
});

Deno.test("LoadedObject: a type that the kernel has not is an error of libbpf's, with its text", async () => {
  const libbpf = await prepare();
  if (libbpf === undefined) return;
  const source = congestionObject({ name: "x" }).bytes.slice();
  const text = new TextDecoder("latin1").decode(source);
  // In the strings of the BTF.
  const at = text.lastIndexOf("\0tcp_congestion_ops\0") + 1;
  source.set(new TextEncoder().encode("not_congestion_ops"), at);
  const object = new BpfObject("strange", source);
  assert.throws(() => LoadedObject.load(libbpf, object), (error) => {
    assert.ok(error instanceof LibbpfError);
    assert.match(error.message, /^Cannot (open|load) strange: .*not_congestion_ops/);
    return true;
  });
});

Deno.test("Skeleton: any number of maps and programs, each found by its name", async () => {
  const libbpf = await prepare();
  if (libbpf === undefined) return;
  const map = (name: string) =>
    `struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 3); __type(key, u32); __type(value, u64); } ${name} SEC(".maps");\n`;
  const names = Array.from({ length: 20 }, (_, index) => `map_${index}`);
  const object = congestionObject({
    name: `f4fs_m${Deno.pid}`,
    more: `${names.map(map).join("")}int counter;`,
    body: `u32 key = counter++; u64 *value = bpf_map_lookup_elem(&map_7, &key); ` +
      `return value ? *value : 2;`,
  });
  assert.equal(object.maps.length, 22);
  using loaded = LoadedObject.load(libbpf, object, { maxEntries: { map_3: 5 } });
  const numbers = names.map((name) => loaded.mapDescriptor(name));
  assert.equal(new Set(numbers).size, names.length);
  const entriesOf = (fd: number) =>
    /^max_entries:\s*(\d+)$/m.exec(Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`))?.[1];
  assert.deepEqual([entriesOf(numbers[3]), entriesOf(numbers[4])], ["5", "3"]);
  using _link = loaded.attach("test_ops");
});

Deno.test("Skeleton: laid out for libbpf before and since 1.5", () => {
  if (!requires("clang")) return;
  assert.deepEqual([2, 3, 4, 5, 7].map(mapStride), [24, 24, 24, 32, 32]);
  const object = congestionObject({ name: "x", more: "int counter;", body: "return counter++;" });
  for (const minor of [4, 5]) {
    const destroyed: Deno.PointerValue[] = [];
    const libbpf = {
      minor,
      symbols: {
        bpf_object__destroy_skeleton: (pointer: Deno.PointerValue) => destroyed.push(pointer),
      },
    } as unknown as Libbpf;
    const skeleton = new Skeleton(libbpf, object);
    const view = new Deno.UnsafePointerView(skeleton.pointer);
    const textAt = (offset: number, of = view) => {
      const pointer = Deno.UnsafePointer.create(of.getBigUint64(offset));
      return pointer === null ? "NULL" : new Deno.UnsafePointerView(pointer).getCString();
    };
    assert.equal(view.getBigUint64(0), 72n);
    assert.equal(textAt(8), "congestion");
    assert.equal(view.getBigUint64(24), BigInt(object.bytes.length));
    assert.deepEqual([view.getUint32(40), view.getUint32(44)], [2, mapStride(minor)]);
    assert.deepEqual([view.getUint32(56), view.getUint32(60)], [3, 24]);
    const maps = new Deno.UnsafePointerView(Deno.UnsafePointer.create(view.getBigUint64(48))!);
    assert.deepEqual([0, mapStride(minor)].map((at) => textAt(at, maps)), ["test_ops", ".bss"]);
    const data = Deno.UnsafePointer.create(view.getBigUint64(16));
    assert.ok(data);
    const copy = Deno.UnsafePointerView.getArrayBuffer(data, object.bytes.length);
    assert.deepEqual(new Uint8Array(copy), object.bytes);
    assert.throws(() => skeleton.map("test_ops"), /no map test_ops/, "not opened yet");
    skeleton[Symbol.dispose]();
    skeleton[Symbol.dispose]();
    assert.equal(destroyed.length, 1);
  }
});

Deno.test("damaged objects: libbpf never crashes of what passes our checks", async () => {
  const libbpf = await prepare();
  if (libbpf === undefined) return;
  using folder = new TempDir();
  const object = congestionObject({
    name: "f4fs_fuzz",
    more: `struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 3); __type(key, u32); ` +
      `__type(value, u64); } table SEC(".maps"); int counter;`,
    body: "u32 key = counter++; return bpf_map_lookup_elem(&table, &key) ? 1 : 2;",
  });
  Deno.writeFileSync(folder.join("object"), object.bytes);
  const rounds = Deno.env.get("FUZZ_COUNT") ?? "3000";
  const worker = new URL("./support/bpf_open_worker.ts", import.meta.url).pathname;
  const { stdout } = await run(Deno.execPath(), [
    ...["run", "--allow-all", "--no-check", worker],
    ...[libbpf.origin, folder.join("object"), Deno.env.get("FUZZ_SEED") ?? "1", rounds],
  ]);
  const counts = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
  assert.ok(counts.opened > 100 && counts.refused > 100, JSON.stringify(counts));
});

Deno.test("openLibbpf: none, one that is too old, one that is no library", () => {
  assert.throws(() => openLibbpf("embedded"), (error) => {
    assert.ok(error instanceof NotSupported);
    assert.match(error.message, /^no libbpf \(embedded\): install libbpf1, version 1\.4 or newer$/);
    return true;
  });
  assert.throws(
    () => openLibbpf("/nonexistent/libbpf.so"),
    /Cannot open \/nonexistent\/libbpf\.so/,
  );
  assert.throws(() => openLibbpf("/proc/self/exe"), /Cannot open/);
});

Deno.test("openLibbpf: libbpf 1.1 does not know links of struct_ops", async () => {
  if (!requires("gcc")) return;
  using folder = new TempDir();
  // Its own functions, as far as they are called before the version is looked at; all others.
  const names = Deno.readTextFileSync(new URL("../src/bpf/library.ts", import.meta.url))
    .matchAll(/^ {2}(\w+): \{ ?(?:parameters|$)/gm);
  const functions = [...names].map(([, name]) => name)
    .filter((name) => !name.startsWith("libbpf_m"))
    .map((name) => `void *${name}(void) { return 0; }`);
  const source = "int libbpf_major_version(void) { return 1; }\n" +
    `int libbpf_minor_version(void) { return 1; }\n${functions.join("\n")}\n`;
  const path = folder.join("libbpf.so.1");
  await run("gcc", ["-shared", "-fPIC", "-x", "c", "-", "-o", path], { input: source });
  assert.throws(() => openLibbpf(path), (error) => {
    assert.ok(error instanceof NotSupported, String(error));
    assert.match(error.message, /^libbpf 1\.1 \(.*\) is too old: links of struct_ops need 1\.2/);
    return true;
  });
});

Deno.test("missingCapabilities: by the names that capsh(1) gives them", () => {
  const status = (mask: string) => `Name:\tx\nCapEff:\t${mask}\nCapBnd:\t0\n`;
  assert.deepEqual(missingCapabilities(status("000001ffffffffff")), []);
  assert.deepEqual(missingCapabilities(status("0000000000200000")), [], "CAP_SYS_ADMIN");
  assert.deepEqual(missingCapabilities(status("000000c000000000")), []);
  assert.deepEqual(missingCapabilities(status("0000008000000000")), ["CAP_PERFMON"]);
  assert.deepEqual(missingCapabilities(status("0000000000000000")), ["CAP_BPF", "CAP_PERFMON"]);
});

Deno.test("fuse4fs bpf check: accepted, rejected, refused", async () => {
  if (!requires("root", "clang", "executable")) return;
  if (await libbpfForTests() === undefined) return;
  using folder = new TempDir();
  const write = (name: string, source: string) => {
    Deno.writeTextFileSync(folder.join(name), source);
    return folder.join(name);
  };
  const good = write("good.c", congestionSource({ name: "f4fs_check" }));
  const accepted = await fuse4fs(["bpf", "check", good], { codes: [0] });
  assert.match(accepted.stdout, /good\.c: the verifier accepts test_ssthresh, test_cong_avoid/);
  assert.ok(!congestionAlgorithms().includes("f4fs_check"));

  const bad = write(
    "bad.c",
    congestionSource({ name: "x", body: "u64 at = 8; return *(volatile u32 *)at;" }),
  );
  const rejected = await fuse4fs(["bpf", "check", bad]);
  assert.equal(rejected.code, 1);
  assert.match(rejected.stderr, /^fuse4fs: The kernel's verifier rejects program test_ssthresh: /);
  assert.equal(rejected.stderr.trim().split("\n").length, 1);
  const whole = await fuse4fs(["bpf", "check", "-d", bad]);
  assert.ok(whole.stderr.split("\n").length > 5);
  assert.match(whole.stderr, /; .*return \*\(volatile u32 \*\)at;/, "with the source");
  const json = JSON.parse((await fuse4fs(["bpf", "check", "--json", bad])).stdout);
  assert.equal(json.accepted, false);
  assert.match(json.problem, /rejects program/);

  const demo = await fuse4fs(["bpf", "check", "demo"]);
  assert.match(demo.stderr, /^fuse4fs: the FUSE of this kernel has no fuse_iomap_bpf_ops: run a /);

  const user = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
  // Where it was built, not everybody may go.
  const own = folder.join("fuse4fs");
  Deno.copyFileSync(FUSE4FS, own);
  Deno.chmodSync(folder.path, 0o755);
  const { stderr } = await run("setpriv", [...user, own, "bpf", "check", good], { codes: [1] });
  assert.match(stderr, /no privilege to load BPF programs \(CAP_BPF, CAP_PERFMON\): run as root/);
});

Deno.test("fuse4fs bpf probe: what is there, for people and as JSON", async () => {
  const { stdout } = await fuse4fs(["bpf", "probe"], { codes: [0] });
  assert.match(stdout, /^FUSE iomap BPF: +\S/m);
  assert.match(stdout, /^iomap BPF programs can(not)? be attached here\.$/m);
  const json = JSON.parse((await fuse4fs(["bpf", "probe", "--json"], { codes: [0] })).stdout);
  assert.equal(json.kernel.release, Deno.osRelease());
  const none = await fuse4fs(["bpf", "probe", "--clang", "/nonexistent"], { codes: [0] });
  assert.match(none.stdout, /^clang: +no \/nonexistent to compile BPF programs/m);
});
