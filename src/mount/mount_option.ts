/**
 * A mount option, and how the tables write one. Its effect is one of three:
 * - `apply`: it changes the settings of the mount (option_table.ts)
 * - `libfuse`: it is handed on to libfuse, which knows what to do with it (option_table.ts)
 * - `ignored`: it is accepted for the sake of fstab lines and scripts, for the reason given
 *   (ignored_options.ts)
 */

import type { Draft } from "./settings.ts";

export interface MountOption {
  /** The name and, behind it, other names for the same. One that ends in `*` is a beginning. */
  readonly names: readonly string[];
  /** What stands behind the equals sign; without it, the option takes no value. */
  readonly argument?: string;
  /** The option may also stand without its value. */
  readonly argumentIsOptional?: boolean;
  readonly group: OptionGroup;
  /** What it does, as a sentence without its full stop; for an ignored one, why it is. */
  readonly doc: string;
  readonly effect: "apply" | "libfuse" | "ignored";
  readonly apply?: (settings: Draft, value: string, name: string) => void;
}

/** Headings of the documentation, in order. */
export const OPTION_GROUPS = {
  image: "Finding the file system",
  behavior: "Behavior of the mount",
  server: "The server",
  libfuse: "Handed on to libfuse",
  ignored: "Accepted without effect",
} as const;

export type OptionGroup = keyof typeof OPTION_GROUPS;

type Apply = NonNullable<MountOption["apply"]>;

/** An option without a value. Names may be several, parted by spaces. */
export function flag(names: string, group: OptionGroup, doc: string, apply: Apply): MountOption {
  return { names: names.split(" "), group, doc, effect: "apply", apply };
}

/** An option with a value. */
export function value(
  names: string,
  argument: string,
  group: OptionGroup,
  doc: string,
  apply: Apply,
): MountOption {
  return { names: names.split(" "), argument, group, doc, effect: "apply", apply };
}

/** Handed on to libfuse. */
export function passed(name: string, doc: string, argument?: string): MountOption {
  return { names: [name], argument, group: "libfuse", doc, effect: "libfuse" };
}

/** Accepted without effect; `doc` says why it has none. */
export function ignored(names: string, doc: string, argument?: string): MountOption {
  return { names: names.split(" "), argument, group: "ignored", doc, effect: "ignored" };
}
