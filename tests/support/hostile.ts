/**
 * Opens damaged file systems for writing and works on them, each by its seed. Nothing but an FsError
 * may come of it, and what is damage says where it is.
 */

import { MemoryDevice } from "../../src/block/memory_device.ts";
import { EXT4_VISIBLE_FLAGS } from "../../src/disk/inode.ts";
import { copyRange } from "../../src/ext4/content/copy_range.ts";
import { fallocate } from "../../src/ext4/content/fallocate.ts";
import { readBytes } from "../../src/ext4/content/read.ts";
import { readSymlink } from "../../src/ext4/content/symlink.ts";
import { setSize } from "../../src/ext4/content/truncate.ts";
import { writeFile } from "../../src/ext4/content/write.ts";
import { readDirectory } from "../../src/ext4/directory/directory.ts";
import { isDotName } from "../../src/ext4/directory/directory_block.ts";
import { namedInode } from "../../src/ext4/directory/lookup.ts";
import {
  link,
  makeDirectory,
  makeNode,
  makeSymlink,
  makeTemporary,
  removeDirectory,
  unlink,
} from "../../src/ext4/directory/namespace.ts";
import { rename } from "../../src/ext4/directory/rename.ts";
import { FileSystem } from "../../src/ext4/filesystem.ts";
import { setAttributes } from "../../src/ext4/inode/attributes.ts";
import { evict } from "../../src/ext4/inode/evict.ts";
import type { Inode } from "../../src/ext4/inode/inode.ts";
import { changeFileAttributes } from "../../src/ext4/inode/inode_flags.ts";
import { recordError } from "../../src/ext4/superblock/error_record.ts";
import { setLabel } from "../../src/ext4/superblock/label.ts";
import { usage } from "../../src/ext4/superblock/statfs.ts";
import { removeXattr, setXattr } from "../../src/ext4/xattr/set_xattr.ts";
import { getXattr, listXattrNames } from "../../src/ext4/xattr/xattr.ts";
import { FsError } from "../../src/sys/fs_error.ts";
import { SILENT } from "../../src/sys/log.ts";
import { S_IFDIR, S_IFIFO, S_IFREG } from "../../src/sys/stat.ts";
import { addFastCommits } from "./fast_commit_lies.ts";
import { ACL } from "./fuzz_images.ts";
import { changeOnce } from "./fuzz.ts";
import { lie, type Truth } from "./lies.ts";
import { Random } from "./random.ts";
import { reseal, type Structure, type StructureKind, structuresOf } from "./structures.ts";

/** A sound image, and what is where in it. */
export interface HostileBase extends Truth {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly fs: FileSystem;
}

export function hostileBase(name: string, bytes: Uint8Array<ArrayBuffer>): HostileBase {
  const fs = FileSystem.open(new MemoryDevice(bytes, name, true), {
    log: SILENT,
    norecovery: true,
  });
  const structures = structuresOf(fs);
  const byKind = new Map<StructureKind, Structure[]>();
  for (const structure of structures) {
    const others = byKind.get(structure.kind);
    if (others === undefined) byKind.set(structure.kind, [structure]);
    else others.push(structure);
  }
  const { blocksCount, inodesCount } = fs.superblock;
  return {
    ...{ name, bytes, fs, structures, byKind },
    ...{ blockSize: fs.blockSize, blocks: blocksCount, inodes: inodesCount },
  };
}

/** Structures that decide over all others. */
const RULING: ReadonlySet<StructureKind> = new Set([
  ...["superblock", "descriptor", "block bitmap", "inode bitmap", "journal"] as const,
]);

/** The image of a case: the base with its damage, and most of the time with fitting checksums. */
export function hostileImage(base: HostileBase, seed: number): Uint8Array<ArrayBuffer> {
  const random = new Random(seed);
  const bytes = base.bytes.slice();
  const most = base.fs.superblock.features.has("fast_commit") ? 2 : 4;
  const changes = random.below(random.oneIn(3) ? 16 : most) + (most === 2 ? 0 : 1);
  const kinds = [...base.byKind.keys()];
  for (let change = 0; change < changes; change++) {
    // Where nothing can be opened, or nothing can be allocated, there is little left to go wrong.
    const kind = random.pick(kinds);
    const structure = random.pick(base.byKind.get(RULING.has(kind) ? random.pick(kinds) : kind)!);
    if (random.oneIn(3)) changeOnce({ targets: [structure] }, bytes, random);
    else lie(base, structure, bytes, random);
  }
  const { features } = base.fs.superblock;
  if (features.has("fast_commit") && !random.oneIn(4)) {
    addFastCommits(base.fs, base, bytes, random);
  }
  if (!random.oneIn(12)) reseal(base.fs, base.structures, bytes);
  return bytes;
}

/** How a case went. */
export interface HostileOutcome {
  /** How often each error came. */
  readonly codes: Record<string, number>;
  /** Messages of damage that do not say where it is. */
  readonly unplaced: readonly string[];
  /** Lines of the log. */
  readonly lines: number;
  readonly isOpened: boolean;
}

