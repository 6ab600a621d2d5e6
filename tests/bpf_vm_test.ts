/**
 * iomap BPF programs in a kernel that asks them: Debian's 6.12 in a virtual machine, with a module
 * that gives it an interface like the one of the RFC (tests/vm/module). Both generations.
 */

import assert from "node:assert/strict";
import { fuse4fsJson } from "./support/command_line.ts";
import { libbpfForTests } from "./support/libbpf.ts";
import { FUSE4FS } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";
import { Vm } from "./support/vm.ts";
import { buildIomapModule } from "./support/vm_module.ts";

const ATTACH = new URL("./vm/attach.ts", import.meta.url).pathname;
const ARGUMENTS = new URL("./vm/arguments.bpf.c", import.meta.url).pathname;

const BLOCK_SIZE = 4096;
const FILE_SIZE = 1_000_000;

/** What the tests of a generation look at: all from one run of the virtual machine. */
for (const generation of [1, 2] as const) {
  Deno.test(`iomap BPF, generation ${generation}: attach, FIEMAP, arguments, detach`, async (t) => {
    if (!requires("root", "fuse", "executable", "e2fsprogs", "clang", "make")) return;
    const libbpf = await libbpfForTests();
    const vm = await Vm.prepare();
    if (vm === undefined || libbpf === undefined) return;
    using folder = new TempDir();
    const image = await makeImage(folder);
    const module = await buildIomapModule(vm.packages, generation, folder);
    const { ino, extents } = await extentsOf(image);
    const result = await vm.run(
      guestScript({
        insmod: `${vm.packages.root}/bin/busybox insmod ${module}`,
        image,
        libbpf,
        published: JSON.stringify([[ino, extents]]),
        withdrawn: JSON.stringify([[ino, null]]).replace("null", "[]"),
      }),
      { seconds: 300 },
    );
    assert.equal(result.code, 0, result.stdout + result.console);
    const said = sections(result.stdout);

    await t.step("bpf probe tells the generation", () => {
      assert.deepEqual(JSON.parse(said.get("probe") ?? "").kernel.iomapBpf, {
        generation,
        module: "fuse_iomap_bpf_bench",
      });
    });

    await t.step("demo: FIEMAP shows 17 made-up blocks, the rest is left to the server", () => {
      assert.equal(said.get("demo attach"), "attached fuse4fs_demo\n");
      const rows = filefragRows(said.get("demo") ?? "");
      for (let block = 0; block < 17; block++) {
        const flags = block % 2 === 1 ? "unwritten" : "";
        assert.deepEqual(rows[block], { logical: block, physical: 99 + block, length: 1, flags });
      }
      assert.equal(rows.length, 18);
      assert.equal(rows[17].logical, 17);
      assert.match(rows[17].flags, /delalloc/);
    });

    await t.step("a connection takes one program, and only a connection does", () => {
      assert.match(said.get("second attach") ?? "", /^failed: .*has a program already\n$/);
      assert.match(said.get("foreign attach") ?? "", /^failed: .*no open FUSE device\n$/);
    });

    await t.step("another mount is untouched", () => {
      assert.deepEqual(filefragRows(said.get("other mount") ?? ""), []);
    });

    await t.step("detached: nothing is answered any more, with and without warning", () => {
      assert.match(said.get("state attached") ?? "", /^attached 1$/m);
      assert.match(said.get("state detached") ?? "", /^attached 0$/m);
      assert.deepEqual(filefragRows(said.get("detached") ?? ""), []);
      assert.match(said.get("state killed") ?? "", /^attached 0$/m);
    });

    await t.step("begin, end and ioend get the right arguments", () => {
      assert.equal(said.get("arguments attach"), "attached arguments\n");
      // ret, offset, length, addr = nodeid, type, flags, dev = opflags, write.type
      assert.equal(said.get("begin"), `1 8192 16384 ${ino} 2 0 1025 255\n`);
      assert.equal(said.get("end"), "1\n");
      assert.equal(said.get("end other"), "0\n");
      assert.equal(said.get("ioend"), `1 ${4096 + 2 * 8192 + 3 * 123456789012}\n`);
      assert.equal(said.get("ioend other"), "0 0\n");
      assert.match(
        said.get("state arguments") ?? "",
        generation === 2 ? /^kfunc 2$/m : /^kfunc 0$/m,
      );
    });

    await t.step("extents: FIEMAP shows what was published", () => {
      assert.equal(said.get("extents attach"), "attached fuse4fs_extents\n");
      const mapped = extents.filter(({ address }) => address !== undefined);
      assert.deepEqual(
        filefragRows(said.get("extents") ?? "").map(({ logical, physical, length }) => ({
          offset: logical * BLOCK_SIZE,
          address: physical * BLOCK_SIZE,
          length: length * BLOCK_SIZE,
        })),
        mapped.map(({ offset, address, length }) => ({ offset, address, length })),
      );
    });

    await t.step("extents: reads are answered, writes and what is not there are not", () => {
      const [first] = extents;
      assert.equal(
        said.get("read"),
        `1 ${first.offset} ${first.length} ${first.address} 2 0 1 255\n`,
      );
      assert.match(said.get("write") ?? "", /^0 /);
      assert.match(said.get("read behind") ?? "", /^0 /);
      assert.match(said.get("withdrawn") ?? "", /^0 /);
    });
  });
}

