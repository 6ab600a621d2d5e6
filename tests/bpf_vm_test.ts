/**
 * iomap BPF programs in a kernel that asks them: Debian's 6.12 in a virtual machine, with a module
 * that gives it an interface like the one of the RFC (tests/vm/module), of either generation.
 * Everything of a generation comes from one run of the machine, whose script is in
 * tests/support/iomap_guest.ts.
 */

import assert from "node:assert/strict";
import { type FilefragRow, filefragRows, guestScript, sections } from "./support/iomap_guest.ts";
import { libbpfForTests } from "./support/libbpf.ts";
import { requires } from "./support/requirements.ts";
import { compileC, run, TempDir } from "./support/run.ts";
import { Vm } from "./support/vm.ts";
import { buildIomapModule } from "./support/vm_module.ts";

const BLOCK_SIZE = 4096;
/** `big`, of 245 blocks, with a hole in it. */
const FILE_SIZE = 1_000_000;
const FILE_BLOCKS = Math.ceil(FILE_SIZE / BLOCK_SIZE);
const HOLE = { start: 100, end: 121 };

for (const generation of [1, 2] as const) {
  Deno.test(`iomap BPF in a virtual machine, generation ${generation}`, async (t) => {
    if (!requires("root", "fuse", "executable", "e2fsprogs", "clang", "make")) return;
    const libbpf = await libbpfForTests();
    const vm = await Vm.prepare();
    if (vm === undefined || libbpf === undefined) return;
    using folder = new TempDir();
    const image = await makeImage(folder);
    const other = folder.join("other");
    Deno.copyFileSync(image, other);
    const module = await buildIomapModule(vm.packages, generation, folder);
    const result = await vm.run(
      guestScript({
        insmod: `${vm.packages.root}/bin/busybox insmod ${module}`,
        other,
        libbpf,
        fibmap: await compileC("fibmap"),
        programs: await makePrograms(folder),
        withBadInput: generation === 2,
      }),
      { modules: ["virtio_blk"], disks: [image], seconds: 900 },
    );
    assert.equal(result.code, 0, result.stdout + result.console);
    const said = sections(result.stdout);
    const of = (name: string) => {
      const text = said.get(name);
      assert.notEqual(text, undefined, `no section ${name}`);
      return text ?? "";
    };
    const rows = (name: string) => filefragRows(of(name));

    await t.step("bpf probe tells the generation", () => {
      const { kernel, canAttach } = JSON.parse(of("probe"));
      assert.deepEqual(kernel.iomapBpf, { generation, module: "fuse_iomap_bpf_bench" });
      assert.equal(canAttach, true);
    });

    await t.step("bpf_crap: FIEMAP shows 17 made-up blocks, and behind them the file's own", () => {
      assert.equal(of("demo said"), "");
      assert.match(of("demo state"), /^program fuse4fs_demo\nattached 1$/m);
      const found = rows("demo");
      for (let block = 0; block < 17; block++) {
        const flags = block % 2 === 1 ? "unwritten" : "";
        assert.deepEqual(
          { ...found[block], flags: found[block].flags.replace(/,?merged/, "") },
          { logical: block, physical: 99 + block, length: 1, flags },
        );
      }
      const rest = found.slice(17);
      assert.deepEqual(placesOf(rest), serverPlaces(of("plain")).filter(({ at }) => at > 16));
      assert.match(of("demo state"), /^server [1-9]/m);
    });

    await t.step("the skeleton is dropped, and the link stays", () => {
      assert.deepEqual(of("demo descriptors").trim().split("\n"), ["anon_inode:bpf_link"]);
    });

    await t.step("a connection takes one program, and only a connection does", () => {
      assert.match(
        of("other attaches"),
        /^failed 16: .*has a program already\nfailed 9: .*no open FUSE device\n$/,
      );
      assert.match(of("state after them"), /^attached 1$/m);
    });

    await t.step("another mount is untouched", () => {
      assert.deepEqual(rows("other mount"), []);
    });

    await t.step("unmount and kill -9 detach", () => {
      assert.match(of("state unmounted"), /^attached 0$/m);
      assert.match(of("arguments state"), /^attached 1$/m);
      assert.match(of("state killed"), /^attached 0$/m);
    });

    await t.step("begin, end and ioend get the right arguments", () => {
      assert.equal(of("arguments said"), "");
      // ret, offset, length, addr = nodeid, type, flags, dev = opflags, write.type
      assert.equal(of("begin"), `1 8192 16384 ${of("inode").trim()} 2 0 1025 255\n`);
      assert.equal(of("end"), "1\n");
      assert.equal(of("end other"), "0\n");
      assert.equal(of("ioend"), `1 ${4096 + 2 * 8192 + 3 * 123456789012}\n`);
      assert.equal(of("ioend other"), "0 0\n");
      assert.match(of("arguments state"), generation === 2 ? /^kfunc 2$/m : /^kfunc 0$/m);
    });

    await t.step(
      "extents: FIEMAP shows what fuse4fs extents shows, without asking the server",
      () => {
        // The server before was killed.
        assert.match(of("extents said"), /^(fuse4fs: .* replayed \d+ transactions .*\n)?$/);
        const found = placesOf(rows("extents"));
        assert.deepEqual(found, extentPlaces(of("extents json")));
        assert.deepEqual(found, serverPlaces(of("extents server")));
        assert.equal(found.length, FILE_BLOCKS - (HOLE.end - HOLE.start));
        assert.equal(serverCalls(of("extents state")), serverCalls(of("extents state before")));
      },
    );

    await t.step("extents: reads are answered, writes and unknown files are not", () => {
      const [first] = rows("extents");
      const address = first.physical * BLOCK_SIZE;
      assert.equal(of("read"), `1 0 ${first.length * BLOCK_SIZE} ${address} 2 0 0 255\n`);
      assert.match(of("read of the hole"), /^1 409600 86016 \d+ 0 0 0 255\n$/);
      assert.match(of("read behind the end"), /^1 .* 0 0 0 255\n$/);
      assert.match(of("write"), /^0 /);
      assert.match(of("read of another file"), /^0 /);
    });

    for (const change of ["truncated", "punched", "written", "removed and reused"]) {
      await t.step(`extents: right after a file was ${change}`, () => {
        const found = placesOf(rows(change));
        assert.deepEqual(found, serverPlaces(of(`${change} server`)));
        assert.ok(found.length > 0);
        const [before, after] = [`${change} state before`, `${change} state`].map(of);
        assert.equal(serverCalls(after), serverCalls(before), "answered by the program");
      });
    }

    await t.step("extents: the file system is in order afterwards", () => {
      assert.match(of("e2fsck"), /^exit 0$/m);
    });

    if (generation !== 2) return;
    await t.step("what goes wrong is told in one line, and the mount works", () => {
      for (const [name, words] of Object.entries(COMPLAINTS)) {
        const lines = of(`bad ${name}`).trimEnd().split("\n");
        assert.equal(lines.length, 2, lines.join("\n"));
        assert.match(lines[0], /^fuse4fs: warning: mounting without the BPF program /);
        assert.match(lines[0], words, name);
        assert.equal(lines[1], `works ${FILE_SIZE}`);
      }
    });

    await t.step("bpf_required: no mount without the program", () => {
      assert.match(of("required"), /^fuse4fs: .*rejects program bad_begin.*\nexit 32\n$/);
    });
  });
}

