/**
 * Writes the C source of a program: a text of bpf/ with constants of one file system above it.
 * Constants are numbers of a declared C type, checked here; no text of a user gets into the source.
 */

/** Smallest and largest value of a constant. */
const RANGES = {
  u16: [0, 0xffff],
  u32: [0, 0xffff_ffff],
  u64: [0, Number.MAX_SAFE_INTEGER],
} as const satisfies Record<string, readonly [number, number]>;

const SUFFIXES = { u16: "U", u32: "U", u64: "ULL" } as const;

export interface Constant {
  readonly type: keyof typeof RANGES;
  readonly value: number;
  /** What it is, for those who read the source. */
  readonly comment: string;
}

export type Constants = Readonly<Record<string, Constant>>;

/** The source of a program. `constants` have the names of C macros. */
export function sourceWithConstants(template: string, constants: Constants): string {
  const lines = Object.entries(constants).map(([name, constant]) => define(name, constant));
  if (lines.length === 0) return template;
  return `/* Constants of this file system, written by fuse4fs. */\n${lines.join("")}\n${template}`;
}

function define(name: string, { type, value, comment }: Constant): string {
  const [least, most] = RANGES[type];
  if (!/^[A-Z][A-Z0-9_]*$/.test(name)) throw new RangeError(`${name} is no name of a constant`);
  if (!/^[\w ,.()-]*$/.test(comment)) throw new RangeError(`${comment} is no comment`);
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    throw new RangeError(`${name} is ${value}: a ${type} is from ${least} to ${most}`);
  }
  return `#define ${name} ${value}${SUFFIXES[type]} /* ${comment} */\n`;
}
