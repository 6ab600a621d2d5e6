/**
 * What iomap BPF programs cost, and what they save. Compiling, and what libbpf and the verifier
 * take, is measured on this machine. No released kernel asks such programs, so the rest comes from
 * the virtual machine of the tests (tests/vm): an emulated processor, ten to twenty times slower,
 * good for comparing its figures with each other only.
 */

import { openLibbpf } from "../../src/bpf/library.ts";
import { LoadedObject } from "../../src/bpf/loader.ts";
import { compileProgram } from "../../src/bpf/program.ts";
import { congestionObject } from "../support/congestion.ts";
import { libbpfForTests } from "../support/libbpf.ts";
import { FUSE4FS } from "../support/mount.ts";
import { run, TempDir } from "../support/run.ts";
import { Vm } from "../support/vm.ts";
import { buildIomapModule } from "../support/vm_module.ts";
import type { Work } from "./works.ts";

const CALLS = 3000;

/** One run of the machine gives all of them. */
interface Figures {
  readonly clangStart: number;
  readonly prebuiltStart: number;
  readonly byProgram: number;
  readonly byServer: number;
}

export const IOMAP_WORKS: readonly Work[] = [
  {
    name: "bpf-compile",
    title: "clang compiles the program `demo`",
    unit: "ms",
    servers: ["fuse4fs"],
    measure: compileDemo,
  },
  {
    name: "bpf-attach",
    title: "an object is opened, loaded and attached (of TCP's struct_ops)",
    unit: "ms",
    servers: ["fuse4fs"],
    measure: attachCongestion,
  },
  inMachine("bpf-start-clang", "mount until `demo` is attached, compiled with clang", "clangStart"),
  inMachine("bpf-start-object", "mount until `extents` is attached, as carried", "prebuiltStart"),
  inMachine("bpf-fiemap", "FIEMAP of a block, answered by a program", "byProgram"),
  inMachine("bpf-fiemap-server", "FIEMAP of a block, answered by the server", "byServer"),
];

function inMachine(name: string, title: string, figure: keyof Figures): Work {
  return {
    name,
    title: `${title} (virtual machine)`,
    unit: figure.endsWith("Start") ? "ms" : "us",
    servers: ["fuse4fs"],
    measure: async () => (await next(figure))[figure],
  };
}

let cookie = 1;

/** Milliseconds; never from the cache, since another file system has another number. */
function compileDemo(): number {
  const constants = { device: cookie++, blockSize: 4096 };
  const start = performance.now();
  compileProgram({ kind: "built-in", name: "demo" }, { generation: 2, constants });
  return performance.now() - start;
}

/** Milliseconds of what is done for a FUSE connection as well, on the kernel of this machine. */
async function attachCongestion(): Promise<number> {
  const libbpf = openLibbpf(await libbpfForTests());
  const object = congestionObject({ name: "f4fs_bench" });
  const start = performance.now();
  using loaded = LoadedObject.load(libbpf, object);
  using _link = loaded.attach("test_ops");
  return performance.now() - start;
}

let latest: { readonly figures: Promise<Figures>; readonly taken: Set<string> } | undefined;

/** The figures of the latest run; a work that asks again is in the next round. */
function next(figure: string): Promise<Figures> {
  if (latest === undefined || latest.taken.has(figure)) {
    latest = { figures: runMachine(), taken: new Set() };
  }
  latest.taken.add(figure);
  return latest.figures;
}

async function runMachine(): Promise<Figures> {
  const vm = await Vm.prepare();
  if (vm === undefined) throw new Error("no virtual machine");
  using folder = new TempDir();
  const content = folder.mkdir("content");
  Deno.writeFileSync(`${content}/big`, new Uint8Array(1_000_000).fill(1));
  const image = folder.join("image");
  await run("mke2fs", ["-q", "-t", "ext4", "-b", "4096", "-d", content, image, "64M"]);
  const client = folder.join("fiemap_client");
  const source = new URL("./fiemap_client.c", import.meta.url).pathname;
  await run("gcc", ["-O2", "-Wall", "-o", client, source]);
  const module = await buildIomapModule(vm.packages, 2, folder);
  const script = `
    set -e
    ${vm.packages.root}/bin/busybox insmod ${module}
    mkdir /mnt/a
    # start OPTIONS: the second time counts, when all programs are in memory
    start() {
      ${FUSE4FS} /dev/vda /mnt/a -o $1
      umount /mnt/a; sleep 1
      before=$(date +%s%N)
      ${FUSE4FS} /dev/vda /mnt/a -o $1
      echo $((($(date +%s%N) - before) / 1000))
    }
    start bpf_crap
    ${client} /mnt/a/big 0 ${CALLS}
    ${client} /mnt/a/big 20 ${CALLS}
    umount /mnt/a; sleep 1
    start iomap_bpf=extents
    umount /mnt/a`;
  const options = { modules: ["virtio_blk"], disks: [image], seconds: 600 };
  const { code, stdout, console } = await vm.run(script, options);
  const numbers = stdout.trim().split("\n").map(Number);
  if (code !== 0 || numbers.length !== 4) throw new Error(stdout + console);
  const [clangStart, byProgram, byServer, prebuiltStart] = numbers;
  return {
    clangStart: clangStart / 1000,
    prebuiltStart: prebuiltStart / 1000,
    byProgram,
    byServer,
  };
}
