/** What the build knows. */

import config from "../../deno.json" with { type: "json" };

/** Set by scripts/compile/bundle.ts. */
declare const FUSE4FS_STANDALONE: boolean | undefined;

/** The version of fuse4fs. */
export const VERSION: string = config.version;

/** True in the one executable that needs no Deno around it. */
export const STANDALONE: boolean = typeof FUSE4FS_STANDALONE !== "undefined";
