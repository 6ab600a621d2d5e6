/**
 * All commands with their arguments and options, defined once: parsing, help, the man page
 * (man.ts) and the shell completion (completion.ts) all read this. What a command does is in the
 * file of its name, which is loaded only when the command runs, so that a mount starts quickly.
 */

import { Argument, Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { parseNumber, parseSize } from "../mount/option_list.ts";
import { FsError } from "../sys/fs_error.ts";
import { addBpfCommands } from "./bpf_commands.ts";
import { VERSION } from "./build_info.ts";
import type { ImageCommandOptions } from "./image_access.ts";
import { jsonOption } from "./json_option.ts";
import type { LsOptions } from "./ls.ts";
import { mountOptionsHelp } from "./mount_options_help.ts";
import type { MountCommandOptions } from "./mount.ts";
import { SHELLS } from "./shells.ts";
import type { StatOptions } from "./stat.ts";
import type { UmountOptions } from "./umount.ts";
import { printVersions } from "./version.ts";

const SUMMARY = "serve ext2, ext3 and ext4 file systems through FUSE";

/**
 * The program with all its commands.
 * @param args what it will be given, for a mount that goes on in the background
 */
export function buildProgram(args: readonly string[] = []): Command {
  const program = new Command("fuse4fs")
    .description(
      `Mounts ext2, ext3 and ext4 file systems without the kernel's driver, and looks ` +
        `into them without mounting.`,
    )
    .summary(SUMMARY)
    .usage("DEVICE MOUNTPOINT [-o OPTION,...] [-f] [-d] [-s]\n       fuse4fs COMMAND ...")
    .helpOption("-h, --help", "show this help")
    .helpCommand("help [command]", "show the help of a command")
    .configureOutput({
      outputError: (text, write) => write(text.replace(/^error: /, "fuse4fs: ")),
    })
    .exitOverride()
    .addOption(new Option("-V, --version", "show the versions of fuse4fs, libfuse and Deno"))
    .on("option:version", showVersion)
    .addHelpText("after", mountOptionsHelp);
  addMountCommands(program, args);
  addImageCommands(program);
  addBpfCommands(program);
  addOtherCommands(program);
  return program;
}

function addMountCommands(program: Command, args: readonly string[]): void {
  program.command("mount", { isDefault: true })
    .summary("mount an image or device; the same as no command at all")
    .description("Mounts a file system and serves it in the background.")
    .addArgument(fileArgument("DEVICE", "block device or image file"))
    .addArgument(directoryArgument("MOUNTPOINT", "directory to mount at"))
    .addOption(
      new Option("-o, --options <options>", "mount options, parted by commas; may be repeated")
        .argParser((value: string, previous?: string[]) => [...previous ?? [], value]),
    )
    .option("-f, --foreground", "stay in the foreground")
    .option("-d, --debug", "print every request; stays in the foreground")
    .option("-s, --single", "serve with one thread, which is always so")
    .addHelpText("after", mountOptionsHelp)
    .action(async (device: string, mountpoint: string, options: MountCommandOptions) => {
      const { mount } = await import("./mount.ts");
      await mount(device, mountpoint, options, args);
    });

  program.command("umount")
    .summary("unmount, and wait until the server has closed the image")
    .description("Unmounts, and returns when the server has ended and the image is closed.")
    .addArgument(directoryArgument("MOUNTPOINT", "where the file system is mounted"))
    .addOption(jsonOption("print a receipt as JSON"))
    .action(async (mountpoint: string, options: UmountOptions) => {
      const { umount } = await import("./umount.ts");
      await umount(mountpoint, options);
    });

  program.command("sync")
    .summary("make durable what was written to a mount")
    .description("Returns when all that was written to the mount is on the disk.")
    .addArgument(directoryArgument("MOUNTPOINT", "where the file system is mounted"))
    .action(async (mountpoint: string) => {
      const { sync } = await import("./sync.ts");
      sync(mountpoint);
    });
}

function addImageCommands(program: Command): void {
  imageCommand(program, "info")
    .summary("tell what the superblock and the journal of an image say")
    .description("Prints what the superblock and the journal say, as dumpe2fs -h does.")
    .action(async (image: string, options: ImageCommandOptions) => {
      const { info } = await import("./info.ts");
      info(image, options);
    });

  imageCommand(program, "ls")
    .summary("list directories of an image")
    .description("Lists a directory, or names a file, without mounting.")
    .addArgument(new Argument("[path]", "path in the image, or <INODE>").default("/"))
    .option("-l, --long", "with mode, links, owner, size and time")
    .option("-R, --recursive", "with all directories below")
    .action(async (image: string, path: string, options: LsOptions) => {
      const { ls } = await import("./ls.ts");
      if (!ls(image, path, options)) Deno.exitCode = 1;
    });

  imageCommand(program, "stat")
    .summary("tell what an inode of an image says")
    .description("Prints owner, mode, size, times, flags and extended attributes of a file.")
    .addArgument(pathArgument())
    .option("-L, --dereference", "look at what a symbolic link leads to")
    .action(async (image: string, path: string, options: StatOptions) => {
      const { stat } = await import("./stat.ts");
      stat(image, path, options);
    });

  imageCommand(program, "cat", { json: false })
    .summary("print the content of files of an image")
    .description("Prints the content of files without mounting.")
    .addArgument(new Argument("<path...>", "paths in the image, or <INODE>"))
    .action(async (image: string, paths: string[], options: ImageCommandOptions) => {
      const { cat } = await import("./cat.ts");
      cat(image, paths, options);
    });

  imageCommand(program, "extents")
    .summary("tell where the data of a file lies in the image")
    .description("Prints the extents of a file, as filefrag -v does of a mounted one.")
    .addArgument(pathArgument())
    .action(async (image: string, path: string, options: ImageCommandOptions) => {
      const { extents } = await import("./extents.ts");
      extents(image, path, options);
    });
}

function addOtherCommands(program: Command): void {
  program.command("doctor")
    .summary("tell what this machine has and lacks, and what to do about it")
    .description("Checks everything that fuse4fs needs or can use, with a trial mount.")
    .addOption(jsonOption())
    .action(async (options: { json?: boolean }) => {
      const { doctor } = await import("./doctor.ts");
      if (!await doctor(options)) Deno.exitCode = 1;
    });

  program.command("completion")
    .summary("print a completion script for a shell")
    .description("Prints a completion script, for example: source <(fuse4fs completion bash)")
    .addArgument(new Argument("<shell>", "the shell").choices(SHELLS))
    .action(async (shell: string) => {
      const { completion } = await import("./completion.ts");
      completion(program, shell);
    });

  program.command("man")
    .summary("print the man page")
    .description("Prints the man page, for example: fuse4fs man | man -l -")
    .action(async () => {
      const { man } = await import("./man.ts");
      man(program);
    });
}

/** A command that looks into an image: all of them take the same options. */
function imageCommand(program: Command, name: string, { json = true } = {}): Command {
  const command = program.command(name)
    .addArgument(fileArgument("IMAGE", "block device or image file"))
    .addOption(
      new Option("--partition <number>", "look into this partition of a disk image")
        .argParser(checked((text) => parseNumber("--partition", text, 1)))
        .conflicts("offset"),
    )
    .addOption(
      new Option("--offset <bytes>", "the file system starts here; k, m, g and t are units")
        .argParser(checked((text) => parseSize("--offset", text))),
    )
    .addOption(
      new Option("--sb <block>", "use the backup superblock in this block")
        .argParser(checked((text) => parseNumber("--sb", text))),
    )
    .option("--journal <path>", "device or image with the external journal")
    .option("--no-recovery", "leave out what a dirty journal would add");
  return json ? command.addOption(jsonOption()) : command;
}

function pathArgument(): Argument {
  return new Argument("<path>", "path in the image, or <INODE>");
}

/** Names in capitals stand for paths of this system, which shells complete. */
function fileArgument(name: "DEVICE" | "IMAGE", text: string): Argument {
  return new Argument(`<${name}>`, text);
}

function directoryArgument(name: "MOUNTPOINT", text: string): Argument {
  return new Argument(`<${name}>`, text);
}

/** Has a parser's FsError reported as a wrong argument. */
function checked(parse: (text: string) => number): (text: string) => number {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      if (error instanceof FsError) throw new InvalidArgumentError(error.message);
      throw error;
    }
  };
}

function showVersion(): never {
  printVersions(VERSION);
  throw new CommanderError(0, "commander.version", "");
}