/** What is said of each of the programs that makePrograms makes, and of a missing clang. */
const COMPLAINTS: Readonly<Record<string, RegExp>> = {
  "no-clang": /no \/nonexistent\/clang to compile BPF programs: install clang/,
  "syntax.c": /Cannot compile .*syntax\.c: .*syntax\.c:3:\d+: error: /,
  "rejected.c": /The kernel's verifier rejects program bad_begin: /,
  "cut.o": /cut off/,
};

const HEAD = "#include <fuse_iomap_bpf.h>\nDECLARE_GPL2_LICENSE_FOR_FUSE_IOMAP_BPF;\n";
const BEGIN = "FUSE_IOMAP_BEGIN_BPF_FUNC(bad_begin)\n";

/** Programs that are no good, each in another way. The folder of them. */
async function makePrograms(folder: TempDir): Promise<string> {
  const programs = folder.mkdir("programs");
  const ops = (name: string) =>
    `DEFINE_FUSE_IOMAP_BPF_OPS(${name}, "bad", (void *)bad_begin, NULL, NULL);\n`;
  const sources = {
    "syntax.c": `${HEAD}this is no C\n`,
    // It reads what is not there.
    "rejected.c": `${HEAD}${BEGIN}{ return *(u64 *)(pos + 8) ? FIB_HANDLED : FIB_FALLBACK; }\n` +
      ops("bad_ops"),
  };
  for (const [name, text] of Object.entries(sources)) {
    Deno.writeTextFileSync(`${programs}/${name}`, text);
  }
  const whole = `${programs}/whole.o`;
  await run("clang", ["--target=bpf", "-g", "-c", "-x", "c", "-", "-o", whole], {
    input: "int i;",
  });
  Deno.writeFileSync(`${programs}/cut.o`, Deno.readFileSync(whole).subarray(0, 300));
  return programs;
}

async function makeImage(folder: TempDir): Promise<string> {
  const content = folder.mkdir("content");
  Deno.writeFileSync(`${content}/big`, new Uint8Array(FILE_SIZE).fill(1));
  const image = folder.join("image");
  await run("mke2fs", [
    ...["-q", "-t", "ext4", "-b", String(BLOCK_SIZE), "-d", content, image, "64M"],
  ]);
  const { start, end } = HOLE;
  await run("debugfs", ["-w", "-R", `punch big ${start} ${end - 1}`, image]);
  return image;
}

/** Where each block of a file is, whatever the extents are that tell it. */
interface Place {
  readonly at: number;
  readonly place: number;
  readonly unwritten: boolean;
}

function placesOf(rows: readonly FilefragRow[]): Place[] {
  return rows.flatMap(({ logical, physical, length, flags }) =>
    Array.from({ length }, (_, block) => ({
      at: logical + block,
      place: physical + block,
      unwritten: flags.includes("unwritten"),
    }))
  );
}

/** The same, of what `fuse4fs extents --json` printed. */
function extentPlaces(json: string): Place[] {
  const { extents } = JSON.parse(json) as {
    extents: { kind: string; fileBlock: number; physicalBlock: number; count: number }[];
  };
  return extents.flatMap(({ kind, fileBlock, physicalBlock, count }) =>
    Array.from({ length: count }, (_, block) => ({
      at: fileBlock + block,
      place: physicalBlock + block,
      unwritten: kind === "unwritten",
    }))
  );
}

/** The same, of what fibmap.c printed: FIBMAP does not tell what is unwritten, and nothing here is. */
function serverPlaces(text: string): Place[] {
  return [...text.matchAll(/^(\d+) (\d+)$/gm)].map(([, at, place]) => ({
    at: Number(at),
    place: Number(place),
    unwritten: false,
  }));
}

/** How often the module had to ask the server. */
function serverCalls(state: string): number {
  return Number(/^server (\d+)$/m.exec(state)?.[1]);
}
