/** Which extended attributes a mount offers, as the options acl and user_xattr say. */

import { startsWith } from "../sys/bytes.ts";

const USER = new TextEncoder().encode("user.");
const ACL = new TextEncoder().encode("system.posix_acl_");

export interface XattrOptions {
  /** POSIX ACLs. */
  readonly acl: boolean;
  /** Attributes of the namespace `user`. */
  readonly userXattr: boolean;
}

export function isOffered(name: Uint8Array, options: XattrOptions): boolean {
  if (startsWith(name, USER)) return options.userXattr;
  return options.acl || !isAcl(name);
}

export function isAcl(name: Uint8Array): boolean {
  return startsWith(name, ACL);
}
