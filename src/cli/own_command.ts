/** How this program starts itself again. */

import { STANDALONE } from "./build_info.ts";

/** A program and its arguments. */
export interface OwnCommand {
  readonly executable: string;
  readonly args: readonly string[];
}

/** The command that runs this very program with other arguments, also when its file is gone. */
export function ownCommand(args: readonly string[]): OwnCommand {
  if (STANDALONE) return { executable: ownExecutable(), args };
  return { executable: Deno.execPath(), args: ["run", "--allow-all", Deno.mainModule, ...args] };
}

/** By its path, which is what `ps` shows, as long as there is something. */
function ownExecutable(): string {
  const path = Deno.execPath();
  try {
    Deno.statSync(path);
    return path;
  } catch {
    return "/proc/self/exe";
  }
}
