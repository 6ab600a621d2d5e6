/** JSON for other programs: two spaces of indentation, camelCase keys that stay what they are. */

import { print, printLine } from "./output.ts";

export type Json = string | number | boolean | null | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json | undefined;
}

/** Prints one value. Keys with the value undefined are left out. */
export function printJson(value: Json): void {
  printLine(JSON.stringify(value, undefined, 2));
}

/** Prints an array, one element a line, as the elements come. */
export function printJsonArray(elements: Iterable<Json>): void {
  let separator = "[\n";
  for (const element of elements) {
    print(`${separator}${JSON.stringify(element)}`);
    separator = ",\n";
  }
  print(separator === "[\n" ? "[]\n" : "\n]\n");
}
