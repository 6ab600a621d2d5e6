/**
 * Where what was fetched from a mirror is kept: outside of the checkout, so that the next one, as
 * in continuous integration, need not fetch it again. FUSE4FS_CACHE names another folder.
 */

/** A folder for `name`, which may have to be made. */
export function cacheFolder(name: string): string {
  const own = Deno.env.get("FUSE4FS_CACHE");
  if (own) return `${own}/${name}`;
  const home = Deno.env.get("XDG_CACHE_HOME") || `${Deno.env.get("HOME") ?? "/var"}/.cache`;
  return `${home}/fuse4fs/${name}`;
}
