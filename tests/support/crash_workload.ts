/**
 * Seeded work on a file system that is recorded, and what must be true when: the state of a model
 * after each step, how far the record went, and which steps were durable then.
 */

import assert from "node:assert/strict";
import type { FileSystem } from "../../src/ext4/filesystem.ts";
import { Actor } from "./crash_actor.ts";
import { type Content, Model, type ModelNode, type Place, type Snapshot } from "./crash_model.ts";
import { differences, readTree } from "./crash_tree.ts";
import { Random } from "./random.ts";

const MAX_FILES = 80;
const MAX_DIRECTORIES = 7;
const MAX_WRITE = 9000;
const MAX_FILE_SIZE = 60_000;
/** Names in a directory that is emptied as a whole. */
const MANY_NAMES = 60;
const ATTRIBUTES = ["user.a", "user.second", "trusted.third", "security.fourth"];
/** All attributes of a file must fit into a block of 1 KiB. */
const MAX_VALUE = 150;

/** A call, or several that follow each other. */
export interface Step {
  readonly what: string;
  /** Events in the record when it began. */
  readonly begin: number;
  /** How things are behind it. */
  readonly after: Snapshot;
  /** A file that the step may do in pieces: its size may be anything between before and after. */
  readonly growing?: number;
}

/** At this point of the record, so many steps were durable. */
export interface Mark {
  readonly events: number;
  readonly steps: number;
}

export interface WorkloadOptions {
  readonly seed: number;
  /** Files have extents: fallocate works. */
  readonly hasExtents: boolean;
  /** How many events the record has. */
  readonly events: () => number;
}

/** What a step did, for messages, and which file it did in pieces. */
interface Done {
  readonly what: string;
  readonly growing?: ModelNode;
}

export class CrashWorkload {
  readonly steps: Step[] = [];
  readonly marks: Mark[] = [];
  readonly model = new Model();
  readonly #fs: FileSystem;
  readonly #actor: Actor;
  readonly #options: WorkloadOptions;
  readonly #random: Random;
  readonly #kinds: readonly ((places: readonly Place[]) => Done | undefined)[];
  /** Files without a name that may get one, as only those that never had one do. */
  readonly #temporary = new Set<ModelNode>();
  #names = 0;

