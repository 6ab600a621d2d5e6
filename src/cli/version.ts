/** `fuse4fs -V` */

import { openLibfuse } from "../fuse/library.ts";
import { FsError } from "../sys/fs_error.ts";
import { flushOutput, printLine } from "./output.ts";

/** Prints what a bug report should name. */
export function printVersions(version: string): void {
  printLine(`fuse4fs ${version}`);
  printLine(`libfuse ${libfuseVersion()}`);
  printLine(`Deno ${Deno.version.deno}`);
  flushOutput();
}

function libfuseVersion(): string {
  try {
    const { version, origin } = openLibfuse();
    return `${version} (${origin})`;
  } catch (error) {
    if (error instanceof FsError) return "not found";
    throw error;
  }
}