/** Works on a damaged image, which is changed by it. */
export function workOn(name: string, bytes: Uint8Array<ArrayBuffer>, seed: number): HostileOutcome {
  const work = new HostileWork(new MemoryDevice(bytes, name), new Random(seed + 1));
  work.run();
  return work.outcome;
}

const OPERATIONS = 60;
const OWNER = { uid: 0, gid: 0 };
const USER = { uid: 1000, gid: 1000 };
const FILE = { ...OWNER, mode: S_IFREG | 0o644, umask: 0o22 };
const MOST_FOUND = 40;
const NAMES = ["user.a", "user.in-block", "user.in-inode", "security.capability", "trusted.x"];
interface Folder {
  readonly ino: number;
  readonly names: Uint8Array[];
}

class HostileWork {
  readonly outcome = {
    codes: {} as Record<string, number>,
    unplaced: [] as string[],
    lines: 0,
    isOpened: false,
  };
  readonly #device: MemoryDevice;
  readonly #random: Random;
  readonly #folders: Folder[] = [];
  readonly #files: number[] = [];
  #clock = 0;

  constructor(device: MemoryDevice, random: Random) {
    this.#device = device;
    this.#random = random;
  }

  run(): void {
    const fs = this.#opened(() => this.#open(this.#device, true));
    if (fs !== undefined) {
      this.outcome.isOpened = true;
      this.#workOn(fs);
    }
    const left = new MemoryDevice(this.#device.bytes, "what is left", true);
    const after = this.#opened(() => this.#open(left, false));
    if (after !== undefined) this.#find(after, after.root, new Set());
  }

  /** What is wrong with a superblock or a log as a whole needs no place. */
  #opened(open: () => FileSystem): FileSystem | undefined {
    const { unplaced } = this.outcome;
    const before = unplaced.length;
    const fs = this.#attempt(open);
    unplaced.length = before;
    return fs;
  }

  #workOn(fs: FileSystem): void {
    const damage: FsError[] = [];
    fs.onReport = (error) => void (error.isCorruption && damage.push(error));
    this.#attempt(() => this.#find(fs, fs.root, new Set()));
    if (this.#folders.length === 0) this.#folders.push({ ino: 2, names: [] });
    for (let index = 0; index < OPERATIONS; index++) {
      this.#attempt(() => this.#operate(fs, index));
      // As a mount does, between two requests.
      for (const error of damage.splice(0)) this.#attempt(() => recordError(fs, error));
      if (this.#random.oneIn(12)) this.#evictSome(fs, 3);
    }
    if (this.#random.oneIn(2)) this.#evictSome(fs, Infinity);
    this.#attempt(() => fs.stopWriting());
  }

  #open(device: MemoryDevice, isWriter: boolean): FileSystem {
    const note = () => void this.outcome.lines++;
    const random = this.#random;
    return FileSystem.open(device, {
      log: { error: note, warn: note, info: note, debug: note },
      cacheBytes: random.oneIn(4) ? 0 : undefined,
      write: isWriter
        ? {
          now: () => ({ sec: 1_700_000_000 + this.#clock++, nsec: 0 }),
          monotonic: () => this.#clock,
          commitInterval: 5000,
          random: () => random.uint32(),
          sleep: () => {},
          quotaLimits: new Set(["user", "group", "project"]),
        }
        : undefined,
    });
  }

  #find(fs: FileSystem, dir: Inode, seen: Set<number>): void {
    if (seen.has(dir.ino) || seen.size > MOST_FOUND) return;
    seen.add(dir.ino);
    const names: Uint8Array[] = [];
    this.#folders.push({ ino: dir.ino, names });
    const below: number[] = [];
    this.#attempt(() => {
      for (const { name, ino, type } of readDirectory(fs, dir, 0)) {
        if (isDotName(name)) continue;
        if (names.push(name) > 300) break;
        if (type === S_IFDIR) below.push(ino);
      }
    });
    for (const name of names.slice(0, 20)) {
      const inode = this.#attempt(() => namedInode(fs, dir, name));
      if (inode === undefined) continue;
      if (inode.isDirectory) this.#attempt(() => this.#find(fs, inode, seen));
      else if (this.#files.length < 200) this.#files.push(inode.ino);
      this.#attempt(() => this.#look(fs, inode));
    }
  }

  #look(fs: FileSystem, inode: Inode): void {
    for (const name of listXattrNames(fs, inode)) getXattr(fs, inode, name);
    if (inode.isSymlink) readSymlink(fs, inode);
    if (inode.isRegular) readBytes(fs, inode, 0, 4096);
  }

