/** What the virtual machine of tests/bpf_vm_test.ts does, and how its output is read. */

import { FUSE4FS } from "./mount.ts";

const ATTACH = new URL("../vm/attach.ts", import.meta.url).pathname;
const ARGUMENTS = new URL("../vm/arguments.bpf.c", import.meta.url).pathname;

export interface GuestOptions {
  /** The command that loads the module. */
  readonly insmod: string;
  /** An image to mount beside /dev/vda. */
  readonly other: string;
  /** Path of the libbpf for attach.ts. */
  readonly libbpf: string;
  /** The compiled fibmap.c. */
  readonly fibmap: string;
  /** Folder with programs that are no good. */
  readonly programs: string;
  readonly withBadInput: boolean;
}

/** A shell script whose output is in sections, each behind a line `== NAME`. */
export function guestScript(options: GuestOptions): string {
  return [HELPERS, setUp(options), demo(options), ARGUMENTS_PART, extents(options)].join("\n") +
    (options.withBadInput ? badInput(options) : "");
}

const HELPERS = `
set -e
export DENO_DIR=/var/tmp/deno
bench=/sys/kernel/debug/fuse_iomap_bpf
section() { echo "== $1"; }
state() { section "$1"; cat $bench/state; }
ask() { section "$1"; echo "$2" >$bench/call; cat $bench/call; }
# The processes that have a FUSE connection, the newest last.
servers() {
  for folder in /proc/[0-9]*; do
    ls -l $folder/fd 2>/dev/null | grep -q ' /dev/fuse$' && echo \${folder#/proc/}
  done | sort -n
}
# serve NAME DEVICE OPTIONS: a mount at /mnt/NAME by $server
serve() {
  mkdir -p /mnt/$1
  ${FUSE4FS} $2 /mnt/$1 -o $3 2>/var/tmp/said
  server=$(servers | tail -n 1)
}
# Detaching is done when the last file of a process that was killed is closed.
await_end() { for i in $(seq 100); do test -d /proc/$1 || return 0; sleep 0.1; done; }
`;

function setUp({ insmod }: GuestOptions): string {
  return `
${insmod}
section probe
${FUSE4FS} bpf probe --json
`;
}

function demo({ other, libbpf, fibmap }: GuestOptions): string {
  return `
serve a /dev/vda bpf_crap
section "demo said"; cat /var/tmp/said
section demo; filefrag -v /mnt/a/big
state "demo state"
section "demo descriptors"
ls -l /proc/$server/fd | grep -o 'anon_inode:bpf.*' || true
demo_server=$server
section plain; ${fibmap} /mnt/a/big
# To the connection that has a program, and to this shell, which has none.
section "other attaches"
${Deno.execPath()} run --allow-all --no-check --no-lock --no-config ${ATTACH} \\
  demo ${libbpf} $demo_server $$
state "state after them"
serve b ${other} ro
section "other mount"; filefrag -v /mnt/b/big || true
umount /mnt/b
umount /mnt/a; await_end $demo_server
state "state unmounted"
`;
}

const ARGUMENTS_PART = `
serve a /dev/vda iomap_bpf=${ARGUMENTS}
section "arguments said"; cat /var/tmp/said
exec 5</mnt/a/big
section inode; stat -c %i /mnt/a/big
ask begin "begin 5 8192 16384 1025"
ask end "end 5 45056 49152 -5 1"
ask "end other" "end 5 45056 49152 5 1"
ask ioend "ioend 5 4096 8192 2 -28 3 123456789012"
ask "ioend other" "ioend 5 4096 8192 3 -28 3 123456789012"
state "arguments state"
exec 5<&-
kill -9 $server; await_end $server
state "state killed"
umount -l /mnt/a
`;

function extents({ fibmap }: GuestOptions): string {
  return `
# compare NAME PATH: what FIEMAP says, and what FIBMAP says, which asks the server
compare() {
  sync /mnt/a$2
  state "$1 state before"
  section "$1"; filefrag -v /mnt/a$2
  state "$1 state"
  section "$1 server"; ${fibmap} /mnt/a$2
}
serve a /dev/vda iomap_bpf=extents
section "extents said"; cat /var/tmp/said
compare extents /big
section "extents json"; ${FUSE4FS} extents /dev/vda /big --json 2>/dev/null
exec 5</mnt/a/big
ask read "begin 5 4096 4096 0"
ask "read of the hole" "begin 5 413696 4096 0"
ask "read behind the end" "begin 5 100000000 4096 0"
ask write "begin 5 4096 4096 1"
exec 6</mnt/a/lost+found
ask "read of another file" "begin 6 4096 4096 0"
exec 6<&-
truncate -s 300000 /mnt/a/big
compare truncated /big
fallocate -p -o 8192 -l 16384 /mnt/a/big
compare punched /big
dd if=/dev/urandom of=/mnt/a/big bs=4096 count=40 seek=3 conv=notrunc 2>/dev/null
compare written /big
exec 5<&-
rm /mnt/a/big; sync /mnt/a
dd if=/dev/urandom of=/mnt/a/new bs=4096 count=250 2>/dev/null
compare "removed and reused" /new
umount /mnt/a; await_end $server
section e2fsck
code=0; e2fsck -fn /dev/vda || code=$?; echo "exit $code"
`;
}

function badInput({ programs }: GuestOptions): string {
  return `
cp ${programs}/../other /var/tmp/image
programs=${programs}
# try NAME OPTIONS: a mount that says what is wrong with its program, and works
try() {
  section "bad $1"
  serve bad /var/tmp/image ro,$2
  cat /var/tmp/said
  echo "works $(stat -c %s /mnt/bad/big)"
  umount /mnt/bad; await_end $server
}
try no-clang bpf_crap,bpf_clang=/nonexistent/clang
for program in syntax.c rejected.c cut.o; do
  try $program iomap_bpf=$programs/$program
done
section required
code=0
${FUSE4FS} /var/tmp/image /mnt/bad -o ro,bpf_required,iomap_bpf=$programs/rejected.c 2>&1 || code=$?
echo "exit $code"
`;
}

/** What Deno may say when the machine is slow, which has nothing to do with fuse4fs. */
const OF_DENO = /^Failed to open cache file .*\n/gm;

/** Sections by their names. */
export function sections(output: string): Map<string, string> {
  const text = output.replace(OF_DENO, "");
  const found = new Map<string, string>();
  for (const part of text.split(/^== /m).slice(1)) {
    const end = part.indexOf("\n");
    if (!found.has(part.slice(0, end))) found.set(part.slice(0, end), part.slice(end + 1));
  }
  return found;
}

/** A row of filefrag -v, in blocks. */
export interface FilefragRow {
  readonly logical: number;
  readonly physical: number;
  readonly length: number;
  readonly flags: string;
}

/** `   0:        0..       0:         99..        99:      1:             unwritten` */
export function filefragRows(text: string): FilefragRow[] {
  const row = /^ +\d+: +(\d+)\.\. +\d+: +(\d+)\.\. +\d+: +(\d+):(?: +\d+:)?(.*)$/gm;
  return [...text.matchAll(row)].map(([, logical, physical, length, flags]) => ({
    logical: Number(logical),
    physical: Number(physical),
    length: Number(length),
    flags: flags.trim().replace(/^(last|eof)?,?(eof)?$/, ""),
  }));
}
