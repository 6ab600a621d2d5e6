/** `fuse4fs ls`: lists directories of an image without mounting it. */

import { type DirectoryEntry, readDirectory } from "../ext4/directory/directory.ts";
import type { FileSystem } from "../ext4/filesystem.ts";
import type { Inode } from "../ext4/inode/inode.ts";
import { entryInode } from "../ext4/directory/lookup.ts";
import { readSymlink } from "../ext4/content/symlink.ts";
import { FsError } from "../sys/fs_error.ts";
import { modeString, permissions, shortTime, timeString, typeName } from "./file_facts.ts";
import { findInode, type ImageCommandOptions, withFileSystem } from "./image_access.ts";
import { type JsonObject, printJsonArray } from "./json.ts";
import { jsonBytes, shownName } from "./names.ts";
import { print, printLine } from "./output.ts";

export interface LsOptions extends ImageCommandOptions {
  readonly long?: boolean;
  readonly recursive?: boolean;
}

/** A row of a listing. */
interface Row {
  readonly directory: Uint8Array;
  readonly name: Uint8Array;
  readonly ino: number;
  /** S_IFMT bits, 0 where neither the entry nor the inode tells. */
  readonly type: number;
  /** Absent where the file's inode cannot be read, or nobody asked for it. */
  readonly inode?: Inode;
}

const ENCODER = new TextEncoder();

/** Returns false when some of the files could not be read, which stderr tells about. */
export function ls(image: string, path: string, options: LsOptions): boolean {
  return withFileSystem(image, options, (fs) => {
    const start = findInode(fs, path, true);
    const listing = new Listing(fs, options);
    const name = ENCODER.encode(path);
    if (options.json) {
      printJsonArray(listing.jsonRows(start, name));
    } else {
      listing.print(start, name);
    }
    return listing.complete;
  });
}

class Listing {
  complete = true;
  readonly #fs: FileSystem;
  readonly #options: LsOptions;
  /** Directories on the way down: a damaged tree can lead in a circle. */
  readonly #open = new Set<number>();

  constructor(fs: FileSystem, options: LsOptions) {
    this.#fs = fs;
    this.#options = options;
  }

  /** Sorted by name, as ls(1). */
  print(start: Inode, path: Uint8Array): void {
    if (!start.isDirectory) {
      this.#printRows([this.#row(path, path, start.ino, start.fileType, start)]);
      return;
    }
    if (this.#options.recursive) {
      print(shownName(path));
      printLine(":");
    }
    const rows = [...this.#rows(start, path)].sort((a, b) => compareBytes(a.name, b.name));
    this.#printRows(rows);
    if (!this.#options.recursive) return;
    for (const [directory, subpath] of this.#subdirectories(start, rows)) {
      printLine();
      this.print(directory, subpath);
    }
    this.#open.delete(start.ino);
  }

  /** In the order of the directory, so that nothing has to be collected first. */
  *jsonRows(start: Inode, path: Uint8Array): Generator<JsonObject> {
    if (!start.isDirectory) {
      yield this.#json(this.#row(path, path, start.ino, start.fileType, start));
      return;
    }
    const deeper: Row[] = [];
    for (const row of this.#rows(start, path)) {
      yield this.#json(row);
      if (this.#options.recursive && row.inode?.isDirectory) deeper.push(row);
    }
    for (const [directory, subpath] of this.#subdirectories(start, deeper)) {
      yield* this.jsonRows(directory, subpath);
    }
    this.#open.delete(start.ino);
  }

  *#rows(directory: Inode, path: Uint8Array): Generator<Row> {
    const wantsInodes = this.#options.long || this.#options.recursive || this.#options.json;
    try {
      for (const entry of readDirectory(this.#fs, directory, 0)) {
        if (isDot(entry)) continue;
        const inode = wantsInodes ? this.#inode(directory, entry) : undefined;
        yield this.#row(path, entry.name, entry.ino, inode?.fileType ?? entry.type, inode);
      }
    } catch (error) {
      this.#note(error);
    }
  }

  #row(
    directory: Uint8Array,
    name: Uint8Array,
    ino: number,
    type: number,
    inode: Inode | undefined,
  ): Row {
    return { directory, name, ino, type, inode };
  }

  #inode(directory: Inode, entry: DirectoryEntry): Inode | undefined {
    try {
      return entryInode(this.#fs, directory, entry.ino);
    } catch (error) {
      this.#note(error);
      return undefined;
    }
  }

  *#subdirectories(parent: Inode, rows: readonly Row[]): Generator<[Inode, Uint8Array]> {
    this.#open.add(parent.ino);
    for (const { directory, name, inode } of rows) {
      if (!inode?.isDirectory || this.#open.has(inode.ino)) continue;
      yield [inode, joinPath(directory, name)];
    }
  }

  #note(error: unknown): void {
    if (!(error instanceof FsError)) throw error;
    this.complete = false;
    this.#fs.report(error);
  }

  #printRows(rows: readonly Row[]): void {
    const cells = this.#options.long ? rows.map(longCells) : [];
    const widths = [0, 1, 2, 3, 4, 5].map((column) =>
      cells.reduce((width, row) => Math.max(width, row[column].length), 0)
    );
    rows.forEach((row, index) => {
      cells[index]?.forEach((cell, column) => print(`${cell.padStart(widths[column])} `));
      print(shownName(row.name));
      if (this.#options.long) this.#printTarget(row);
      printLine();
    });
  }

  #printTarget({ inode }: Row): void {
    if (!inode?.isSymlink) return;
    const target = this.#target(inode);
    if (target === undefined) return;
    print(" -> ");
    print(shownName(target));
  }

  #target(inode: Inode): Uint8Array | undefined {
    try {
      return readSymlink(this.#fs, inode);
    } catch (error) {
      this.#note(error);
      return undefined;
    }
  }

  #json(row: Row): JsonObject {
    const { inode } = row;
    const facts = { ...jsonBytes("name", row.name), ino: row.ino, type: typeName(row.type) };
    const place = this.#options.recursive ? jsonBytes("directory", row.directory) : {};
    if (inode === undefined) return { ...place, ...facts };
    const target = inode.isSymlink ? this.#target(inode) : undefined;
    return {
      ...place,
      ...facts,
      mode: permissions(inode),
      links: inode.linksCount,
      uid: inode.uid,
      gid: inode.gid,
      size: inode.size,
      modified: timeString(inode.mtime),
      ...(target === undefined ? {} : jsonBytes("target", target)),
    };
  }
}

/** mode, links, uid, gid, size or device number, time */
function longCells({ inode }: Row): string[] {
  if (inode === undefined) return ["?", "?", "?", "?", "?", "?"];
  const { major, minor } = inode.rdev;
  const size = inode.isDeviceNode ? `${major},${minor}` : String(inode.size);
  return [
    modeString(inode),
    String(inode.linksCount),
    String(inode.uid),
    String(inode.gid),
    size,
    shortTime(inode.mtime),
  ];
}

function isDot({ name }: DirectoryEntry): boolean {
  return name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e));
}

function joinPath(directory: Uint8Array, name: Uint8Array): Uint8Array {
  const slash = directory.at(-1) === 0x2f ? [] : [0x2f];
  return Uint8Array.from([...directory, ...slash, ...name]);
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index++) {
    if (a[index] !== b[index]) return a[index] - b[index];
  }
  return a.length - b.length;
}
