/**
 * Finds out who reads the files of a directory in the order of its listing (tar, cp, grep), and
 * says which files come next, more at a time the longer that goes on:
 *
 *     listed:  a  b  c  d  e  f  g  h  i  j  k ...
 *     opened:  a  b                              -> c to j are due
 *                          opened: ... f         -> k and the 15 behind it are due
 *
 * It begins with a file that is opened after the one that is listed before it. Where the directories
 * before this one were read so, it begins with the listing itself.
 */

import { forgetOldest } from "./forget_oldest.ts";

/** Files that are due first, and at most. */
const FIRST_FILES = 8;
const MOST_FILES = 64;
/** Files whose place in a listing is remembered. */
const MAX_FILES = 65536;
/** Files that were opened last: more than one program may be at work. */
const RECENT_FILES = 16;
/** Listings after which nothing was opened that end the habit. */
const PATIENCE = 3;

/** A directory that is being read. */
interface Run {
  /** The last file that was due. */
  end: number;
  /** How many files were due so far, and how many of these have been passed. */
  due: number;
  passed: number;
  /** Files that become due at the next time. */
  batch: number;
}

interface Place {
  readonly run: Run;
  readonly number: number;
}

const NOTHING: readonly number[] = [];

export class ListingOrder {
  /** For a file, the one that its directory lists next. */
  readonly #next = new Map<number, number>();
  /** For a file, the one that is listed before it; 0 for the first. */
  readonly #previous = new Map<number, number>();
  /** Files that were due. */
  readonly #places = new Map<number, Place>();
  readonly #recent = new Set<number>();
  /** Above zero: who lists a directory reads its files. */
  #habit = 0;
  /** The listing that is going on: its directory, and its first and last file so far. */
  #directory = 0;
  #first = 0;
  #last = 0;

  /** The listing of a directory begins. */
  begin(directory: number): void {
    this.#directory = directory;
    this.#first = 0;
    this.#last = 0;
  }

  /** A file is the next one in a listing. */
  add(directory: number, file: number): void {
    if (directory !== this.#directory) this.begin(directory);
    if (this.#next.size >= MAX_FILES) this.#forgetAll();
    this.#previous.set(file, this.#last);
    if (this.#last !== 0) this.#next.set(this.#last, file);
    if (this.#first === 0) this.#first = file;
    this.#last = file;
  }

  /** A piece of a listing is complete. Returns the files that will be read soon, if any. */
  listed(): readonly number[] {
    const first = this.#first;
    this.#first = 0;
    if (this.#habit === 0 || first === 0 || this.#previous.get(first) !== 0) return NOTHING;
    this.#habit--;
    if (this.#places.has(first)) return NOTHING;
    const run = { end: first, due: 1, passed: 0, batch: FIRST_FILES - 1 };
    this.#places.set(first, { run, number: 0 });
    return [first, ...this.#advance(run)];
  }

  /** The beginning of a file is read. Returns the files that will be read soon, if any. */
  opened(file: number): readonly number[] {
    const run = this.#runOf(file);
    this.#note(file);
    if (run === undefined) return NOTHING;
    this.#habit = PATIENCE;
    return (run.due - run.passed) * 2 > run.batch ? NOTHING : this.#advance(run);
  }

  #runOf(file: number): Run | undefined {
    const place = this.#places.get(file);
    if (place !== undefined) {
      place.run.passed = Math.max(place.run.passed, place.number + 1);
      return place.run;
    }
    const previous = this.#previous.get(file);
    if (previous === undefined || !this.#recent.has(previous)) return undefined;
    return { end: file, due: 0, passed: 0, batch: FIRST_FILES };
  }

  #advance(run: Run): readonly number[] {
    const files: number[] = [];
    for (let left = run.batch; left > 0; left--) {
      const file = this.#next.get(run.end);
      if (file === undefined) break;
      run.end = file;
      this.#places.set(file, { run, number: run.due++ });
      files.push(file);
    }
    run.batch = Math.min(MOST_FILES, run.batch * 2);
    return files;
  }

  #note(file: number): void {
    this.#recent.delete(file);
    this.#recent.add(file);
    if (this.#recent.size > RECENT_FILES) forgetOldest(this.#recent);
  }

  #forgetAll(): void {
    this.#next.clear();
    this.#previous.clear();
    this.#places.clear();
  }
}
