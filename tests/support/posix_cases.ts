/**
 * The named cases of tests/posix/*.txt: what they call, as lines for syscalls.c, and where fuse4fs
 * is known to differ from the kernel's ext4.
 *
 *     == rename: over a file                  a case begins with its name
 *     open 1 f rw,creat 0644                  calls, in a folder of the case's own, 0777
 *     as other                                me (who runs the case), root, other, or mate, who is
 *     rename f {255*g} 0                      in a group with me; {255*g}: so many bytes
 *     setxattr f NAME {acl u::rw-,...} 0      the bytes of an access control list
 *     lseek 1 0 hole
 *     ! holes                                 the call above differs, as DIFFERENCES explains
 */

import { encodeAcl } from "./random_script.ts";

const FOLDER = new URL("../posix/", import.meta.url);

export interface PosixCase {
  readonly name: string;
  readonly calls: readonly string[];
  /** By index of the call: a name in DIFFERENCES. */
  readonly differs: ReadonlyMap<number, string>;
}

/** Differences that docs/writable_mounts.md tells of: words of its text. */
export const DIFFERENCES: Readonly<Record<string, string>> = {
  holes: "SEEK_HOLE and SEEK_DATA",
  collapse: "COLLAPSE_RANGE and INSERT_RANGE",
  open: "Immutable and append-only files",
  truncate: "a truncate(2) to the size that a file has already changes none",
  chattr: "chattr(1) does not show as a time of change",
  range: "a time that ext4 cannot store",
  largest: "The largest size of a file",
  end: "the end that it goes to is the size",
  direct: "O_DIRECT",
};

export interface Person {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

const ROOT: Person = { uid: 0, gid: 0, groups: [] };
export const PEOPLE = {
  root: ROOT,
  user: { uid: 1000, gid: 1000, groups: [2000, 3000] },
  other: { uid: 1001, gid: 1001, groups: [] },
  mate: { uid: 1002, gid: 1002, groups: [2000] },
} as const satisfies Record<string, Person>;

export function readPosixCases(): PosixCase[] {
  const files = [...Deno.readDirSync(FOLDER)].map(({ name }) => name).sort();
  return files.flatMap((file) => parseCases(Deno.readTextFileSync(new URL(file, FOLDER))));
}

/** The calls of a case when this person runs it. */
export function callsAs(me: Person, { calls }: PosixCase): string[] {
  const people: Record<string, Person> = { ...PEOPLE, me };
  const written = calls.map((call) => {
    const [, name] = /^as (\w+)$/.exec(call) ?? [];
    return name === undefined ? expand(call) : becoming(people[name]);
  });
  return [becoming(me), ...written];
}

function parseCases(text: string): PosixCase[] {
  const cases: { name: string; calls: string[]; differs: Map<number, string> }[] = [];
  for (const line of text.split("\n")) {
    const current = cases.at(-1);
    if (line === "" || line.startsWith("#")) continue;
    if (line.startsWith("== ")) cases.push({ name: line.slice(3), calls: [], differs: new Map() });
    else if (current === undefined) throw new Error(`a line before the first case: ${line}`);
    else if (!line.startsWith("! ")) current.calls.push(line);
    // callsAs puts one call in front.
    else current.differs.set(current.calls.length, line.slice(2));
  }
  return cases;
}

function becoming({ uid, gid, groups }: Person): string {
  return `as ${uid} ${gid} ${groups.join(",")}`.trimEnd();
}

function expand(call: string): string {
  return call
    .replaceAll(/\{(\d+)\*(.)\}/g, (_, count, character) => character.repeat(Number(count)))
    .replaceAll(/\{acl ([^}]*)\}/g, (_, entries) => `x:${aclOf(entries)}`);
}

const TAGS: Record<string, readonly [plain: number, named: number]> = {
  u: [0x01, 0x02],
  g: [0x04, 0x08],
  m: [0x10, 0x10],
  o: [0x20, 0x20],
};

/** As getfacl(1) writes them: `u::rw-,u:1001:r--,g::r--,m::r--,o::---` */
function aclOf(text: string): string {
  return encodeAcl(
    text.split(",").map((entry) => {
      const [kind, id, permissions] = entry.split(":");
      const [plain, named] = TAGS[kind];
      const bits = ["r", "w", "x"].reduce(
        (sum, letter, place) => sum + (permissions[place] === letter ? 4 >> place : 0),
        0,
      );
      return [id === "" ? plain : named, bits, id === "" ? -1 : Number(id)] as const;
    }),
  );
}
