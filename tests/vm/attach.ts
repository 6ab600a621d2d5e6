/**
 * Attaches an iomap BPF program to the FUSE connection of another process, whose descriptor it
 * takes, and detaches it when standard input ends. For tests in the virtual machine.
 *
 *     attach.ts PID PROGRAM LIBBPF [PUBLISH]
 *
 * PUBLISH is JSON, an array of [nodeid, extents], for the program extents. A line on standard input
 * is such an array, too, and is published as it comes; without extents, the file is withdrawn.
 */

import { attachIomapProgram } from "../../src/bpf/attach.ts";
import { parseProgramChoice } from "../../src/bpf/program_choice.ts";
import type { PublishedExtent } from "../../src/bpf/extent_table.ts";

const SYS_PIDFD_OPEN = 434n;
const SYS_PIDFD_GETFD = 438n;

const libc = Deno.dlopen("libc.so.6", {
  syscall: { parameters: ["i64", "i64", "i64", "i64"], result: "i64" },
});

/** A descriptor of the same open FUSE device that the server has. */
function takeFuseDescriptor(pid: number): number {
  const folder = `/proc/${pid}/fd`;
  const { name } = [...Deno.readDirSync(folder)].find(({ name }) => {
    try {
      return Deno.readLinkSync(`${folder}/${name}`) === "/dev/fuse";
    } catch {
      return false;
    }
  }) ?? { name: "-1" };
  const pidfd = libc.symbols.syscall(SYS_PIDFD_OPEN, BigInt(pid), 0n, 0n);
  return Number(libc.symbols.syscall(SYS_PIDFD_GETFD, pidfd, BigInt(name), 0n));
}

const [pid, program, libbpf, publish = "[]"] = Deno.args;
try {
  using attached = attachIomapProgram({
    program: parseProgramChoice(program),
    fuseDescriptor: takeFuseDescriptor(Number(pid)),
    constants: { device: 1, blockSize: 4096 },
    libbpf,
  });
  const change = (rows: [number, PublishedExtent[] | undefined][]) => {
    for (const [nodeId, extents] of rows) {
      if (extents === undefined) attached.extents?.withdraw(nodeId);
      else attached.extents?.publish(nodeId, extents);
    }
  };
  change(JSON.parse(publish));
  console.log(`attached ${attached.name}`);
  const lines = Deno.stdin.readable.pipeThrough(new TextDecoderStream());
  let rest = "";
  for await (const text of lines) {
    rest += text;
    while (rest.includes("\n")) {
      const end = rest.indexOf("\n");
      change(JSON.parse(rest.slice(0, end)));
      rest = rest.slice(end + 1);
      console.log("changed");
    }
  }
  attached[Symbol.dispose]();
  console.log("detached");
} catch (error) {
  console.log(`failed: ${(error as Error).message}`);
  Deno.exit(1);
}
