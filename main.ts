/** The entry point of the fuse4fs executable: everything is in src/cli. */

import { run } from "./src/cli/run.ts";

await run(Deno.args);
