/** What the build knows: compile.sh replaces STANDALONE when it bundles the executable. */

import config from "../../deno.json" with { type: "json" };

/** The version of fuse4fs. */
export const VERSION: string = config.version;

/** True in the one executable that needs no Deno around it. */
export const STANDALONE: boolean = false;
