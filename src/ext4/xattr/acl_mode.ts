/** Permission bits and ACLs (acl(5)): what one says in the terms of the other. */

import { corrupt } from "../../sys/fs_error.ts";
import { type AclEntry, AclTag } from "./posix_acl.ts";

const RWX = 7;

/** Where the permissions of an entry stand in a mode. The mask stands where the group does. */
const SHIFTS: ReadonlyMap<number, number> = new Map([
  [AclTag.USER_OBJ, 6],
  [AclTag.GROUP_OBJ, 3],
  [AclTag.MASK, 3],
  [AclTag.OTHER, 0],
]);

/** The nine permission bits that an ACL stands for. Throws EUCLEAN for one that lacks an entry. */
export function modeOf(acl: readonly AclEntry[]): number {
  return [AclTag.USER_OBJ, groupTag(acl), AclTag.OTHER].reduce((mode, wanted) => {
    const entry = acl.find(({ tag }) => tag === wanted);
    if (entry === undefined) throw corrupt(`ACL: no entry with tag 0x${wanted.toString(16)}`);
    return mode | (entry.permissions & RWX) << SHIFTS.get(wanted)!;
  }, 0);
}

/** False when permission bits say all that the ACL does. */
export function isMoreThanMode(acl: readonly AclEntry[]): boolean {
  return acl.some(({ tag }) => tag === AclTag.USER || tag === AclTag.GROUP || tag === AclTag.MASK);
}

/** The ACL as it becomes when the permissions are changed. */
export function withMode(acl: readonly AclEntry[], mode: number): AclEntry[] {
  return mapModeEntries(acl, (_permissions, bits) => bits, mode);
}

/** The access ACL of a file that is made with a mode in a directory with this default ACL. */
export function withinMode(acl: readonly AclEntry[], mode: number): AclEntry[] {
  return mapModeEntries(acl, (permissions, bits) => permissions & bits, mode);
}

/** Changes the entries that permission bits stand for, and leaves the others as they are. */
function mapModeEntries(
  acl: readonly AclEntry[],
  change: (permissions: number, bits: number) => number,
  mode: number,
): AclEntry[] {
  const group = groupTag(acl);
  return acl.map((entry) => {
    const shift = entry.tag === AclTag.GROUP_OBJ && group !== entry.tag
      ? undefined
      : SHIFTS.get(entry.tag);
    if (shift === undefined) return entry;
    return { ...entry, permissions: change(entry.permissions, (mode >> shift) & RWX) };
  });
}

/** The entry that the permissions of the group stand for. */
function groupTag(acl: readonly AclEntry[]): number {
  return acl.some(({ tag }) => tag === AclTag.MASK) ? AclTag.MASK : AclTag.GROUP_OBJ;
}