  constructor(fs: FileSystem, options: WorkloadOptions) {
    this.#fs = fs;
    this.#actor = new Actor(fs, this.model);
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#kinds = this.#weighted();
    this.#actor.load();
    this.steps.push({ what: "mount", begin: 0, after: this.model.snapshot() });
    this.#mark();
    fs.writing.transactions.onAfterCommit(() => this.#mark());
  }

  /** A step of a random kind. */
  step(): void {
    for (;;) {
      const kind = this.#random.pick(this.#kinds);
      if (this.#do(() => kind.call(this, this.model.places()))) return;
    }
  }

  /** Some files, durable, of a folder that no later step touches: contents by path. */
  keepUntouched(): ReadonlyMap<string, Content> {
    const { model } = this;
    const dir = this.#actor.makeDirectory(model.root, "kept");
    const kept = new Map<string, Content>();
    for (let file = 0; file < 10; file++) {
      const content = this.#bytes(1 + this.#random.below(20_000));
      this.#actor.write(this.#actor.create(dir, `${file}`), 0, content);
      kept.set(`/kept/${file}`, content);
    }
    this.commit();
    model.remove(model.root, "kept");
    return kept;
  }

  /** fsync(2), of whatever file: everything is durable behind it. */
  commit(): void {
    this.#fs.writing.transactions.commit();
    this.#mark();
  }

  /** As a commit for which the log is full. */
  writeBack(): void {
    this.#fs.writing.transactions.writeBack();
    this.#mark();
  }

  /** Many names for one directory, which so gets an index; or away with it and all that is in it. */
  burst(): void {
    const many = this.model.places().find(({ node }) => (node.children?.size ?? 0) >= MANY_NAMES);
    if (many !== undefined) {
      this.#removeAll(many);
      return;
    }
    const dir = this.#directory(this.model.places());
    for (let count = 0; count < MANY_NAMES; count++) {
      const name = this.#name(30 + this.#random.below(120));
      this.#do(() => ({ what: `create ${this.#actor.create(dir, name).id}` }));
    }
  }

  /** The tree is as the model says: what crashes are compared with is right. */
  verify(): void {
    assert.deepEqual(differences(this.model.snapshot().tree, readTree(this.#fs)), []);
  }

  #mark(): void {
    this.marks.push({ events: this.#options.events(), steps: this.steps.length });
  }

  /** False where there was nothing to do. */
  #do(act: () => Done | undefined): boolean {
    const begin = this.#options.events();
    const done = act();
    if (done === undefined) return false;
    const after = this.model.snapshot();
    this.steps.push({ what: done.what, begin, after, growing: done.growing?.id });
    return true;
  }

  #weighted(): ((places: readonly Place[]) => Done | undefined)[] {
    const weights: [number, (places: readonly Place[]) => Done | undefined][] = [
      [5, this.#create],
      [8, this.#append],
      [4, this.#overwrite],
      [2, this.#writeBehindEnd],
      [3, this.#resize],
      [3, this.#unlink],
      [1, this.#close],
      [5, this.#rename],
      [2, this.#exchange],
      [2, this.#link],
      [2, this.#makeDirectory],
      [1, this.#removeDirectory],
      [2, this.#makeSymlink],
      [1, this.#makeTemporary],
      [3, this.#setXattr],
      [1, this.#removeXattr],
      [2, this.#setMode],
      [1, this.#copy],
      [this.#options.hasExtents ? 4 : 0, this.#fallocate],
    ];
    return weights.flatMap(([weight, kind]) => Array.from({ length: weight }, () => kind));
  }

  #create(places: readonly Place[]): Done | undefined {
    if (places.length > MAX_FILES) return undefined;
    const node = this.#actor.create(this.#directory(places), this.#name());
    return { what: `create ${node.id}` };
  }

  #append(places: readonly Place[]): Done | undefined {
    const node = this.#file(places);
    if (node === undefined || node.content!.length > MAX_FILE_SIZE) return undefined;
    return this.#write(node, node.content!.length);
  }

  #overwrite(places: readonly Place[]): Done | undefined {
    const node = this.#file(places);
    return node && this.#write(node, this.#random.below(node.content!.length + 1));
  }

  #writeBehindEnd(places: readonly Place[]): Done | undefined {
    const node = this.#file(places);
    if (node === undefined || node.content!.length > MAX_FILE_SIZE) return undefined;
    return this.#write(node, node.content!.length + this.#random.below(30_000));
  }

  #write(node: ModelNode, position: number): Done {
    const bytes = this.#bytes(1 + this.#random.below(MAX_WRITE));
    // As from the kernel's cache, or not.
    this.#actor.write(node, position, bytes, this.#random.pick(["kept", "set"]));
    const what = `write ${bytes.length} at ${position} of ${node.id}`;
    return { what, growing: node };
  }

  #resize(places: readonly Place[]): Done | undefined {
    const node = this.#file(places);
    if (node === undefined) return undefined;
    const { length } = node.content!;
    const size = this.#random.oneIn(3)
      ? length + this.#random.below(9000)
      : this.#random.below(length);
    this.#actor.resize(node, size);
    return { what: `resize ${node.id} from ${length} to ${size}` };
  }

  /** What loses its last name stays open for a while, or not. */
  #unlink(places: readonly Place[]): Done | undefined {
    const place = this.#pick(places, ({ node }) => !node.isDirectory);
    if (place === undefined) return undefined;
    const node = this.#actor.unlink(place.dir, place.name);
    if (node.links === 0 && this.#random.below(3) > 0) this.#actor.close(node);
    return { what: `unlink ${place.path} (${node.id})` };
  }

  #close(): Done | undefined {
    if (this.model.unlinked.size === 0) return undefined;
    const node = this.#random.pick([...this.model.unlinked]);
    this.#actor.close(node);
    this.#temporary.delete(node);
    return { what: `close ${node.id}` };
  }

  #rename(places: readonly Place[]): Done | undefined {
    const from = this.#pick(places, () => true);
    if (from === undefined) return undefined;
    const newDir = this.#directory(places.filter(({ path }) => !isWithin(path, from.path)));
    const victim = this.#pick(
      places,
      ({ dir, node, path }) =>
        dir === newDir && node !== from.node && !isWithin(from.path, path) &&
        node.isDirectory === from.node.isDirectory && (node.children?.size ?? 0) === 0,
    );
    const newName = victim !== undefined && this.#random.oneIn(2) ? victim.name : this.#name();
    const replaced = this.#actor.rename(from.dir, from.name, newDir, newName);
    if (replaced !== undefined && this.#random.below(3) > 0) this.#actor.close(replaced);
    return { what: `rename ${from.path} to ${newName} in ${newDir.id}` };
  }

  #exchange(places: readonly Place[]): Done | undefined {
    const [one, other] = [this.#pick(places, () => true), this.#pick(places, () => true)];
    if (one === undefined || other === undefined) return undefined;
    if (isWithin(one.path, other.path) || isWithin(other.path, one.path)) return undefined;
    if (one.node === other.node) return undefined;
    this.#actor.exchange(one.dir, one.name, other.dir, other.name);
    return { what: `exchange ${one.path} and ${other.path}` };
  }

  #link(places: readonly Place[]): Done | undefined {
    if (places.length > MAX_FILES) return undefined;
    const place = this.#pick(places, ({ node }) => !node.isDirectory);
    if (place === undefined) return undefined;
    const [temporary] = this.#temporary;
    const node = temporary ?? place.node;
    this.#actor.link(node, this.#directory(places), this.#name());
    this.#temporary.delete(node);
    return { what: `link ${node.id}` };
  }

  #makeDirectory(places: readonly Place[]): Done | undefined {
    if (places.filter(({ node }) => node.isDirectory).length >= MAX_DIRECTORIES) return undefined;
    const node = this.#actor.makeDirectory(this.#directory(places), this.#name());
    return { what: `mkdir ${node.id}` };
  }

  #removeDirectory(places: readonly Place[]): Done | undefined {
    const place = this.#pick(places, ({ node }) => node.children?.size === 0);
    if (place === undefined) return undefined;
    const node = this.#actor.removeDirectory(place.dir, place.name);
    if (this.#random.below(3) > 0) this.#actor.close(node);
    return { what: `rmdir ${place.path}` };
  }

  #makeSymlink(places: readonly Place[]): Done | undefined {
    if (places.length > MAX_FILES) return undefined;
    const target = "t".repeat(this.#random.pick([1, 30, 59, 60, 61, 200, 900]));
    const node = this.#actor.makeSymlink(this.#directory(places), this.#name(), target);
    return { what: `symlink ${node.id}` };
  }

  #makeTemporary(places: readonly Place[]): Done {
    const node = this.#actor.makeTemporary(this.#directory(places));
    this.#temporary.add(node);
    return { what: `tmpfile ${node.id}` };
  }

  #setXattr(places: readonly Place[]): Done | undefined {
    const place = this.#pick(places, ({ node }) => node.target === undefined);
    if (place === undefined) return undefined;
    const name = this.#random.pick(ATTRIBUTES);
    this.#actor.setXattr(place.node, name, this.#bytes(this.#random.below(MAX_VALUE)));
    return { what: `setxattr ${name} of ${place.node.id}` };
  }

  #removeXattr(places: readonly Place[]): Done | undefined {
    const place = this.#pick(places, ({ node }) => node.xattrs.size > 0);
    if (place === undefined) return undefined;
    const name = this.#random.pick([...place.node.xattrs.keys()]);
    this.#actor.removeXattr(place.node, name);
    return { what: `removexattr ${name} of ${place.node.id}` };
  }

  #setMode(places: readonly Place[]): Done | undefined {
    const place = this.#pick(places, ({ node }) => node.target === undefined);
    if (place === undefined) return undefined;
    this.#actor.setMode(place.node, 0o400 + this.#random.below(0o400));
    return { what: `chmod ${place.node.id}` };
  }

  #copy(places: readonly Place[]): Done | undefined {
    const [from, to] = [this.#file(places), this.#file(places)];
    if (from === undefined || to === undefined || from === to) return undefined;
    const { length } = from.content!;
    if (length === 0 || to.content!.length > MAX_FILE_SIZE) return undefined;
    const start = this.#random.below(length);
    const at = this.#random.below(to.content!.length + 1);
    this.#actor.copy(from, start, to, at, 1 + this.#random.below(MAX_WRITE));
    return { what: `copy from ${from.id} to ${to.id}`, growing: to };
  }

  #fallocate(places: readonly Place[]): Done | undefined {
    const node = this.#file(places);
    if (node === undefined || node.content!.length > MAX_FILE_SIZE) return undefined;
    const start = this.#random.below(node.content!.length + 3000);
    const length = 1 + this.#random.below(12_000);
    const kind = this.#random.pick(["allocate", "keep size", "punch", "zero"] as const);
    if (kind === "allocate") this.#actor.allocate(node, start, length);
    if (kind === "keep size") this.#actor.allocate(node, start, length, true);
    if (kind === "punch") this.#actor.punchHole(node, start, length);
    if (kind === "zero") this.#actor.zeroRange(node, start, length);
    return { what: `fallocate, ${kind}, ${length} at ${start} of ${node.id}`, growing: node };
  }

  #removeAll({ dir, name, node }: Place): void {
    for (const [childName, child] of [...node.children!]) {
      if (child.isDirectory) continue;
      this.#do(() => {
        this.#actor.unlink(node, childName);
        if (child.links === 0) this.#actor.close(child);
        return { what: `unlink ${child.id}` };
      });
    }
    if (node.children!.size > 0) return;
    this.#do(() => {
      this.#actor.close(this.#actor.removeDirectory(dir, name));
      return { what: `rmdir ${node.id}` };
    });
  }

  #pick(places: readonly Place[], fits: (place: Place) => boolean): Place | undefined {
    const fitting = places.filter(fits);
    return fitting.length === 0 ? undefined : this.#random.pick(fitting);
  }

  #directory(places: readonly Place[]): ModelNode {
    const place = this.#pick(places, ({ node }) => node.isDirectory);
    return place === undefined || this.#random.oneIn(3) ? this.model.root : place.node;
  }

  /** One without a name now and then. */
  #file(places: readonly Place[]): ModelNode | undefined {
    const nameless = [...this.model.unlinked].filter(({ content }) => content !== undefined);
    if (nameless.length > 0 && this.#random.oneIn(10)) return this.#random.pick(nameless);
    return this.#pick(places, ({ node }) => node.content !== undefined)?.node;
  }

  #name(length = this.#random.pick([4, 8, 8, 20, 60, 250])): string {
    return `n${++this.#names}_`.padEnd(length, "x");
  }

  /** No two are alike, and no part of them is zeros. */
  #bytes(length: number): Content {
    const words = new Uint32Array(Math.ceil(length / 4));
    let state = this.#random.uint32() | 1;
    for (let at = 0; at < words.length; at++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      words[at] = state;
    }
    return new Uint8Array(words.buffer, 0, length);
  }
}

/** True for a path itself, and for all below it. */
function isWithin(path: string, of: string): boolean {
  return path === of || path.startsWith(`${of}/`);
}
