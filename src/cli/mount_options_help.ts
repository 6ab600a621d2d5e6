/** The mount options in texts that are made from their table: the help, the man page, the docs. */

import { type MountOption, OPTION_GROUPS, type OptionGroup } from "../mount/mount_option.ts";
import { MOUNT_OPTIONS } from "../mount/option_table.ts";

/** Ends the help: the options that do something, a line each. */
export function mountOptionsHelp(): string {
  const lines = ["", "Mount options, for -o:"];
  for (const row of MOUNT_OPTIONS) {
    if (row.effect === "apply") lines.push(`  ${spelling(row).padEnd(28)} ${row.doc}`);
  }
  lines.push(
    "",
    "Options of libfuse and of the kernel's ext4 are accepted as well: `fuse4fs man`.",
  );
  return lines.join("\n");
}

/** `norecovery, noload`, `offset=BYTES`, `barrier[=0|1]` */
export function spelling(row: MountOption): string {
  return row.names.map((name) => spellOne(row, name)).join(", ");
}

function spellOne({ argument, argumentIsOptional }: MountOption, name: string): string {
  if (argument === undefined) return name;
  return argumentIsOptional ? `${name}[=${argument}]` : `${name}=${argument}`;
}

/** The groups in their order, each with its rows. */
export function groupedOptions(): { heading: string; group: OptionGroup; rows: MountOption[] }[] {
  return Object.entries(OPTION_GROUPS).map(([key, heading]) => {
    const group = key as OptionGroup;
    return { heading, group, rows: MOUNT_OPTIONS.filter((row) => row.group === group) };
  });
}

/** docs/options.md */
export function optionsDocument(): string {
  const sections = groupedOptions().map(({ heading, group, rows }) => {
    const column = group === "ignored" ? "Why it has none" : "What it does";
    const lines = rows.map((row) =>
      `| ${code(spelling(row))} | ${row.doc.replaceAll("|", "\\|")} |`
    );
    return [`## ${heading}`, "", `| Option | ${column} |`, "| --- | --- |", ...lines, ""].join(
      "\n",
    );
  });
  return [
    "# Mount options",
    "",
    "All options of `fuse4fs DEVICE MOUNTPOINT -o OPTION,...`. Of options that contradict each other",
    "the last one counts; an option that is not listed here is an error. A comma or backslash inside",
    "a value is written with a backslash before it.",
    "",
    "This page is made from the table in `src/mount/option_table.ts`: `UPDATE_DOCS=1 deno task test",
    "tests/mount_options_test.ts` writes it anew.",
    "",
    ...sections,
  ].join("\n");
}

/** Each of the spellings as code; a bar would end the cell of the table. */
function code(spellings: string): string {
  return spellings.split(", ").map((one) => `\`${one.replaceAll("|", "\\|")}\``).join(", ");
}