  #evictSome(fs: FileSystem, most: number): void {
    for (const ino of [...fs.unlinkedInodes].slice(0, most)) {
      this.#attempt(() => evict(fs, fs.inode(ino)));
    }
  }

  #operate(fs: FileSystem, index: number): unknown {
    const random = this.#random;
    fs.writing.blocks.user = random.oneIn(3) ? USER : undefined;
    const { ino, names } = random.pick(this.#folders);
    const fresh = new TextEncoder().encode(`${index}-`.padEnd(random.pick([4, 40, 200]), "y"));
    const any = () => names.length === 0 ? fresh : random.pick(names);
    const dir = fs.inode(ino);
    switch (random.below(14)) {
      case 0: {
        const count = random.pick([1, 1, 5, 30]);
        for (let more = 0; more < count; more++) {
          const name = new Uint8Array([...fresh, 97 + more]);
          names.push(name);
          const mode = random.oneIn(4) ? S_IFIFO | 0o600 : FILE.mode;
          this.#files.push(makeNode(fs, dir, name, { ...FILE, mode }).ino);
        }
        return;
      }
      case 1:
        names.push(fresh);
        return this.#folders.push({
          ino: makeDirectory(fs, dir, fresh, FILE).ino,
          names: [],
        });
      case 2:
        names.push(fresh);
        return makeSymlink(
          fs,
          dir,
          fresh,
          new Uint8Array(random.pick([3, 100, 900])).fill(1),
          OWNER,
        );
      case 3:
      case 4:
        return unlink(fs, dir, any());
      case 5:
        return removeDirectory(fs, dir, any());
      case 6: {
        const to = random.pick(this.#folders);
        const newName = random.oneIn(2) || to.names.length === 0 ? fresh : random.pick(to.names);
        return rename(
          fs,
          dir,
          any(),
          fs.inode(to.ino),
          newName,
          random.pick([0, 0, 1, 2, 4]),
          OWNER,
        );
      }
      case 7:
        link(fs, this.#any(fs), dir, fresh);
        return names.push(fresh);
      case 8:
        return makeTemporary(fs, dir, FILE);
      default:
        return this.#change(fs, this.#any(fs));
    }
  }

  #any(fs: FileSystem): Inode {
    const random = this.#random;
    if (this.#files.length === 0 || random.oneIn(10)) {
      return fs.inode(random.pick(this.#folders).ino);
    }
    return fs.inode(random.pick(this.#files));
  }

  #change(fs: FileSystem, inode: Inode): unknown {
    const random = this.#random;
    const { blockSize } = fs;
    const position = random.pick([
      0,
      inode.size,
      random.below(200_000),
      random.below(20) * blockSize,
    ]);
    const length = 1 + random.below(random.oneIn(4) ? 60_000 : 3000);
    switch (random.below(16)) {
      case 0:
      case 1:
      case 2:
        return writeFile(fs, inode, position, random.bytes(length), random.pick(["set", "kept"]));
      case 3:
      case 4:
        return setSize(fs, inode, random.pick([0, position, 100, 10 * blockSize]));
      case 5:
      case 6: {
        const mode = random.pick([0, 1, 3, 0x10, 0x11, 8, 0x20]);
        const whole = Math.ceil(length / blockSize) * blockSize;
        const start = Math.floor(position / blockSize) * blockSize;
        return random.oneIn(3)
          ? fallocate(fs, inode, mode, position, length)
          : fallocate(fs, inode, mode, start, whole);
      }
      case 7:
        return copyRange(fs, this.#any(fs), 0, inode, position, length);
      case 8:
      case 9:
      case 10: {
        const value = random.bytes(random.pick([0, 10, 200, 700, 3000, 20_000]));
        if (random.oneIn(6)) {
          const acl = new TextEncoder().encode("system.posix_acl_access");
          return setXattr(fs, inode, acl, ACL, 0);
        }
        return setXattr(fs, inode, new TextEncoder().encode(random.pick(NAMES)), value, 0);
      }
      case 11:
        return removeXattr(fs, inode, new TextEncoder().encode(random.pick(NAMES)));
      case 12:
        return setAttributes(
          fs,
          inode,
          random.pick([{ mode: 0o600 }, { uid: 5, gid: 6 }, { atime: { sec: 1, nsec: 2 } }]),
          OWNER,
        );
      case 13: {
        const flags = (inode.flags ^ 2 ** random.pick([3, 4, 5, 6, 19, 29, 30])) &
          EXT4_VISIBLE_FLAGS;
        return changeFileAttributes(fs, inode, {
          flags: flags >>> 0,
          projectId: random.pick([undefined, 7]),
        });
      }
      case 14:
        if (random.oneIn(2)) return setLabel(fs, new Uint8Array(8).fill(97));
        return usage(fs, false);
      default:
        return random.oneIn(3)
          ? fs.writing.transactions.writeBack()
          : fs.writing.transactions.commit();
    }
  }

  #attempt<Result>(act: () => Result): Result | undefined {
    try {
      return act();
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      const { codes, unplaced } = this.outcome;
      codes[error.code] = (codes[error.code] ?? 0) + 1;
      if (error.isCorruption && Object.keys(error.place).length === 0) {
        if (unplaced.length < 10) unplaced.push(error.message);
      }
      return undefined;
    }
  }
}
