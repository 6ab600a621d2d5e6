/** `fuse4fs man`: the man page, in the language of man(7), from the definitions in program.ts. */

import type { Argument, Command, Option } from "commander";
import { VERSION } from "./build_info.ts";
import { groupedOptions, spelling } from "./mount_options_help.ts";
import { print } from "./output.ts";

export function man(program: Command): void {
  print(manPage(program));
}

/** The page as text. */
function manPage(program: Command): string {
  return [
    `.TH FUSE4FS 1 "" "fuse4fs ${VERSION}" "User Commands"`,
    ...section("NAME", [`fuse4fs \\- ${escape(program.summary())}`]),
    ...section("SYNOPSIS", synopsis(program)),
    ...section("DESCRIPTION", paragraphs(DESCRIPTION)),
    ...section("COMMANDS", leafCommands(program).flatMap(commandEntry)),
    ...section("MOUNT OPTIONS", mountOptions()),
    ...section("EXIT STATUS", EXIT_STATUS.flatMap(([code, text]) => tagged(code, text))),
    ...section("EXAMPLES", EXAMPLES.flatMap(([line, text]) => tagged(bold(line), text))),
    ...section("SEE ALSO", ["ext4(5), fusermount3(1), mount(8), dumpe2fs(8), e2fsck(8)"]),
    "",
  ].join("\n");
}

const DESCRIPTION = [
  "fuse4fs mounts ext2, ext3 and ext4 file systems from block devices and image files through " +
  "FUSE, without the kernel's ext4 driver and, where fusermount3 is installed, without " +
  "privileges. A mount is served in the background; the command returns when the mount answers.",
  "A mount never writes to its image: a dirty journal is replayed in memory.",
  "The commands that look into an image need no mount and no privileges. In place of a path in " +
  "the image they take an inode number in angle brackets, such as <12>.",
  "It also works as mount -t fuse.fuse4fs DEVICE MOUNTPOINT -o OPTIONS, and from /etc/fstab.",
];

const EXIT_STATUS = [
  ["0", "success"],
  ["1", "wrong usage, or an image that cannot be used"],
  ["2", "the system lacks something"],
  ["4", "an error in fuse4fs itself"],
  ["8", "interrupted"],
  ["32", "the mount or unmount failed"],
] as const;

const EXAMPLES = [
  ["fuse4fs disk.img /mnt -o ro", "Mount an image file."],
  ["fuse4fs disk.img /mnt -o ro,partition=2", "Mount the second partition of a disk image."],
  ["fuse4fs umount /mnt", "Unmount, and wait until the image is closed."],
  ["fuse4fs ls -lR disk.img /etc", "List a directory of an image without mounting it."],
] as const;

function synopsis(program: Command): string[] {
  const bare = `${bold("fuse4fs")} ${italic("DEVICE MOUNTPOINT")} [${bold("-o")} ` +
    `${italic("OPTION")},...] [${bold("-f")}] [${bold("-d")}] [${bold("-s")}]`;
  return [bare, ...leafCommands(program).flatMap((command) => [".br", usage(command)])];
}

/** The commands that do something, each below the ones that only lead to others. */
function leafCommands(program: Command): Command[] {
  return program.commands.flatMap((command) =>
    command.commands.length > 0 ? leafCommands(command) : [command]
  );
}

/** `bpf probe` */
function fullName(command: Command): string {
  const { parent } = command;
  return parent?.parent ? `${fullName(parent)} ${command.name()}` : command.name();
}

function usage(command: Command): string {
  const words = command.registeredArguments.map(argumentWord);
  const options = command.options.length > 0 ? ["[OPTION...]"] : [];
  return [bold(`fuse4fs ${fullName(command)}`), ...options, ...words.map(italic)].join(" ");
}

function argumentWord(argument: Argument): string {
  const name = argument.name().toUpperCase() + (argument.variadic ? "..." : "");
  return argument.required ? name : `[${name}]`;
}

function commandEntry(command: Command): string[] {
  return [
    `.SS ${usage(command)}`,
    escape(command.description()),
    ...command.registeredArguments.flatMap((argument) =>
      tagged(italic(argument.name().toUpperCase()), argument.description + choices(argument))
    ),
    ...command.options.flatMap((option) => tagged(optionTag(option), option.description)),
  ];
}

function choices({ argChoices }: Argument): string {
  return argChoices === undefined ? "" : `: ${argChoices.join(", ")}`;
}

/** `-o, --options <options>` with its parts in bold and italics. */
function optionTag({ flags }: Option): string {
  return flags.split(" ").map((word) =>
    word.startsWith("-") ? bold(word) : italic(word.replace(/^<(.*)>$/, "$1").toUpperCase())
  ).join(" ");
}

function mountOptions(): string[] {
  return groupedOptions().flatMap(({ heading, rows }) => [
    `.SS ${escape(heading)}`,
    ...rows.flatMap((row) => tagged(bold(spelling(row)), row.doc)),
  ]);
}

function section(title: string, lines: readonly string[]): string[] {
  return [`.SH ${title}`, ...lines];
}

function paragraphs(texts: readonly string[]): string[] {
  return texts.flatMap((text, index) => index === 0 ? [escape(text)] : [".PP", escape(text)]);
}

function tagged(tag: string, text: string): string[] {
  return [".TP", tag, escape(text)];
}

function bold(text: string): string {
  return `\\fB${escape(text)}\\fR`;
}

function italic(text: string): string {
  return `\\fI${escape(text)}\\fR`;
}

/** Keeps hyphens as they are typed, and lines from being taken for requests. */
function escape(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replace(/^[.']/, "\\&$&");
}
