/**
 * Random sequences of system calls, for syscalls.c. They are made without a file system at hand: a
 * rough idea of what is there by now (names that were made, and not deleted) sees to it that most
 * calls have something to work on. What fails, fails on both sides in the same way.
 */

import { Random } from "./random.ts";
import { word } from "./syscalls.ts";

export interface ScriptLimits {
  /** Calls; a few more are made before and after. */
  readonly count: number;
  /** Largest size that a file may get. */
  readonly largestFile: number;
  /** Bytes that may be written or allocated in all: the image must not be full. */
  readonly space: number;
  /** Inodes store times after the year 2038. */
  readonly hasLateTimes: boolean;
  /** Links have a target that fits into a block. */
  readonly longestTarget: number;
}

type Kind = "file" | "folder" | "other";

const KIB = 1024;
const SLOTS = 8;
const USER = "1000 1000 2000,3000";

/** A script for a mounted root folder. The same seed gives the same script. */
export function randomScript(seed: number, limits: ScriptLimits): string[] {
  return new ScriptMaker(new Random(seed), limits).make();
}

class ScriptMaker {
  readonly #random: Random;
  readonly #limits: ScriptLimits;
  readonly #lines: string[] = [];
  /** What was made, by path. */
  readonly #made = new Map<string, Kind>([[".", "folder"]]);
  #space: number;
  #names = 0;

  constructor(random: Random, limits: ScriptLimits) {
    this.#random = random;
    this.#limits = limits;
    this.#space = limits.space;
  }

  make(): string[] {
    const { count } = this.#limits;
    const calls = Object.entries(CALLS);
    const total = calls.reduce((sum, [, { weight }]) => sum + weight, 0);
    this.add("chmod . 01777");
    for (let slot = 0; slot < SLOTS; slot++) this.add(`open ${slot} start${slot} rw,creat 0644`);
    for (let slot = 0; slot < SLOTS; slot++) this.made(`start${slot}`, "file");
    while (this.#lines.length < count) {
      let choice = this.below(total);
      const [, { make }] = calls.find(([, { weight }]) => (choice -= weight) < 0)!;
      const asUser = this.oneIn(15);
      if (asUser) this.add(`as ${USER}`);
      make(this);
      if (asUser) this.add("as 0 0");
    }
    for (let slot = 0; slot < SLOTS; slot++) this.add(`close ${slot}`);
    return this.#lines;
  }

  add(line: string): void {
    this.#lines.push(line);
  }

  below(limit: number): number {
    return this.#random.below(limit);
  }

  oneIn(count: number): boolean {
    return this.#random.oneIn(count);
  }

  pick<Item>(items: readonly Item[]): Item {
    return this.#random.pick(items);
  }

  slot(): number {
    return this.below(SLOTS);
  }

  seed(): number {
    return this.below(1000);
  }

