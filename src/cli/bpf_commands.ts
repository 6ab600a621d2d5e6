/** `fuse4fs bpf ...`: the commands around iomap BPF programs, for program.ts. */

import { Argument, type Command, Option } from "commander";
import type { BpfCheckOptions, BpfCompileOptions, BpfSourceOptions } from "./bpf.ts";
import type { BpfProbeOptions } from "./bpf_probe.ts";
import { jsonOption } from "./json_option.ts";

const PROGRAMS = "demo, extents, or the path of a C source";

/** What a program is made with, for the commands that make one. */
function addBuildOptions(command: Command): Command {
  return command
    .option("--clang <path>", "name or path of clang")
    .option("--timeout <seconds>", "longest time for clang", Number, 60)
    .addOption(
      new Option("--bpf-include <path>", "folder of headers for the program; may be repeated")
        .argParser((value: string, previous?: string[]) => [...previous ?? [], value]),
    )
    .option("--vmlinux-h <path>", "the vmlinux.h to use where the program includes it")
    .addOption(
      new Option("--generation <number>", "of the interface; else the kernel's, else the last")
        .choices(["1", "2"]),
    );
}

function imageArgument(): Argument {
  return new Argument("[IMAGE]", "block device or image file whose constants to use");
}

export function addBpfCommands(program: Command): void {
  const bpf = program.command("bpf")
    .summary("write, compile and check iomap BPF programs")
    .description("Works with BPF programs that tell the kernel where the data of files is.");

  bpf.command("probe")
    .summary("tell what kernel, libbpf and clang can do")
    .description("Tells what this machine has, and lacks, to run iomap BPF programs.")
    .option("--clang <path>", "name or path of clang")
    .addOption(jsonOption())
    .action(async (options: BpfProbeOptions) => {
      const { bpfProbe } = await import("./bpf_probe.ts");
      bpfProbe(options);
    });

  bpf.command("source")
    .summary("print the C source of a program")
    .description("Prints the C source of a program, as clang gets it for a mount of the image.")
    .addOption(new Option("--program <name>", PROGRAMS).default("demo"))
    .addArgument(imageArgument())
    .action(async (image: string | undefined, options: BpfSourceOptions) => {
      const { bpfSource } = await import("./bpf.ts");
      bpfSource(image, options);
    });

  addBuildOptions(bpf.command("compile"))
    .summary("compile a program, and tell what came of it")
    .description("Compiles a program and tells what is in the object.")
    .addOption(new Option("--program <name>", PROGRAMS).default("demo"))
    .option("-o, --output <path>", "write the object to this file")
    .addOption(jsonOption())
    .addArgument(imageArgument())
    .action(async (image: string | undefined, options: BpfCompileOptions) => {
      const { bpfCompile } = await import("./bpf.ts");
      bpfCompile(image, options);
    });

  bpf.command("skeleton")
    .summary("tell what is in an object")
    .description("Tells the programs, maps and sections of an object, as its skeleton has them.")
    .addOption(jsonOption())
    .addArgument(new Argument("<FILE>", "object file"))
    .action(async (file: string, options: { json?: boolean }) => {
      const { bpfSkeleton } = await import("./bpf.ts");
      bpfSkeleton(file, options);
    });

  addBuildOptions(bpf.command("check"))
    .summary("have the kernel's verifier look at a program")
    .description("Loads a program, for the verifier to look at, and attaches it to nothing.")
    .option("-d, --debug", "print all that clang or the verifier says")
    .addOption(jsonOption())
    .addArgument(new Argument("<FILE>", `${PROGRAMS} or of an object`))
    .action(async (file: string, options: BpfCheckOptions) => {
      const { bpfCheck } = await import("./bpf.ts");
      bpfCheck(file, options);
    });
}
