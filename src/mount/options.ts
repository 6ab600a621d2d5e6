/** From the values of -o to the settings of a mount. */

import { fail } from "../sys/fs_error.ts";
import { splitOptionList } from "./option_list.ts";
import type { MountOption } from "./mount_option.ts";
import { MOUNT_OPTIONS } from "./option_table.ts";
import { defaultSettings, type Draft, type MountSettings } from "./settings.ts";

const BY_NAME = new Map(MOUNT_OPTIONS.flatMap((row) => row.names.map((name) => [name, row])));

/**
 * The settings of a mount from its option lists, the value of each `-o` in order. Of options that
 * contradict each other the last one counts. Throws EINVAL and names the option that is wrong.
 */
export function parseMountOptions(lists: readonly string[]): MountSettings {
  const settings = defaultSettings();
  for (const option of lists.flatMap(splitOptionList)) applyOption(settings, option);
  if (settings.offset !== undefined && settings.partition !== undefined) {
    throw fail("EINVAL", "Mount options offset and partition exclude each other");
  }
  return settings;
}

/** The row of an option by one of its names, or undefined. */
export function findMountOption(name: string): MountOption | undefined {
  const exact = BY_NAME.get(name);
  if (exact !== undefined) return exact;
  return MOUNT_OPTIONS.find((row) =>
    row.names.some((pattern) => pattern.endsWith("*") && name.startsWith(pattern.slice(0, -1)))
  );
}

function applyOption(settings: Draft, option: string): void {
  const equals = option.indexOf("=");
  const name = equals < 0 ? option : option.slice(0, equals);
  const text = equals < 0 ? undefined : option.slice(equals + 1);
  const row = findMountOption(name);
  if (row === undefined) throw fail("EINVAL", `Unknown mount option '${option}'`);
  if (text !== undefined && row.argument === undefined) {
    throw fail("EINVAL", `Mount option '${name}' takes no value`);
  }
  if (!text && row.argument !== undefined && !row.argumentIsOptional) {
    throw fail("EINVAL", `Mount option '${name}' needs a value: ${name}=${row.argument}`);
  }
  if (row.effect === "libfuse") settings.libfuseOptions.push(option);
  row.apply?.(settings, text ?? "", name);
}
