/**
 * Tries to attach an iomap BPF program to the FUSE connections of other processes, whose descriptors
 * it takes, and tells what came of it in a line each. For tests in the virtual machine.
 *
 *     attach.ts PROGRAM LIBBPF PID...
 */

import { attachIomapProgram } from "../../src/bpf/attach.ts";
import { parseProgramChoice } from "../../src/bpf/program_choice.ts";
import { FsError } from "../../src/sys/fs_error.ts";

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

const [program, libbpf, ...pids] = Deno.args;
for (const pid of pids) {
  try {
    using attached = attachIomapProgram({
      program: parseProgramChoice(program),
      fuseDescriptor: takeFuseDescriptor(Number(pid)),
      constants: { device: 1, blockSize: 4096 },
      libbpf,
    });
    console.log(`attached ${attached.name}`);
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    console.log(`failed ${error.errno}: ${error.message}`);
  }
}
