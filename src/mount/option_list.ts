/**
 * Option lists as mount(8) and libfuse write them: `ro,fsname=a\,b,offset=512`. A backslash takes
 * the character behind it literally; three octal digits behind it give a byte.
 */

import { fail } from "../sys/fs_error.ts";

const OCTAL_ESCAPE = /^[0-3][0-7]{2}/;

/** The options of a list, unescaped; empty ones are left out. */
export function splitOptionList(list: string): string[] {
  const options: string[] = [];
  let current = "";
  for (let at = 0; at < list.length; at++) {
    const character = list[at];
    if (character === ",") {
      options.push(current);
      current = "";
    } else if (character === "\\" && at + 1 < list.length) {
      const octal = OCTAL_ESCAPE.exec(list.slice(at + 1))?.[0];
      current += octal === undefined ? list[at + 1] : String.fromCharCode(parseInt(octal, 8));
      at += octal === undefined ? 1 : octal.length;
    } else {
      current += character;
    }
  }
  options.push(current);
  return options.filter((option) => option !== "");
}

/** One option in the form that {@linkcode splitOptionList} and libfuse read back. */
export function escapeOption(option: string): string {
  return option.replaceAll(/[\\,]/g, (character) => `\\${character}`);
}

const UNITS: Record<string, number> = { "": 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** A number of bytes such as `1048576` or, with a binary unit, `32m`. Throws EINVAL. */
export function parseSize(name: string, text: string): number {
  const match = /^([0-9]+)([kmgt]?)$/i.exec(text);
  const size = match === null ? NaN : Number(match[1]) * UNITS[match[2].toLowerCase()];
  if (!Number.isSafeInteger(size)) {
    throw fail("EINVAL", `${name}: '${text}' is not a number of bytes`);
  }
  return size;
}

/** A whole number that is at least `least`. Throws EINVAL. */
export function parseNumber(name: string, text: string, least = 0): number {
  const number = /^[0-9]+$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(number) || number < least) {
    throw fail("EINVAL", `${name}: '${text}' is not a whole number from ${least} on`);
  }
  return number;
}

/** Seconds, perhaps with a fraction. Throws EINVAL. */
export function parseSeconds(name: string, text: string): number {
  const seconds = /^[0-9]+(\.[0-9]*)?$/.test(text) ? Number(text) : NaN;
  if (!Number.isFinite(seconds)) throw fail("EINVAL", `${name}: '${text}' is no time in seconds`);
  return seconds;
}