async function makeImage(folder: TempDir): Promise<string> {
  const content = folder.mkdir("content");
  Deno.writeFileSync(`${content}/big`, new Uint8Array(FILE_SIZE).fill(1));
  const image = folder.join("image");
  await run("mke2fs", [
    ...["-q", "-t", "ext4", "-b", String(BLOCK_SIZE), "-d", content, image, "64M"],
  ]);
  await run("debugfs", ["-w", "-R", "punch big 100 120", image]);
  return image;
}

interface Published {
  readonly offset: number;
  readonly length: number;
  /** Undefined for a hole. */
  readonly address: number | undefined;
  readonly type: number;
}

/** As the file system will publish them: with the holes between them. */
async function extentsOf(image: string): Promise<{ ino: number; extents: Published[] }> {
  const facts = await fuse4fsJson(["extents", image, "/big"]) as {
    ino: number;
    extents: { kind: string; fileBlock: number; physicalBlock: number; count: number }[];
  };
  const extents: Published[] = [];
  let end = 0;
  for (const { fileBlock, physicalBlock, count } of facts.extents) {
    const [offset, length] = [fileBlock * BLOCK_SIZE, count * BLOCK_SIZE];
    if (offset > end) {
      extents.push({ offset: end, length: offset - end, address: undefined, type: 0 });
    }
    extents.push({ offset, length, address: physicalBlock * BLOCK_SIZE, type: 2 });
    end = offset + length;
  }
  assert.equal(extents.length, 3, "two extents and a hole between them");
  return { ino: facts.ino, extents };
}

interface GuestOptions {
  readonly insmod: string;
  readonly image: string;
  readonly libbpf: string;
  /** For attach.ts: what to publish, and how to take it back. */
  readonly published: string;
  readonly withdrawn: string;
}

function guestScript({ insmod, image, libbpf, published, withdrawn }: GuestOptions): string {
  return `
  set -e
  export DENO_DIR=/var/tmp/deno
  bench=/sys/kernel/debug/fuse_iomap_bpf
  section() { echo "== $1"; }
  ask() { echo "$1" >$bench/call; cat $bench/call; }
  wait_for() { for i in $(seq 600); do "$@" 2>/dev/null && return; sleep 0.1; done; return 1; }

  # serve NAME: a mount at /mnt/NAME, whose server is $server
  serve() {
    mkdir -p /mnt/$1
    ${FUSE4FS} ${image} /mnt/$1 -o ro -f >&2 &
    server=$!
    wait_for mountpoint -q /mnt/$1
  }
  # attach NAME PID PROGRAM [PUBLISH]: $attacher detaches when its input, descriptor 7, ends
  attach() {
    name=$1; shift
    mkfifo /var/tmp/in.$name
    ${Deno.execPath()} run --allow-all --no-check --no-lock --no-config ${ATTACH} \\
      "$1" "$2" ${libbpf} "$3" </var/tmp/in.$name >/var/tmp/out.$name &
    attacher=$!
    exec 7>/var/tmp/in.$name
    wait_for test -s /var/tmp/out.$name
    section "$name attach"
    cat /var/tmp/out.$name
  }
  detach() { exec 7>&-; wait $attacher; }

  ${insmod}
  section probe
  ${FUSE4FS} bpf probe --json
  serve a; server_a=$server
  serve b

  attach demo $server_a demo
  section demo
  filefrag -v /mnt/a/big
  section "state attached"
  cat $bench/state
  section "other mount"
  filefrag -v /mnt/b/big
  first=$attacher
  exec 8>&7
  attach second $server_a demo
  wait $attacher || true
  attach foreign $$ demo
  wait $attacher || true
  attacher=$first
  exec 8>&-
  detach
  section "state detached"
  cat $bench/state
  section detached
  filefrag -v /mnt/a/big

  attach arguments $server_a ${ARGUMENTS}
  exec 5</mnt/a/big
  section begin
  ask "begin 5 8192 16384 1025"
  section end
  ask "end 5 45056 49152 -5 1"
  section "end other"
  ask "end 5 45056 49152 5 1"
  section ioend
  ask "ioend 5 4096 8192 2 -28 3 123456789012"
  section "ioend other"
  ask "ioend 5 4096 8192 3 -28 3 123456789012"
  section "state arguments"
  cat $bench/state
  kill -9 $attacher
  wait $attacher || true
  section "state killed"
  cat $bench/state

  attach extents $server_a extents '${published}'
  section extents
  filefrag -v /mnt/a/big
  section read
  ask "begin 5 4096 4096 0"
  section write
  ask "begin 5 4096 4096 1"
  section "read behind"
  ask "begin 5 100000000 4096 0"
  echo '${withdrawn}' >&7
  wait_for grep -q changed /var/tmp/out.extents
  section withdrawn
  ask "begin 5 4096 4096 0"
  detach
  exec 5<&-
  section end
  umount /mnt/a /mnt/b
  `;
}

function sections(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const part of text.split(/^== /m).slice(1)) {
    const end = part.indexOf("\n");
    if (!found.has(part.slice(0, end))) found.set(part.slice(0, end), part.slice(end + 1));
  }
  return found;
}

interface FilefragRow {
  readonly logical: number;
  readonly physical: number;
  readonly length: number;
  readonly flags: string;
}

/** `   0:        0..       0:         99..        99:      1:             unwritten` */
function filefragRows(text: string): FilefragRow[] {
  const row = /^ +\d+: +(\d+)\.\. +\d+: +(\d+)\.\. +\d+: +(\d+):(?: +\d+:)?(.*)$/gm;
  return [...text.matchAll(row)].map(([, logical, physical, length, flags]) => ({
    logical: Number(logical),
    physical: Number(physical),
    length: Number(length),
    flags: flags.trim(),
  }));
}
