/** How this program starts itself again. */

import { STANDALONE } from "./build_info.ts";

/** A program and its arguments. */
export interface OwnCommand {
  readonly executable: string;
  readonly args: readonly string[];
}

/** The command that runs this very program with other arguments. */
export function ownCommand(args: readonly string[]): OwnCommand {
  if (STANDALONE) return { executable: standaloneExecutable(), args };
  return { executable: Deno.execPath(), args: ["run", "--allow-all", Deno.mainModule, ...args] };
}

/** Where the launcher runs Deno from memory, it says where the executable itself is. */
function standaloneExecutable(): string {
  return Deno.env.get("FUSE4FS_EXECUTABLE") ?? Deno.execPath();
}