  /** A path of something of this kind, most of the time. */
  existing(kind?: Kind): string {
    if (this.oneIn(25)) return `${this.folder()}/nothing`;
    if (this.oneIn(40)) kind = undefined;
    const paths = [...this.#made].filter(([, each]) => kind === undefined || each === kind);
    return paths.length === 0 ? "nothing" : this.pick(paths)[0];
  }

  folder(): string {
    const folders = [...this.#made].filter(([, kind]) => kind === "folder");
    return this.pick(folders)[0];
  }

  /** A path that is not there, most of the time. */
  fresh(): string {
    if (this.oneIn(20)) return this.existing();
    const number = this.#names++;
    const folder = this.folder();
    const name = this.oneIn(8)
      ? word(longName(number, this.pick([60, 150, 255, this.oneIn(10) ? 256 : 30])))
      : this.oneIn(30)
      ? word(new Uint8Array([0xff, 0x80 + number % 128, 0x41]))
      : `n${number}`;
    return folder === "." ? name : `${folder}/${name}`;
  }

  made(path: string, kind: Kind): void {
    const slash = path.lastIndexOf("/");
    const isPossible = path.length - slash - 1 <= 255 || path.includes("%");
    const parent = slash < 0 ? "." : path.slice(0, slash);
    if (!isPossible || this.#made.get(parent) !== "folder") return;
    if (!this.#made.has(path)) this.#made.set(path, kind);
  }

  gone(path: string): void {
    if (path === ".") return;
    for (const each of this.#made.keys()) {
      if (each === path || each.startsWith(`${path}/`)) this.#made.delete(each);
    }
  }

  isEmpty(path: string): boolean {
    return !this.#made.keys().some((each) => each.startsWith(`${path}/`));
  }

  /** What was at and below one path is at and below another. */
  moved(from: string, to: string): void {
    const moving = [...this.#made].filter(([path]) => path === from || path.startsWith(`${from}/`));
    if (moving.length === 0) return;
    this.gone(to);
    this.gone(from);
    for (const [path, kind] of moving) this.#made.set(to + path.slice(from.length), kind);
  }

  exchanged(a: string, b: string): void {
    this.moved(a, "%exchanged");
    this.moved(b, a);
    this.moved("%exchanged", b);
  }

  kindOf(path: string): Kind | undefined {
    return this.#made.get(path);
  }

  /** Small ones most of the time; about the sizes of blocks often. */
  length(): number {
    const length = this.oneIn(3)
      ? this.pick([512, 1024, 2048, 4096, 8192]) * (1 + this.below(4))
      : this.oneIn(3)
      ? this.below(64 * KIB)
      : this.oneIn(20)
      ? this.below(1024 * KIB)
      : this.below(300);
    if (this.#space < length) return this.below(300);
    return length;
  }

  spend(length: number): number {
    this.#space -= length;
    return length;
  }

  position(): number {
    if (this.oneIn(3)) return 0;
    if (this.oneIn(3)) return this.pick([512, 1024, 4096, 12288, 65536]) * this.below(20);
    if (this.oneIn(60)) return this.below(this.#limits.largestFile - 4 * KIB * KIB);
    return this.oneIn(10) ? this.below(3 * KIB * KIB) : this.below(100_000);
  }

  target(): string {
    const length = this.oneIn(3)
      ? this.pick([59, 60, 61, this.#limits.longestTarget, this.#limits.longestTarget + 1])
      : 1 + this.below(100);
    return longName(this.below(1000), Math.min(length, 4094));
  }

  /** Sec and nsec outside of what syscalls.c takes for the present. */
  time(): string {
    if (this.oneIn(3)) return "now";
    if (this.oneIn(4)) return "omit";
    const late = this.#limits.hasLateTimes ? [2_147_483_648, 4_000_000_000] : [];
    const seconds = this.pick([0, 1, 86400 * 365, 1_500_000_000, 2_147_480_000, ...late]);
    return `${seconds + this.below(1000)}.${this.below(1_000_000_000)}`;
  }

  user(): string {
    return String(this.pick([0, 1000, 1001, 70_000, -1]));
  }

  mode(): string {
    const special = this.oneIn(4) ? this.below(8) : 0;
    const usual = this.oneIn(3)
      ? this.below(0o1000)
      : this.pick([0o644, 0o755, 0o777, 0o700, 0o666]);
    return `0${(special * 0o1000 + usual).toString(8)}`;
  }

  xattrName(): string {
    const name = this.oneIn(6)
      ? longName(7, this.pick([100, 249, 250, 251]))
      : `a${this.below(12)}`;
    return `${this.pick(["user", "user", "user", "trusted", "security", "unknown"])}.${name}`;
  }

  xattrValue(): string {
    const length = this.oneIn(4)
      ? this.below(4200)
      : this.oneIn(40)
      ? this.pick([32_768, 65_536, 65_537])
      : this.below(120);
    return `${length}:${this.seed()}`;
  }
}

/** So many bytes, which differ from those of other numbers. */
function longName(number: number, length: number): string {
  return `${number}-`.padEnd(length, "abcdefghij").slice(0, length);
}

interface Call {
  readonly weight: number;
  readonly make: (script: ScriptMaker) => void;
}

const CALLS: Record<string, Call> = {
  create: {
    weight: 60,
    make: (s) => {
      const path = s.fresh();
      const flags = s.pick([
        "rw,creat",
        "rw,creat,excl",
        "rw,creat,trunc",
        "wo,creat",
        "rw,creat,append",
      ]);
      s.add(`open ${s.slot()} ${path} ${flags} ${s.mode()}`);
      s.made(path, "file");
    },
  },
  reopen: {
    weight: 40,
    make: (s) => {
      const flags = s.pick([
        "rw",
        "rw",
        "rw,append",
        "ro",
        "rw,trunc",
        "wo",
        "rw,creat,excl",
        "ro,dir",
      ]);
      s.add(`open ${s.slot()} ${s.existing("file")} ${flags} 0644`);
    },
  },
  temporary: {
    weight: 8,
    make: (s) => {
      const slot = s.slot();
      s.add(`open ${slot} ${s.folder()} rw,tmpfile${s.oneIn(6) ? ",excl" : ""} ${s.mode()}`);
      s.add(`pwrite ${slot} ${s.position()} ${s.spend(s.length())} ${s.seed()}`);
      if (s.oneIn(3)) return;
      const path = s.fresh();
      s.add(`linkfd ${slot} ${path}`);
      s.made(path, "file");
    },
  },
  mkdir: {
    weight: 35,
    make: (s) => {
      const path = s.fresh();
      s.add(`mkdir ${path} ${s.mode()}`);
      s.made(path, "folder");
    },
  },
  mknod: {
    weight: 12,
    make: (s) => {
      const path = s.fresh();
      const type = s.pick(["f", "p", "s", "c", "b"]);
      // But for /dev/null they have no driver: with one, the kernel asks it for attributes of files
      // on ext4 (EINVAL of a loop device), and not on FUSE (ENOTTY).
      const [major, minor] = s.pick([[1, 3], [60, 300], [259, 70_000], [4095, 1_048_575]]);
      s.add(`mknod ${path} ${type} ${s.mode()} ${major} ${minor}`);
      s.made(path, type === "f" ? "file" : "other");
    },
  },
  symlink: {
    weight: 20,
    make: (s) => {
      const path = s.fresh();
      s.add(`symlink ${s.oneIn(3) ? s.existing() : s.target()} ${path}`);
      s.add(`readlink ${path}`);
      s.made(path, "other");
    },
  },
  link: {
    weight: 25,
    make: (s) => {
      const path = s.fresh();
      s.add(`link ${s.existing(s.oneIn(5) ? undefined : "file")} ${path}`);
      s.made(path, "file");
    },
  },
  unlink: {
    weight: 45,
    make: (s) => {
      const path = s.existing(s.oneIn(4) ? "other" : "file");
      s.add(`unlink ${path}`);
      if (s.kindOf(path) !== "folder") s.gone(path);
    },
  },
  rmdir: {
    weight: 20,
    make: (s) => {
      const path = s.existing("folder");
      s.add(`rmdir ${path}`);
      if (s.isEmpty(path)) s.gone(path);
    },
  },
  rename: {
    weight: 50,
    make: (s) => {
      const from = s.existing(s.pick(["file", "file", "folder", "other"]));
      const to = s.oneIn(3) ? s.existing(s.kindOf(from)) : s.fresh();
      s.add(`rename ${from} ${to} 0`);
      if (from === to || to.startsWith(`${from}/`) || from === ".") return;
      const isFolder = s.kindOf(from) === "folder";
      const replaced = s.kindOf(to);
      if (replaced === undefined) s.moved(from, to);
      else if (isFolder === (replaced === "folder") && s.isEmpty(to)) s.moved(from, to);
    },
  },
  renameWithFlags: {
    weight: 20,
    make: (s) => {
      const from = s.existing(s.oneIn(3) ? undefined : "file");
      const flags = s.pick([
        "noreplace",
        "exchange",
        "exchange",
        "whiteout",
        "whiteout,noreplace",
        "7",
      ]);
      const to = flags === "exchange" || s.oneIn(4) ? s.existing() : s.fresh();
      s.add(`rename ${from} ${to} ${flags}`);
      const isApart = !to.startsWith(`${from}/`) && !from.startsWith(`${to}/`) && from !== to;
      if (!isApart || [from, to].includes(".") || flags === "7") return;
      if (flags === "exchange") {
        if (s.kindOf(from) !== undefined && s.kindOf(to) !== undefined) s.exchanged(from, to);
        return;
      }
      if (s.kindOf(to) !== undefined) return;
      s.moved(from, to);
      if (flags.startsWith("whiteout")) s.made(from, "other");
    },
  },
  write: {
    weight: 90,
    make: (s) => {
      const length = s.spend(s.length());
      s.add(
        s.oneIn(4)
          ? `write ${s.slot()} ${length} ${s.seed()}`
          : `pwrite ${s.slot()} ${s.position()} ${length} ${s.seed()}`,
      );
    },
  },
  read: {
    weight: 50,
    make: (s) => s.add(`pread ${s.slot()} ${s.position()} ${s.length()}`),
  },
  readThrough: {
    weight: 15,
    make: (s) => {
      const slot = s.slot();
      s.add(`forget ${slot}`);
      s.add(`pread ${slot} 0 ${256 * KIB}`);
      s.add(`fstat ${slot}`);
    },
  },
  truncate: {
    weight: 40,
    make: (s) => {
      const size = s.position() + s.below(2) * s.below(5000);
      if (!s.oneIn(3)) return s.add(`ftruncate ${s.slot()} ${size}`);
      const path = s.existing("file");
      s.add(`truncate ${path} ${size}`);
      // To a size that is the file's already, it changes no times for FUSE.
      s.add(`utimens ${path} omit now`);
    },
  },
  fallocate: {
    weight: 30,
    make: (s) => {
      const mode = s.pick([
        "0",
        "keep",
        "punch,keep",
        "punch,keep",
        "zero",
        "zero,keep",
        "punch",
        "unshare",
      ]);
      s.add(`fallocate ${s.slot()} ${mode} ${s.position()} ${s.spend(s.length())}`);
    },
  },
  copyRange: {
    weight: 15,
    make: (s) => {
      const [from, to] = [s.slot(), s.slot()];
      s.add(`copyrange ${from} ${s.position()} ${to} ${s.position()} ${s.spend(s.length())}`);
    },
  },
  map: {
    weight: 20,
    make: (s) => {
      const where = `${s.slot()} ${s.position()} ${1 + s.below(30_000)}`;
      s.add(s.oneIn(3) ? `mmapread ${where}` : `mmapwrite ${where} ${s.seed()}`);
    },
  },
  sync: {
    weight: 8,
    make: (s) => s.add(`${s.pick(["fsync", "fdatasync", "syncfs"])} ${s.slot()}`),
  },
  chmod: {
    weight: 20,
    make: (s) =>
      s.add(s.oneIn(3) ? `fchmod ${s.slot()} ${s.mode()}` : `chmod ${s.existing()} ${s.mode()}`),
  },
  chown: {
    weight: 15,
    make: (s) => s.add(`${s.pick(["chown", "lchown"])} ${s.existing()} ${s.user()} ${s.user()}`),
  },
  utimens: {
    weight: 20,
    make: (s) => {
      const path = s.existing();
      s.add(`${s.pick(["utimens", "lutimens"])} ${path} ${s.time()} ${s.time()}`);
      if (s.oneIn(2)) s.add(`times ${path}`);
    },
  },
  setxattr: {
    weight: 40,
    make: (s) => {
      const flags = s.pick(["0", "0", "0", "create", "replace"]);
      s.add(
        `${
          s.pick(["setxattr", "lsetxattr"])
        } ${s.existing()} ${s.xattrName()} ${s.xattrValue()} ${flags}`,
      );
    },
  },
  readXattrs: {
    weight: 15,
    make: (s) => {
      const path = s.existing();
      s.add(`listxattr ${path} 65536`);
      s.add(`getxattr ${path} ${s.xattrName()} ${s.pick([0, 10, 65536])}`);
    },
  },
  removexattr: {
    weight: 15,
    make: (s) => s.add(`removexattr ${s.existing()} ${s.xattrName()}`),
  },
  acl: {
    weight: 12,
    make: (s) => {
      const [kind, path] = s.oneIn(2)
        ? ["default", s.existing("folder")]
        : ["access", s.existing()];
      const name = `system.posix_acl_${kind}`;
      if (s.oneIn(4)) s.add(`removexattr ${path} ${name}`);
      else s.add(`setxattr ${path} ${name} x:${randomAcl(s)} 0`);
      s.add(`stat ${path}`);
    },
  },
  flags: {
    weight: 8,
    make: (s) => {
      // Of chattr(1): d, A, D, T
      const [set, clear] = [s.pick([0x40, 0x80, 0x10000, 0x20000]), s.pick([0, 0x40, 0x80])];
      const path = s.existing();
      s.add(`setflags ${path} ${set} ${clear}`);
      s.add(`getflags ${path}`);
    },
  },
  stat: {
    weight: 40,
    make: (s) => {
      const path = s.existing();
      s.add(`${s.pick(["stat", "lstat"])} ${path}`);
      if (s.oneIn(2)) s.add(`times ${path}`);
    },
  },
  access: {
    weight: 10,
    make: (s) => s.add(`access ${s.existing()} ${s.below(8)}`),
  },
  list: {
    weight: 15,
    make: (s) => s.add(`${s.pick(["list", "listcount", "seekall"])} ${s.existing("folder")}`),
  },
  crowd: {
    weight: 4,
    make: (s) => {
      const [folder, count] = [s.folder(), 20 + s.below(300)];
      s.add(`makemany ${folder} many ${count}`);
      s.add(`listcount ${folder}`);
      if (s.oneIn(2)) s.add(`removemany ${folder} many ${s.below(count)}`);
    },
  },
  statfs: { weight: 4, make: (s) => s.add("statfs .") },
};

/** A list of access rights in the form of extended attributes; sometimes one that makes no sense. */
function randomAcl(s: ScriptMaker): string {
  const entries: [tag: number, permissions: number, id: number][] = [[1, s.below(8), -1]];
  const named = s.below(3);
  for (let user = 0; user < named; user++) entries.push([2, s.below(8), 1000 + user]);
  entries.push([4, s.below(8), -1]);
  if (s.oneIn(3)) entries.push([8, s.below(8), 2000]);
  if (entries.length > 3 || s.oneIn(3)) entries.push([16, s.below(8), -1]);
  if (!s.oneIn(12)) entries.push([32, s.below(8), -1]);
  return encodeAcl(entries);
}

/** A POSIX ACL as its extended attribute, in hexadecimal. */
export function encodeAcl(
  entries: readonly (readonly [tag: number, permissions: number, id: number])[],
): string {
  const view = new DataView(new ArrayBuffer(4 + 8 * entries.length));
  view.setUint32(0, 2, true);
  entries.forEach(([tag, permissions, id], index) => {
    view.setUint16(4 + 8 * index, tag, true);
    view.setUint16(6 + 8 * index, permissions, true);
    view.setInt32(8 + 8 * index, id, true);
  });
  return new Uint8Array(view.buffer).toHex();
}
